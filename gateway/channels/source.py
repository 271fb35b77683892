"""What the hub needs of a log: to follow partitions of it, and to read what is past.

Ports; adapters are passed in by `apps`. A source tells its hub on the event loop: `opened` before
anything else of a partition, then runs of records in the order of the log with nothing left out,
then `reached` once what was there when it was opened has been told. Whatever breaks that order is
another `opened`.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.channels.records import StreamPublication
from gateway.channels.recovery import Slice
from gateway.kafka.log_consumer import Place


class LogListener(Protocol):
    """Who is told what happens to the log."""

    def known(self, place: Place) -> tuple[str, int] | None:
        """Return the epoch of a partition and up to where it was told, if it is open."""
        ...

    def opened(self, place: Place, *, epoch: str, first: int) -> None:
        """Take notice that a partition is told from `first` on; what was told before is void."""
        ...

    def took(self, place: Place, lines: Sequence[StreamPublication], *, end: int) -> None:
        """Take all lines of the next records, up to `end`."""
        ...

    def reached(self, place: Place) -> None:
        """Take notice that all that was there has been told."""
        ...

    def closed(self, place: Place) -> None:
        """Take notice that a partition is not followed any more."""
        ...


class Source(Protocol):
    """A log that is followed by the partition, for as long as somebody watches."""

    @property
    def up(self) -> bool:
        """Whether the log answers."""
        ...

    def tell(self, told: LogListener) -> None:
        """Say who is told; once, before the first `watch`."""
        ...

    async def place_of(self, address: str, key: bytes) -> Place:
        """Return where records with this key are; waits while nobody knows."""
        ...

    def watch(self, place: Place) -> None:
        """Follow a partition; once for each who watches."""
        ...

    def release(self, place: Place) -> None:
        """Take one watch back; the last one lets the partition go after a while."""
        ...


class Archive(Protocol):
    """A tier that has more of the past than memory: a Redis stream, or the log itself."""

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return all lines of the records in `[first, end)`; nothing if it does not have them."""
        ...
