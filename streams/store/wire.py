"""Our rows as arrays of composite types: what a commit hands to the store beside the raw rows.

Each type is one of migration `row_types` or `unpriced`; its columns stand here in the same order. A
sum of a cell that is zero is null in the store, which makes such a row less than half as large:
readers add sums up, where null counts as nothing.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.cloudevents import Record
from analytics.measures.rows import CellKey, CellRow, IdentityRow, SeenRow, SessionRow
from streams.store import columns, composite
from streams.store.columns import Columns, instant
from streams.store.composite import EncodedRows
from streams.store.series import FIELDS

CELL_HEAD: Final[Columns] = (
    ("start_at", "timestamptz"),
    ("series_id", "int8"),
    ("batch_offset", "int8"),
)
CELLS: Final[Columns] = (*CELL_HEAD, *columns.SUMS, *columns.CELL_REST)
SESSIONS: Final[Columns] = columns.SESSIONS
SERIES: Final[Columns] = (("series_id", "int8"), *((name, "text") for name in FIELDS))
SEEN: Final[Columns] = (
    ("tenant", "text"),
    ("session_id", "text"),
    ("batch_offset", "int8"),
    ("memory", "bytea"),
)
OUTBOX: Final[Columns] = (
    ("topic", "text"),
    ("key", "bytea"),
    ("value", "bytea"),
    ("headers", "jsonb"),
)
IDENTITIES: Final[Columns] = (
    ("digest", "uuid"),
    ("owner", "int8"),
    ("tenant", "text"),
)
_pack_cell: Final = composite.Sparse(CELL_HEAD, columns.SUMS)
_pack_sums: Final = composite.Fixed(columns.SUMS)


class RowTypes(Struct, frozen=True):
    """The numbers that a database has for the types of our rows."""

    window_row_v2: int
    session_row_v2: int
    series_row: int
    seen_row: int
    outbox_row: int
    identity_row: int


def cells(types: RowTypes, rows: Sequence[CellRow], ids: dict[CellKey, int]) -> EncodedRows:
    """Return window cells, of one width."""
    return composite.array(
        types.window_row_v2,
        [
            _pack_cell(
                (instant(row.start_ms), ids[row.key], row.batch_offset),
                columns.sums_of(row.measures),
                row.latency,
                flag=row.closed,
            )
            for row in rows
        ],
    )


def sessions(types: RowTypes, rows: Sequence[SessionRow]) -> EncodedRows:
    """Return sessions; what many of them have in common is encoded once."""
    texts = _Texts()
    return composite.array(types.session_row_v2, [_session(row, texts) for row in rows])


def series(types: RowTypes, new: Sequence[tuple[CellKey, int]]) -> EncodedRows:
    """Return series with their ids."""
    texts = _Texts()
    return composite.array(
        types.series_row,
        [
            composite.row(
                len(SERIES),
                composite.number(series_id),
                *(texts[str(getattr(key, field))] for field in FIELDS),
            )
            for key, series_id in new
        ],
    )


def seen(types: RowTypes, rows: Sequence[SeenRow]) -> EncodedRows:
    """Return what sessions are to remember."""
    texts = _Texts()
    return composite.array(
        types.seen_row,
        [
            composite.row(
                len(SEEN),
                texts[row.tenant],
                composite.text(row.session_id),
                composite.number(row.batch_offset),
                composite.binary(row.memory),
            )
            for row in rows
        ],
    )


def identities(types: RowTypes, rows: Sequence[IdentityRow]) -> EncodedRows:
    """Return things and whose they are."""
    texts = _Texts()
    return composite.array(
        types.identity_row,
        [
            composite.row(
                len(IDENTITIES),
                composite.binary(row.digest, "uuid"),
                composite.number(row.owner),
                texts[row.tenant],
            )
            for row in rows
        ],
    )


def outbox(types: RowTypes, records: Sequence[Record]) -> EncodedRows:
    """Return records to be sent."""
    texts = _Texts()
    return composite.array(
        types.outbox_row,
        [
            composite.row(
                len(OUTBOX),
                texts[record.topic],
                composite.binary(record.key),
                composite.binary(record.value),
                composite.binary(
                    columns.JSONB_VERSION + msgspec.json.encode(record.headers), "jsonb"
                ),
            )
            for record in records
        ],
    )


class _Texts(dict[str, bytes]):
    """Texts as fields, each encoded once; it lives as long as one array is made."""

    def __missing__(self, value: str) -> bytes:
        found = self[value] = composite.text(value)
        return found


def _session(row: SessionRow, texts: _Texts) -> bytes:
    return composite.row(
        len(SESSIONS),
        texts[row.tenant],
        composite.text(row.session_id),
        texts[row.project],
        texts[row.agent],
        texts[row.version],
        texts[row.user],
        texts[row.team],
        texts[row.model],
        texts[str(row.state)],
        _instant(row.state_since_ms),
        texts[row.attention],
        _instant(row.started_ms),
        _instant(row.last_ms),
        _instant(row.ended_ms),
        composite.text(row.first_prompt),
        _pack_sums(columns.sums_of(row.totals)),
        composite.binary(row.latency),
    )


def _instant(at_ms: int | None) -> bytes:
    return composite.number(None if at_ms is None else instant(at_ms), "timestamptz")
