"""One batch written into an open transaction: the guard first, then rows, all set-wise.

Raw rows are copied straight into their table. Everything else goes as one array of rows a table
into one statement (see `composite`). Series come first and sorted, so that two workers that meet a
new series at the same time wait for each other and never deadlock; so do sessions. Cells are in no
order: whoever has the partition is alone to write its cells.
"""

from collections.abc import Sequence
from typing import Final

from psycopg import AsyncCursor
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced
from analytics.measures.rows import BatchOutcome, CellKey, CellRow, SessionRow
from streams.store import columns, fencing, holdings, wire
from streams.store import copy as copying
from streams.store.checkpoint import Checkpoint, DeadLetter
from streams.store.columns import Columns
from streams.store.pool import Db
from streams.store.wire import RowTypes

Moved = AsyncCursor[TupleRow]
PARTITION_BITS: Final = 32

WINDOWS: Final = {width: one.table for width, one in holdings.WINDOWS.items()}
"""The table of each window width."""
_MOVE: Final = """
update checkpoints
   set next_offset = %(next_offset)s,
       watermark_ms = greatest(watermark_ms, %(watermark_ms)s),
       settled_ms = greatest(settled_ms, %(settled_ms)s),
       event_count = event_count + %(events)s,
       late_count = late_count + %(late)s,
       duplicate_count = duplicate_count + %(duplicates)s,
       backfill_count = backfill_count + %(backfilled)s,
       mark = case %(mark)s when 0 then mark else %(mark)s end,
       updated_at = now()
 where log_id = %(log_id)s and partition = %(partition)s
   and epoch = %(epoch)s and next_offset = %(expected)s
returning (select coalesce(max(number), 0) from tombstones)
"""
_ADD_SEEN: Final = b"""
insert into seen (tenant, session_id, log_id, partition, batch_offset, memory)
select tenant, session_id, %s::int2, %s::int4, batch_offset, memory from unnest(%b::seen_row[])
"""
_ADD_OUTBOX: Final = b"""
insert into outbox (topic, key, value, headers)
select topic, key, value, headers from unnest(%b::outbox_row[])
"""
_ADD_DEAD_LETTERS: Final = """
insert into dead_letters (at, topic, partition, log_offset, tenant, origin, reason, payload)
select to_timestamp(at_ms / 1000.0), topic, partition, log_offset, tenant, origin, reason, payload
  from unnest(%s::bigint[], %s::text[], %s::int[], %s::bigint[],
              %s::text[], %s::text[], %s::text[], %s::bytea[])
       as row (at_ms, topic, partition, log_offset, tenant, origin, reason, payload)
"""


async def row_types(db: Db) -> RowTypes:
    """Ask the database for the numbers of our row types."""
    row = await (await db.execute(_ROW_TYPES)).fetchone()
    assert row is not None
    return RowTypes(*row)


async def move(db: Db, claim: Checkpoint, outcome: BatchOutcome, *, expected: int) -> Moved:
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
        "settled_ms": outcome.settled_ms,
        "events": len(outcome.raw),
        "late": outcome.late_count,
        "duplicates": outcome.duplicate_count,
        "backfilled": outcome.backfill_count,
        "mark": outcome.mark,
        "log_id": claim.log_id,
        "partition": claim.partition,
        "epoch": claim.epoch,
        "expected": expected,
    })  # fmt: skip


async def check_moved(moved: Moved, claim: Checkpoint, *, expected: int) -> int:
    """Raise `Fenced` when the offset did not move, before anything is written.

    Return the number of the last tombstone.
    """
    row = await moved.fetchone()
    if row is None:
        raise Fenced(
            f"{claim.topic}/{claim.partition} was claimed by another worker, or has moved on from "
            f"offset {expected}: claim the partition again"
        )
    return int(row[0])


async def add_events(db: Db, claim: Checkpoint, outcome: BatchOutcome, *, received_ms: int) -> None:
    """Copy the raw rows."""
    if not outcome.raw:
        return
    blocks = copying.events(
        outcome.raw, received_ms=received_ms, log_id=claim.log_id, partition=claim.partition
    )
    async with db.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
        for block in blocks:
            await copy.write(block)


