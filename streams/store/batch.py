"""One batch written into an open transaction: the guard first, then rows, all set-wise.

Raw rows are copied straight into their table. Windows and sessions go as one array of rows a table
into one upsert (see `composite`). Series come first and sorted, so that two workers that meet a new
series at the same time wait for each other and never deadlock.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced
from analytics.measures.rows import ROLLED_MS, WIDTHS_MS, CellKey, CellRow, Outcome, SessionRow
from streams.ledger import Burial, Claim
from streams.store import columns, composite, fencing
from streams.store.columns import Columns
from streams.store.pool import Db
from streams.store.series import FIELDS

Moved = AsyncCursor[TupleRow]

_TABLES: Final = ("window_10s", "window_1m", "window_5m", "window_1h", "window_1d")
WINDOWS: Final = dict(zip((*WIDTHS_MS, *ROLLED_MS), _TABLES, strict=True))
"""The table of each window width."""
_CELL_HEAD: Final[Columns] = (("width_ms", "int4"), *columns.CELL_KEY)
_pack_head: Final = composite.Fixed(_CELL_HEAD)
_pack_sums: Final = composite.Fixed(columns.SUMS)
_MOVE: Final = """
update ledger
   set next_offset = %(next_offset)s,
       watermark_ms = greatest(watermark_ms, %(watermark_ms)s),
       event_count = event_count + %(events)s,
       late_count = late_count + %(late)s,
       duplicate_count = duplicate_count + %(duplicates)s,
       backfill_count = backfill_count + %(backfilled)s,
       updated_at = now()
 where log_id = %(log_id)s and partition = %(partition)s
   and epoch = %(epoch)s and next_offset = %(expected)s
"""
_ADD_SEEN: Final = """
insert into seen (tenant, session_id, log_id, partition, batch_offset, memory)
select tenant, session_id, %s, %s, batch_offset, memory
  from unnest(%s::text[], %s::text[], %s::bigint[], %s::bytea[])
       as row (tenant, session_id, batch_offset, memory)
"""
_ADD_OUTBOX: Final = """
insert into outbox (topic, key, value, headers)
select topic, key, value, headers::jsonb
  from unnest(%s::text[], %s::bytea[], %s::bytea[], %s::text[])
       with ordinality as row (topic, key, value, headers, place)
 order by place
"""
_ADD_GRAVES: Final = """
insert into graveyard (at, topic, partition, log_offset, tenant, origin, reason, payload)
select to_timestamp(at_ms / 1000.0), topic, partition, log_offset, tenant, origin, reason, payload
  from unnest(%s::bigint[], %s::text[], %s::int[], %s::bigint[],
              %s::text[], %s::text[], %s::text[], %s::bytea[])
       as row (at_ms, topic, partition, log_offset, tenant, origin, reason, payload)
