"""What partition assignment needs around it, and whom it tells; a simulation can be both."""

from collections.abc import Collection
from typing import Protocol

from faust.types import TP

from streams.consumer.partition_processor import Stored


class Runtime(Protocol):
    """What an assignment needs of the world, so that a simulation can be one."""

    def now_ms(self) -> int:
        """Return the time, in epoch milliseconds."""
        ...

    def stopwatch(self) -> float:
        """Return seconds since some moment, to measure how long something takes."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def place(self, tp: TP, offset: int, *, mark: int) -> None:
        """Have a partition go on from `offset`, behind the record of that mark."""
        ...

    def hold(self, held: Collection[TP]) -> None:
        """Have the broker read no further for these partitions, and again for all others."""
        ...

    def quiet(self, tp: TP, offset: int) -> bool:
        """Say whether the broker has nothing for this partition from `offset` on."""
        ...

    def hindered(self) -> str:
        """Return why nothing may be stored just now, though the store is there; empty if it may."""
        ...


class Instrumentation(Protocol):
    """Who is told what happens, to count it."""

    def claimed(self, tp: TP) -> None:
        """Note that a partition was taken over."""
        ...

    def stored(self, tp: TP, stored: Stored) -> None:
        """Note what a commit amounted to."""
        ...

    def taken(self, tp: TP, records: int) -> None:
        """Note that a batch is being worked on."""
        ...

    def fenced(self, tp: TP) -> None:
        """Note that another worker had claimed a partition."""
        ...

    def rewound(self, tp: TP) -> None:
        """Note that a partition was put back to where the store is."""
        ...

    def waiting(self, part: str, reason: str) -> None:
        """Note that a part is away (`reason`), or is back (empty)."""
        ...
