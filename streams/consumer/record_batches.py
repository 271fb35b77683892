"""What a fetch becomes: batches of limited size, of records without what nobody reads of them."""

from collections.abc import Iterator, Sequence
from typing import Final

from faust.types import TP
from msgspec import Struct

from analytics.contracts import dead_letters, signatures, traces
from streams.consumer.records import Record

RECORD_BYTES: Final = 160
"""What a record weighs beyond its key and value, about, once it is read."""

READ_HEADERS: Final = frozenset(
    {"ce_source", dead_letters.REASON, dead_letters.ORIGIN, dead_letters.TENANT, traces.HEADER}
)
HEADERS_MAX: Final = 1_000
"""Headers that are the same again and again, told apart."""


Headers = tuple[tuple[str, bytes], ...]


class SlimRecord(Struct, frozen=True, gc=False):
    """A record without what nobody reads: as parsed it weighs five times as much."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: Headers
    """Those that a dead letter or a trace reads."""


class Batch(Struct, frozen=True):
    """The records of one partition from one fetch: all of `[first_offset, next_offset)`."""

    log_id: str
    """The cluster id of the broker that the records came from."""
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    records: Sequence[SlimRecord]
    size: int = 0
    """What its records weigh, in bytes, about."""


class BatchSplitter:
    """Cuts fetches into batches of at most so many records and, if more than one, bytes."""

    def __init__(self, *, records_max: int, bytes_max: int) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._headers: dict[Headers, Headers] = {}

    def cut(self, log_id: str, tp: TP, first: int, records: Sequence[Record]) -> Iterator[Batch]:
        """Return the batches that records come to, without a hole from `first` on."""
        read = self._read
        kept = [
            SlimRecord(
                record.offset,
                record.timestamp,
                record.value,
                read(record.headers) if record.headers else (),
            )
            for record in records
        ]
        weights = [RECORD_BYTES + len(record.value or b"") for record in kept]
        start = 0
        for end in self._ends(weights):
            after = kept[end].offset if end < len(kept) else kept[-1].offset + 1
            size = sum(weights[start:end])
            yield Batch(log_id, *tp, first, after, kept[start:end], size)
            first, start = after, end

    def _ends(self, weights: Sequence[int]) -> Iterator[int]:
        """Yield where each batch ends among records of these weights."""
        if len(weights) > self._records_max or sum(weights) > self._bytes_max:
            size = count = 0
            for place, weight in enumerate(weights):
                if count and (size + weight > self._bytes_max or count >= self._records_max):
                    yield place
                    size = count = 0
                size += weight
                count += 1
        yield len(weights)

    def _read(self, headers: Sequence[tuple[str, bytes]]) -> Headers:
        """Return the headers that are read; what is the same again and again is kept once."""
        if headers[0][0] == signatures.HEADER:
            return (headers[0], *self._read(headers[1:])) if len(headers) > 1 else (headers[0],)
        read = tuple([header for header in headers if header[0] in READ_HEADERS])
        if read and read[-1][0] == traces.HEADER:
            return read
        known = self._headers.get(read)
        if known is None:
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            known = self._headers[read] = read
        return known