async def put_cells(
    db: Db, claim: Checkpoint, cells: Sequence[CellRow], *, ids: dict[CellKey, int], types: RowTypes
) -> None:
    """Replace window cells, each in the table of its width."""
    by_width: dict[int, list[CellRow]] = {}
    for cell in cells:
        by_width.setdefault(cell.width_ms, []).append(cell)
    for width_ms, rows in by_width.items():
        array = wire.cells(types, rows, ids)
        await db.execute(_PUT_CELLS[width_ms], [claim.log_id, claim.partition, array])


def owner_of(claim: Checkpoint) -> int:
    """Return the number by which sessions say that they are followed for a claim's partition."""
    return claim.log_id << PARTITION_BITS | claim.partition


async def put_sessions(
    db: Db, claim: Checkpoint, sessions: Sequence[SessionRow], *, types: RowTypes
) -> None:
    """Replace the rows of sessions, if all of them are still followed for this partition."""
    if sessions:
        array = wire.sessions(types, sessions)
        await db.execute(_PUT_SESSIONS, [owner_of(claim), array, len(sessions)])


async def add_series(db: Db, new: dict[CellKey, int], *, types: RowTypes) -> None:
    """Insert series that the store may not have yet."""
    if new:
        ordered = sorted(new.items(), key=lambda item: item[1])
        await db.execute(_ADD_SERIES, [wire.series(types, ordered)])


async def add_rest(
    db: Db, claim: Checkpoint, outcome: BatchOutcome, *, outbox: Sequence[Record],
    dead_letters: Sequence[DeadLetter], types: RowTypes,
) -> None:  # fmt: skip
    """Add what sessions are to remember, records to be sent, and what could not be read."""
    if outcome.seen:
        array = wire.seen(types, outcome.seen)
        await db.execute(_ADD_SEEN, [claim.log_id, claim.partition, array])
    if outbox:
        await db.execute(_ADD_OUTBOX, [wire.outbox(types, outbox)])
    if dead_letters:
        fields = ("at_ms", "topic", "partition", "offset", "tenant", "origin", "reason", "payload")
        await db.execute(_ADD_DEAD_LETTERS, _arrays(dead_letters, fields))


def _arrays(rows: Sequence[object], fields: Sequence[str]) -> list[list[object]]:
    return [[getattr(row, field) for row in rows] for field in fields]


def _listed(listed: Columns) -> Composed:
    return SQL(", ").join(Identifier(name) for name, _ in listed)


def _changes(listed: Columns) -> Composed:
    return SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name, _ in listed)


def _put_cells(table: str) -> bytes:
    """Return the statement that replaces cells of a table; its rows lack log and partition."""
    return (
        SQL(
            "insert into {table} (log_id, partition, {all})"
            " select %s::int2, %s::int4, {all} from unnest(%b::window_row_v2[])"
            " on conflict ({key}) do update set {changes}"
        )
        .format(
            table=Identifier(table),
            all=_listed(wire.CELLS),
            key=_listed(columns.CELL_KEY),
            changes=_changes(wire.CELLS[len(wire.CELL_HEAD) :]),
        )
        .as_bytes()
    )


_ROW_TYPES: Final = SQL("select {}").format(
    SQL(", ").join(
        SQL("{}::regtype::oid::int8").format(name) for name in RowTypes.__struct_fields__
    )
)
_COPY_EVENTS: Final = SQL("copy events ({}) from stdin (format binary)").format(
    SQL(", ").join(map(Identifier, copying.COLUMNS))
)
_PUT_CELLS: Final = {width_ms: _put_cells(table) for width_ms, table in WINDOWS.items()}
_PUT_SESSIONS: Final = (
    SQL(
        "with replaced as ("
        "insert into sessions (owner, {all})"
        " select %s::int8, {all} from unnest(%b::session_row_v2[])"
        " order by tenant, session_id"
        " on conflict (tenant, session_id) do update set owner = excluded.owner, {changes}"
        " where sessions.owner in (0, excluded.owner) returning 1"
        ") select require_all((select count(*) from replaced), %s::int8)"
    )
    .format(all=_listed(wire.SESSIONS), changes=_changes(wire.SESSIONS[2:]))
    .as_bytes()
)
_ADD_SERIES: Final = (
    SQL(
        "insert into series ({all}) select {all} from unnest(%b::series_row[])"
        " on conflict (series_id) do update set used_at = now()"
        " where series.used_at < now() - interval '1 hour'"
    )
    .format(all=_listed(wire.SERIES))
    .as_bytes()
)
