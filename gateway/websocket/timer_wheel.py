"""One timer for many sockets: a wheel of slots, each with whoever is due in it.

Ticks come up to one slot late, never early. Planning anew replaces the earlier plan.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

SLOT_MS: Final = 250


class Due(Protocol):
    """Somebody who has to be told when it is time."""

    def tick(self, *, now_ms: int) -> None:
        """Do what has become due."""
        ...


class TimerWheel:
    """Tells everyone in it when their time has come."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._slots: dict[int, set[Due]] = {}
        self._planned: dict[Due, int] = {}
        self._turned = now_ms() // SLOT_MS

    def plan(self, who: Due, due_ms: int) -> None:
        """Tell `who` once `due_ms` is reached, and no longer at an earlier planned time."""
        slot = max(-(-due_ms // SLOT_MS), self._turned + 1)
        if self._planned.get(who) == slot:
            return
        self.forget(who)
        self._planned[who] = slot
        self._slots.setdefault(slot, set()).add(who)

    def forget(self, who: Due) -> None:
        """Tell `who` nothing any more."""
        slot = self._planned.pop(who, None)
        if slot is None:
            return
        members = self._slots[slot]
        members.discard(who)
        if not members:
            del self._slots[slot]

    def turn(self) -> None:
        """Tell everyone who is due by now, in the order of their slots."""
        now_ms = self._now_ms()
        until = now_ms // SLOT_MS
        for slot in range(self._turned + 1, until + 1):
            self._turned = slot
            for who in self._slots.pop(slot, ()):
                self._planned.pop(who, None)
                who.tick(now_ms=now_ms)

    async def run(self) -> None:
        """Turn until cancelled."""
        while True:
            await asyncio.sleep(SLOT_MS / 1_000)
            self.turn()
