"""What a tier between memory and the log keeps: runs of records, each saying what it covers.

Every gateway that follows a partition puts what it read there, the same records as the others, in
runs of its own. A run `[first, end)` with its lines says that these are all lines of its records.
So the cache never has to be told what it lacks: where two runs do not touch there is a hole,
whoever crashed, was late or forgot what, and `joined` calls nothing whole that has one.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.channels.records import StreamPublication
from gateway.channels.recovery import Slice
from gateway.kafka.log_consumer import Place


class PublicationRun(Struct, frozen=True, kw_only=True):
    """All lines of the records in `[first, end)` of a partition, as one gateway read them."""

    place: Place
    epoch: str
    first: int
    end: int
    lines: tuple[StreamPublication, ...] = ()

    @property
    def size(self) -> int:
        """How many bytes it takes to keep, about."""
        return _OWN_BYTES + sum(line.size for line in self.lines)


class Entry(Struct, frozen=True, kw_only=True):
    """The records in `[first, end)`, of which only the last may be a line."""

    first: int
    end: int
    line: StreamPublication | None = None


class HistoryCache(Protocol):
    """The port; `Unavailable` says that it is away."""

    async def put(self, runs: Sequence[PublicationRun]) -> None:
        """Keep runs, those of a partition in order; what is there already stays."""
        ...

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return all lines of the records in `[first, end)`; nothing if it does not have them."""
        ...

    async def close(self) -> None:
        """Let go of what was held open."""
        ...


def entries_of(run: PublicationRun) -> list[Entry]:
    """Return a run cut behind each of its lines, and at its end."""
    entries: list[Entry] = []
    at = run.first
    for line in run.lines:
        entries.append(Entry(first=at, end=line.position, line=line))
        at = line.position
    if at < run.end:
        entries.append(Entry(first=at, end=run.end))
    return entries


class SliceBuilder:
    """Joins entries, given in order, to the slice `[first, end)`, as long as there is no hole."""

    def __init__(self, *, first: int, end: int) -> None:
        self.broken = False
        self._first = first
        self._end = end
        self._at = first
        self._lines: list[StreamPublication] = []

    @property
    def done(self) -> bool:
        """Whether nothing more can come of it."""
        return self.broken or self._at >= self._end

    def add(self, entries: Iterable[Entry]) -> None:
        """Take the next entries."""
        for entry in entries:
            if self.done:
                return
            if entry.first > self._at:
                self.broken = True
                return
            line = entry.line
            if line is not None and self._first < line.position <= self._end:
                self._lines.append(line)
            self._at = max(self._at, entry.end)

    def slice(self) -> Slice | None:
        """Return the slice, if it is whole."""
        if self.broken or self._at < self._end:
            return None
        return Slice(first=self._first, end=self._end, lines=tuple(self._lines))


_OWN_BYTES = 200