"""


class RowTypes(Struct, frozen=True):
    """The numbers that this database has for the types of our rows."""

    cell: int
    session: int


async def row_types(db: Db) -> RowTypes:
    """Ask the database for the numbers of our row types."""
    row = await (await db.execute(_ROW_TYPES)).fetchone()
    assert row is not None
    return RowTypes(*row)


async def move(db: Db, claim: Claim, outcome: Outcome, *, expected: int) -> Moved:
    """Ask for the offset to move, if the claim still holds and the batch is what comes next."""
    if not expected <= outcome.first_offset <= outcome.next_offset:
        raise Fenced(
            f"{claim.topic}/{claim.partition} is at offset {expected}, and the batch spans "
            f"{outcome.first_offset} to {outcome.next_offset}: claim the partition again"
        )
    await fencing.grip(db, claim.log_id, claim.partition)
    return await db.execute(_MOVE, {
        "next_offset": outcome.next_offset,
        "watermark_ms": outcome.watermark_ms,
        "events": len(outcome.raw),
        "late": outcome.late_count,
        "duplicates": outcome.duplicate_count,
        "backfilled": outcome.backfill_count,
        "log_id": claim.log_id,
        "partition": claim.partition,
        "epoch": claim.epoch,
        "expected": expected,
    })  # fmt: skip


def check_moved(moved: Moved, claim: Claim, *, expected: int) -> None:
    """Raise `Fenced` when the offset did not move, before anything is written."""
    if moved.rowcount != 1:
        raise Fenced(
            f"{claim.topic}/{claim.partition} was claimed by another worker, or has moved on from "
            f"offset {expected}: claim the partition again"
        )


async def add_events(db: Db, claim: Claim, outcome: Outcome, *, received_ms: int) -> None:
    """Copy the raw rows."""
    rows = columns.event_values(
        outcome.raw, received_ms=received_ms, log_id=claim.log_id, partition=claim.partition
    )
    if not outcome.raw:
        return
    async with db.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
        copy.set_types(columns.wire_types(columns.EVENTS))
        for row in rows:
            await copy.write_row(row)


async def put_cells(
    db: Db, claim: Claim, cells: Sequence[CellRow], *, ids: dict[CellKey, int], type_number: int
) -> None:
    """Replace window cells, each in the table of its width."""
    for width_ms in WINDOWS:
        rows = [_cell(cell, claim, ids[cell.key]) for cell in cells if cell.width_ms == width_ms]
        if rows:
            await db.execute(_PUT_CELLS[width_ms], [composite.array(type_number, rows)])


async def put_sessions(db: Db, sessions: Sequence[SessionRow], *, type_number: int) -> None:
    """Replace the rows of sessions."""
    if sessions:
        rows = map(_session, sessions)
        await db.execute(_PUT_SESSIONS, [composite.array(type_number, rows)])


async def add_series(db: Db, new: dict[CellKey, int]) -> None:
    """Insert series that the store may not have yet."""
    if new:
        ordered = sorted(new.items(), key=lambda item: item[1])
        arrays = [[str(getattr(key, field)) for key, _ in ordered] for field in FIELDS]
        await db.execute(_ADD_SERIES, [[number for _, number in ordered], *arrays])


async def add_rest(
    db: Db, claim: Claim, outcome: Outcome, *, outbox: Sequence[Record], burials: Sequence[Burial]
) -> None:
    """Add what sessions are to remember, records to be sent, and what could not be read."""
    if outcome.seen:
        arrays = _arrays(outcome.seen, ("tenant", "session_id", "batch_offset", "memory"))
        await db.execute(_ADD_SEEN, [claim.log_id, claim.partition, *arrays])
    if outbox:
        headers = [msgspec.json.encode(record.headers).decode() for record in outbox]
        await db.execute(_ADD_OUTBOX, [*_arrays(outbox, ("topic", "key", "value")), headers])
    if burials:
        fields = ("at_ms", "topic", "partition", "offset", "tenant", "origin", "reason", "payload")
        await db.execute(_ADD_GRAVES, _arrays(burials, fields))


def _cell(cell: CellRow, claim: Claim, series_id: int) -> bytes:
    key = (
        cell.width_ms,
        columns.instant(cell.start_ms),
        series_id,
        claim.log_id,
        claim.partition,
        cell.batch_offset,
    )
    return composite.row(
        len(_CELL_HEAD) + len(columns.SUMS) + len(columns.CELL_REST),
        _pack_head(key),
        _pack_sums(columns.sums_of(cell.measures)),
        composite.fields(columns.CELL_REST, (cell.latency, cell.closed)),
    )


def _session(row: SessionRow) -> bytes:
    return composite.row(
        len(columns.SESSIONS),
        composite.fields(columns.SESSION_FACTS, columns.session_facts(row)),
        _pack_sums(columns.sums_of(row.totals)),
        composite.fields(columns.SESSION_REST, (row.latency,)),
    )


def _arrays(rows: Sequence[object], fields: Sequence[str]) -> list[list[object]]:
    return [[getattr(row, field) for row in rows] for field in fields]


def _listed(listed: Columns) -> Composed:
    return SQL(", ").join(Identifier(name) for name, _ in listed)


def _upsert(table: str, listed: Columns, key: int, row_type: str) -> bytes:
    """Return the statement that replaces rows of `table`, known by their first `key` columns."""
    return (
        SQL(
            "insert into {table} ({all}) select {all} from unnest(%b::{row_type}[])"
            " order by {key} on conflict ({key}) do update set {changes}"
        )
        .format(
            table=Identifier(table),
            all=_listed(listed),
            row_type=Identifier(row_type),
            key=_listed(listed[:key]),
            changes=SQL(", ").join(
                SQL("{0} = excluded.{0}").format(Identifier(name)) for name, _ in listed[key:]
            ),
        )
        .as_bytes()
    )


_ROW_TYPES: Final = "select 'cell_row'::regtype::oid::int8, 'session_row'::regtype::oid::int8"
_COPY_EVENTS: Final = SQL("copy events ({}) from stdin (format binary)").format(
    _listed(columns.EVENTS)
)
_PUT_CELLS: Final = {
    width_ms: _upsert(table, columns.CELLS, len(columns.CELL_KEY), "cell_row")
    for width_ms, table in WINDOWS.items()
}
_PUT_SESSIONS: Final = _upsert("sessions", columns.SESSIONS, 2, "session_row")
_ADD_SERIES: Final = (
    SQL(
        "insert into series (series_id, {fields}) select * from unnest(%s::bigint[], {arrays})"
        " on conflict do nothing"
    )
    .format(
        fields=SQL(", ").join(map(Identifier, FIELDS)),
        arrays=SQL(", ").join(SQL("%s::text[]") for _ in FIELDS),
    )
    .as_bytes()
)
