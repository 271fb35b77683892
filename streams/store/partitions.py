"""Native partitions by time, for a store without hypertables.

They are made ahead of time, and behind it as far as late and imported events may reach: a row
without a partition waits in the table's default one and moves once its own is made, so nothing is
refused. A partition is dropped once all it can hold is too old. Every step is a transaction of its
own and gives up after `LOCK_TIMEOUT_S`, to be tried again at the next round.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier, Literal

from streams.store.levels import Level

LOCK_TIMEOUT_S: Final = 5
MOVED_PERIODS_MAX: Final = 400
"""How many periods one round makes partitions for, out of a default partition."""


class Period(StrEnum):
    """How much time one partition spans."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class TimeTable(Struct, frozen=True):
    """A table that is cut by time: by which column, into what, and made how far ahead."""

    name: str
    column: str
    period: Period
    ahead: int
    reached_back: bool = False
    """Whether the stream writes rows as old as the table keeps."""


TABLES: Final = (
    TimeTable("events", "received_at", Period.DAY, 3),
    TimeTable("window_10s", "start_at", Period.DAY, 2, reached_back=True),
    TimeTable("window_1m", "start_at", Period.DAY, 2, reached_back=True),
    TimeTable("window_5m", "start_at", Period.MONTH, 1, reached_back=True),
    TimeTable("window_1h", "start_at", Period.MONTH, 1, reached_back=True),
    TimeTable("window_1d", "start_at", Period.YEAR, 1, reached_back=True),
    TimeTable("scores", "at", Period.DAY, 2),
    TimeTable("rollup_5m", "start_at", Period.DAY, 2),
    TimeTable("rollup_1h", "start_at", Period.MONTH, 1),
    TimeTable("rollup_1d", "start_at", Period.YEAR, 1),
    TimeTable("total_1m", "start_at", Period.MONTH, 1),
    TimeTable("total_5m", "start_at", Period.MONTH, 1),
    TimeTable("total_1h", "start_at", Period.MONTH, 1),
    TimeTable("total_1d", "start_at", Period.YEAR, 1),
)
NAMED: Final = {table.name: table for table in TABLES}


def care(
    db: Connection[TupleRow],
    level: Level,
    *,
    now_ms: int,
    terms: Mapping[str, timedelta] | None = None,
) -> list[str]:
    """Make the partitions that are needed soon or have rows waiting; return their names.

    With the `terms` of tables, also those back to the oldest that the stream may write.
    """
    if level.has_hypertables:
        return []
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    made = []
    for table in TABLES:
        reach = (terms or {}).get(table.name, timedelta()) if table.reached_back else timedelta()
        wanted = _wanted(db, table, now, reach)
        made += [_make(db, table, start) for start in sorted(wanted - set(_existing(db, table)))]
    return made


def ensure(
    db: Connection[TupleRow], level: Level, table: TimeTable, times: Iterable[datetime]
) -> None:
    """Make the partitions that rows of these times belong to."""
    if level.has_hypertables:
        return
    wanted = {_floor(table, at) for at in times}
    for start in sorted(wanted - set(_existing(db, table))):
        _make(db, table, start)


def end_before(table: TimeTable, cutoff: datetime) -> datetime:
    """Return the end of the newest period that is over at `cutoff`."""
    return _floor(table, cutoff)


def drop_before(db: Connection[TupleRow], table: TimeTable, end: datetime) -> list[str]:
    """Drop the partitions that end by `end`, and older rows that have none.

    The caller has a transaction open and the table locked.
    """
    starts = [start for start in sorted(_existing(db, table)) if _next(table.period, start) <= end]
    for start in starts:
        db.execute(SQL("drop table {}").format(Identifier(_name(table, start))))
    db.execute(
        SQL("delete from {} where {} < {}").format(
            Identifier(_default(table)), Identifier(table.column), Literal(end)
        )
    )
    return [_name(table, start) for start in starts]


def oldest(db: Connection[TupleRow], table: TimeTable) -> tuple[datetime, datetime] | None:
    """Return the span of the oldest partition, if the table has any of its own."""
    start = min(_existing(db, table), default=None)
    return None if start is None else (start, _next(table.period, start))


def _wanted(
    db: Connection[TupleRow], table: TimeTable, now: datetime, reach: timedelta
) -> set[datetime]:
    start = _floor(table, min(now - reach, now - timedelta(days=1)))
    last = _floor(table, now)
    for _ in range(table.ahead):
        last = _next(table.period, last)
    wanted = set()
    while start <= last:
        wanted.add(start)
        start = _next(table.period, start)
    return wanted | set(_waiting(db, table))


def _waiting(db: Connection[TupleRow], table: TimeTable) -> Iterator[datetime]:
    """Return the periods that rows of the default partition belong to, oldest first."""
    rows = db.execute(
        SQL(
            "select distinct date_trunc({}, {} at time zone 'UTC') from {} order by 1 limit {}"
        ).format(
            Literal(str(table.period)),
            Identifier(table.column),
            Identifier(_default(table)),
            MOVED_PERIODS_MAX,
        )
    )
    return (at.replace(tzinfo=UTC) for (at,) in rows)


def _existing(db: Connection[TupleRow], table: TimeTable) -> Iterator[datetime]:
    rows = db.execute(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = to_regclass(%s)",
        [table.name],
    ).fetchall()
    for (name,) in rows:
        stamp = str(name).removeprefix(f"{table.name}_")
        if stamp.isdigit():
            yield datetime.strptime(stamp, _stamp(table)).replace(tzinfo=UTC)


def _make(db: Connection[TupleRow], table: TimeTable, start: datetime) -> str:
    """Make one partition with the rows that wait for it, while nobody adds to the default one.

    Its pages leave room for changed rows to stay where they are; raw events never change.
    """
    name = _name(table, start)
    parts = {
        "new": Identifier(name),
        "parent": Identifier(table.name),
        "default": Identifier(_default(table)),
        "column": Identifier(table.column),
        "start": Literal(start),
        "end": Literal(_next(table.period, start)),
        "seconds": LOCK_TIMEOUT_S,
        "filled": 100 if table.column == "received_at" else 70,
    }
    with db.transaction():
        for step in _STEPS:
            db.execute(SQL(step).format(**parts))
    return name


_STEPS: Final = (
    "set local lock_timeout = '{seconds}s'",
    "lock table {default} in access exclusive mode",
    "create table {new} (like {parent} including all) with (fillfactor = {filled})",
    "insert into {new} select * from {default} where {column} >= {start} and {column} < {end}",
    "delete from {default} where {column} >= {start} and {column} < {end}",
    "alter table {parent} attach partition {new} for values from ({start}) to ({end})",
)


_STAMPS: Final = {Period.DAY: "%Y%m%d", Period.MONTH: "%Y%m", Period.YEAR: "%Y"}


def _floor(table: TimeTable, at: datetime) -> datetime:
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match table.period:
        case Period.DAY:
            return day
        case Period.MONTH:
            return day.replace(day=1)
        case Period.YEAR:
            return day.replace(month=1, day=1)


def _next(period: Period, start: datetime) -> datetime:
    match period:
        case Period.DAY:
            return start + timedelta(days=1)
        case Period.MONTH:
            return (start + timedelta(days=32)).replace(day=1)
        case Period.YEAR:
            return start.replace(year=start.year + 1)


def _stamp(table: TimeTable) -> str:
    return _STAMPS[table.period]


def _name(table: TimeTable, start: datetime) -> str:
    return f"{table.name}_{start.strftime(_stamp(table))}"


def _default(table: TimeTable) -> str:
    return f"{table.name}_default"
