"""One batch written into an open transaction: the guard first, then rows, all set-wise.

Raw rows are copied straight into their table. Windows and sessions are copied into temporary tables
of the connection and go from there in one upsert a table, which is four times cheaper for the
client than arrays. Series come first and sorted, so that two workers that meet a new series at the
same time wait for each other and never deadlock.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from psycopg.sql import SQL, Composed, Identifier

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced
from analytics.measures.rows import WIDTHS_MS, CellKey, CellRow, Outcome
from streams.ledger import Burial, Claim
from streams.store import columns
from streams.store.columns import Columns, Value
from streams.store.pool import Db
from streams.store.series import FIELDS

WINDOWS: Final = dict(zip(WIDTHS_MS, ("window_10s", "window_1m", "window_1h"), strict=True))
"""The table of each window width."""
_STAGED_CELLS: Final[Columns] = (("width_ms", "int4"), *columns.CELLS)
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


async def prepare(db: Db) -> None:
    """Give a new connection its temporary tables."""
    for table, listed in (("staged_cells", _STAGED_CELLS), ("staged_sessions", columns.SESSIONS)):
        fields = SQL(", ").join(
            SQL("{} {}").format(Identifier(name), Identifier(kind)) for name, kind in listed
        )
        create = SQL("create temporary table {} ({}) on commit delete rows")
        await db.execute(create.format(Identifier(table), fields))
    await db.commit()


async def move(db: Db, claim: Claim, outcome: Outcome, *, expected: int) -> None:
    """Move the offset, if the claim still holds and the batch is the one that comes next."""
    if not expected <= outcome.first_offset <= outcome.next_offset:
        raise Fenced(
            f"{claim.topic}/{claim.partition} is at offset {expected}, and the batch spans "
            f"{outcome.first_offset} to {outcome.next_offset}: claim the partition again"
        )
    moved = await db.execute(_MOVE, {
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
    if outcome.raw:
        await _copy(db, "events", columns.EVENTS, rows)


async def put_cells(
    db: Db, claim: Claim, cells: Sequence[CellRow], *, ids: dict[CellKey, int]
) -> None:
    """Replace window cells, each in the table of its width."""
    if not cells:
        return
    rows = (
        (
            cell.width_ms,
            columns.instant(cell.start_ms),
            ids[cell.key],
            claim.log_id,
            claim.partition,
            cell.batch_offset,
            *columns.sums_of(cell.measures),
            cell.latency,
            cell.closed,
        )
        for cell in cells
    )
    await _copy(db, "staged_cells", _STAGED_CELLS, rows)
    async with db.pipeline():
        for width_ms in {cell.width_ms for cell in cells}:
            await db.execute(_PUT_CELLS[width_ms], [width_ms])


async def put_sessions(db: Db, outcome: Outcome) -> None:
    """Replace the rows of sessions."""
    if outcome.sessions:
        rows = map(columns.session_values, outcome.sessions)
        await _copy(db, "staged_sessions", columns.SESSIONS, rows)
        await db.execute(_PUT_SESSIONS)


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


async def _copy(db: Db, table: str, listed: Columns, rows: Iterable[tuple[Value, ...]]) -> None:
    statement = SQL("copy {} ({}) from stdin (format binary)").format(
        Identifier(table), _listed(listed)
    )
    async with db.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(columns.wire_types(listed))
        for row in rows:
            await copy.write_row(row)


def _arrays(rows: Sequence[object], fields: Sequence[str]) -> list[list[object]]:
    return [[getattr(row, field) for row in rows] for field in fields]


def _listed(listed: Columns) -> Composed:
    return SQL(", ").join(Identifier(name) for name, _ in listed)


def _upsert(table: str, listed: Columns, key: int, source: str, where: SQL) -> bytes:
    """Return the statement that replaces rows of `table`, known by their first `key` columns."""
    return (
        SQL(
            "insert into {table} ({all}) select {all} from {source} {where}"
            " on conflict ({key}) do update set {changes}"
        )
        .format(
            table=Identifier(table),
            all=_listed(listed),
            source=Identifier(source),
            where=where,
            key=_listed(listed[:key]),
            changes=SQL(", ").join(
                SQL("{0} = excluded.{0}").format(Identifier(name)) for name, _ in listed[key:]
            ),
        )
        .as_bytes()
    )


_PUT_CELLS: Final = {
    width_ms: _upsert(
        table,
        columns.CELLS,
        len(columns.CELL_KEY),
        "staged_cells",
        SQL("where width_ms = %s"),
    )
    for width_ms, table in WINDOWS.items()
}
_PUT_SESSIONS: Final = _upsert(
    "sessions", columns.SESSIONS, 2, "staged_sessions", SQL("order by tenant, session_id")
)
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
