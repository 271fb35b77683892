"""Raw rows in the binary form of COPY, made in blocks of rows.

Most texts of a row are the same as of other rows of its batch, all together: they are encoded once.
The form is PostgreSQL's (COPY, "Binary Format"): a signature, then for each row how many columns it
has and for each column its length and its bytes, all big endian, and a mark at the end. A value
beyond its column's range raises `struct.error`, a text with a lone surrogate `UnicodeEncodeError`.
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from struct import Struct as Layout
from typing import Final

from analytics.measures.rows import RawRow
from streams.store.columns import YEAR_2000_MS, instant

TEXTS: Final = (
    "tenant", "session_id", "type", "source", "project", "agent", "agent_id", "model", "tool",
)  # fmt: skip
COLUMNS: Final = (
    "received_at", "at", "id", *TEXTS, "duration_ms", "cost_nanousd", "failed", "log_id",
    "partition", "log_offset", "payload",
)  # fmt: skip
"""The columns of `events`, in the order in which rows are written."""
BLOCK_ROWS: Final = 512

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_FIRST: Final = Layout(">hiqi")
_AT_AND_ID: Final = Layout(">qi")
_LENGTH: Final = Layout(">i")
_NUMBER: Final = Layout(">iq")
_PLACE: Final = Layout(">i?ihii")
_OFFSET_AND_JSON: Final = Layout(">iqib")
_JSONB_VERSION: Final = 1

_Texts = tuple[str, ...]
_texts_of: Final = attrgetter(*TEXTS)


def events(
    rows: Sequence[RawRow], *, received_ms: int, log_id: int, partition: int
) -> Iterator[bytes]:
    """Yield raw rows as what a COPY of `COLUMNS` takes."""
    first = _FIRST.pack(len(COLUMNS), 8, instant(received_ms), 8)
    places = {failed: _PLACE.pack(1, failed, 2, log_id, 4, partition) for failed in (False, True)}
    texts = _Encoded()
    yield _SIGNATURE
    for start in range(0, len(rows), BLOCK_ROWS):
        parts: list[bytes] = []
        for row in rows[start : start + BLOCK_ROWS]:
            name, payload = row.id.encode(), row.payload
            duration_ms, cost_nanousd = row.duration_ms, row.cost_nanousd
            parts += (
                first,
                _AT_AND_ID.pack((row.at_ms - YEAR_2000_MS) * 1_000, len(name)),
                name,
                texts[_texts_of(row)],
                _NULL if duration_ms is None else _NUMBER.pack(8, duration_ms),
                _NULL if cost_nanousd is None else _NUMBER.pack(8, cost_nanousd),
                places[row.failed],
                _OFFSET_AND_JSON.pack(8, row.offset, 1 + len(payload), _JSONB_VERSION),
                payload,
            )
        yield b"".join(parts)
    yield _END


class _Encoded(dict[_Texts, bytes]):
    """Texts as columns, encoded once; it lives as long as one batch is written."""

    def __missing__(self, texts: _Texts) -> bytes:
        encoded = [text.encode() for text in texts]
        found = self[texts] = b"".join([_LENGTH.pack(len(one)) + one for one in encoded])
        return found
