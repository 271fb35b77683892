"""The newest records of one partition, and what is known completely.

A ring knows every record of its partition in `[first, end)`, offsets of the log, whatever stream
it is of: records that are no publications count as known too. Lines are kept up to a number, a
size and an age; what is dropped moves `first`, so that the ring never claims to know what it has
forgotten. It is found out by the stream of a line in time that depends on that stream alone.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import takewhile

from msgspec import Struct

from gateway.channels.names import Stream
from gateway.channels.records import StreamPublication


class RingBounds(Struct, frozen=True, kw_only=True):
    """How much a ring keeps."""

    records_max: int
    bytes_max: int
    age_ms: int


class Ring:
    """See the module. It begins empty: all it knows is where it begins."""

    def __init__(self, *, first: int, bounds: RingBounds) -> None:
        self.first = first
        self.end = first
        self.bytes = 0
        self._bounds = bounds
        self._lines: deque[tuple[int, StreamPublication]] = deque()
        self._by_stream: dict[Stream, deque[StreamPublication]] = {}

    def __len__(self) -> int:
        """Return how many lines are kept."""
        return len(self._lines)

    def add(self, lines: Iterable[StreamPublication], *, end: int, now_ms: int) -> None:
        """Take every line of the records from where the ring ended up to `end`, in order."""
        for line in lines:
            assert line.position > self.end, "lines come in order, each once"
            self.end = line.position
            self._lines.append((now_ms, line))
            self._by_stream.setdefault(line.stream, deque()).append(line)
            self.bytes += line.size
        assert end >= self.end, "a ring never goes back"
        self.end = end
        self.expire(now_ms=now_ms)

    def expire(self, *, now_ms: int) -> None:
        """Drop what is too much or too old."""
        bounds = self._bounds
        oldest_ms = now_ms - bounds.age_ms
        while self._lines and (
            len(self._lines) > bounds.records_max
            or self.bytes > bounds.bytes_max
            or self._lines[0][0] < oldest_ms
        ):
            self._drop()

    def after(self, stream: Stream, offset: int) -> Iterator[StreamPublication]:
        """Return the stream's lines after `offset`, newest first."""
        kept = self._by_stream.get(stream, ())
        return takewhile(lambda line: line.position > offset, reversed(kept))

    def _drop(self) -> None:
        _, line = self._lines.popleft()
        of_stream = self._by_stream[line.stream]
        of_stream.popleft()
        if not of_stream:
            del self._by_stream[line.stream]
        self.bytes -= line.size
        self.first = line.position
