"""Turns on the event loop: work that goes on for long lets others have theirs.

A stretch is counted in time, since what a piece costs depends on who sent it. After it the loop
goes round `ROUNDS` times before the next one, and of all long pieces one works at a time: what a
short request waits for is some stretches, however many long ones there are. A short request needs
about a dozen rounds: its connection, its head, its body, the broker's word, its answer.
"""

import asyncio
import time
from typing import Final

STRETCH_S: Final = 0.002
"""How long a piece of work keeps the loop before others get their turn."""
ROUNDS: Final = 12
"""How often the loop goes round between two stretches."""


class Turns:
    """The turns of everything that goes on for long on one event loop."""

    def __init__(self) -> None:
        self._long = asyncio.Lock()

    def begin(self) -> "Turn":
        """Return the turn of a piece of work that begins now."""
        return Turn(self._long)


class Turn:
    """One piece of work on the loop; ask it between steps."""

    __slots__ = ("_long", "_until_s")

    def __init__(self, long: asyncio.Lock) -> None:
        self._long = long
        self._until_s = time.perf_counter() + STRETCH_S

    async def go_on(self) -> None:
        """Return at once within a stretch, else once others had their turn."""
        if time.perf_counter() < self._until_s:
            return
        async with self._long:
            for _ in range(ROUNDS):
                await asyncio.sleep(0)
        self._until_s = time.perf_counter() + STRETCH_S
