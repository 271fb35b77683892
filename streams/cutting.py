"""What a fetch becomes: batches of limited size, of records without what nobody reads of them."""

from collections.abc import Iterator, Sequence
from typing import Final

from faust.types import TP
from msgspec import Struct

from analytics.contracts import graves
from streams.parsed import Record

RECORD_BYTES: Final = 160
"""What a record weighs beyond its key and value, about, once it is read."""

READ_HEADERS: Final = frozenset({"ce_source", graves.REASON, graves.ORIGIN, graves.TENANT})
HEADERS_MAX: Final = 1_000
"""Headers that are the same again and again, told apart."""


Headers = tuple[tuple[str, bytes], ...]


class Kept(Struct, frozen=True, gc=False):
    """A record without what nobody reads: as parsed it weighs five times as much."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: Headers
    """Those that a burial reads."""


class Batch(Struct, frozen=True):
    """The records of one partition from one fetch: all of `[first_offset, next_offset)`."""

    log_id: str
    """The cluster id of the broker that the records came from."""
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    records: Sequence[Kept]
    size: int = 0
    """What its records weigh, in bytes, about."""


class Cutter:
    """Cuts fetches into batches of at most so many records and, if more than one, bytes."""

    def __init__(self, *, records_max: int, bytes_max: int) -> None:
        self._records_max = records_max
        self._bytes_max = bytes_max
        self._headers: dict[Headers, Headers] = {}

    def cut(self, log_id: str, tp: TP, first: int, records: Sequence[Record]) -> Iterator[Batch]:
        """Return the batches that records come to, without a hole from `first` on."""
        kept: list[Kept] = []
        size = 0
        for record in records:
            offset, value = record.offset, record.value
            weight = RECORD_BYTES + len(value or b"")
            if kept and (size + weight > self._bytes_max or len(kept) >= self._records_max):
                yield Batch(log_id, *tp, first, offset, kept, size)
                first, kept, size = offset, [], 0
            headers = record.headers
            read = self._read(headers) if headers else ()
            kept.append(Kept(offset, record.timestamp, value, read))
            size += weight
        yield Batch(log_id, *tp, first, kept[-1].offset + 1, kept, size)

    def _read(self, headers: Sequence[tuple[str, bytes]]) -> Headers:
        """Return the headers that a burial reads; what is the same again and again is kept once."""
        read = tuple([header for header in headers if header[0] in READ_HEADERS])
        known = self._headers.get(read)
        if known is None:
            if len(self._headers) >= HEADERS_MAX:
                self._headers.clear()
            known = self._headers[read] = read
        return known
