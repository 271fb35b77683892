"""Native partitions by time, for a store without hypertables.

They are made ahead of time, and behind it where imported events have put rows: a row without a
partition waits in the table's default one and moves once its own is made, so nothing is refused. A
partition is dropped once all it can hold is too old. Every step is a transaction of its own and
gives up after `LOCK_TIMEOUT_S`, to be tried again at the next round.
"""

from collections.abc import Iterator
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


class TimeTable(Struct, frozen=True):
    """A table that is cut by time: by which column, into what, and made how far ahead."""

    name: str
    column: str
    period: Period
    ahead: int


TABLES: Final = (
    TimeTable("events", "received_at", Period.DAY, 3),
    TimeTable("window_10s", "start_at", Period.DAY, 2),
    TimeTable("window_1m", "start_at", Period.DAY, 2),
    TimeTable("window_1h", "start_at", Period.MONTH, 1),
)


def care(db: Connection[TupleRow], level: Level, *, now_ms: int) -> list[str]:
    """Make the partitions that are needed soon or have rows waiting; return their names."""
    if level.has_hypertables:
        return []
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    return [
        _make(db, table, start)
        for table in TABLES
        for start in sorted(_wanted(db, table, now) - set(_existing(db, table)))
    ]


def drop_before(db: Connection[TupleRow], table: TimeTable, cutoff: datetime) -> list[str]:
    """Drop the partitions that end at or before `cutoff`, and older rows that have none."""
    dropped = []
    for start in sorted(_existing(db, table)):
        if _next(table.period, start) > cutoff:
            break
        name = _name(table, start)
        with db.transaction():
            db.execute(SQL("set local lock_timeout = '{}s'").format(LOCK_TIMEOUT_S))
            db.execute(SQL("drop table {}").format(Identifier(name)))
        dropped.append(name)
    db.execute(
        SQL("delete from {} where {} < {}").format(
            Identifier(_default(table)), Identifier(table.column), Literal(_floor(table, cutoff))
        )
    )
    return dropped


def oldest(db: Connection[TupleRow], table: TimeTable) -> tuple[datetime, datetime] | None:
    """Return the span of the oldest partition, if the table has any of its own."""
    start = min(_existing(db, table), default=None)
    return None if start is None else (start, _next(table.period, start))


def _wanted(db: Connection[TupleRow], table: TimeTable, now: datetime) -> set[datetime]:
    start = _floor(table, now)
    wanted = {_floor(table, start - timedelta(days=1)), start}
    for _ in range(table.ahead):
        start = _next(table.period, start)
        wanted.add(start)
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
    """Make one partition with the rows that wait for it, while nobody adds to the default one."""
    name = _name(table, start)
    parts = {
        "new": Identifier(name),
        "parent": Identifier(table.name),
        "default": Identifier(_default(table)),
        "column": Identifier(table.column),
        "start": Literal(start),
        "end": Literal(_next(table.period, start)),
        "seconds": LOCK_TIMEOUT_S,
    }
    with db.transaction():
        for step in _STEPS:
            db.execute(SQL(step).format(**parts))
    return name


_STEPS: Final = (
    "set local lock_timeout = '{seconds}s'",
    "lock table {default} in access exclusive mode",
    "create table {new} (like {parent} including all) with (fillfactor = 70)",
    "insert into {new} select * from {default} where {column} >= {start} and {column} < {end}",
    "delete from {default} where {column} >= {start} and {column} < {end}",
    "alter table {parent} attach partition {new} for values from ({start}) to ({end})",
)


def _floor(table: TimeTable, at: datetime) -> datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return day.replace(day=1) if table.period is Period.MONTH else day


def _next(period: Period, start: datetime) -> datetime:
    if period is Period.DAY:
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)


def _stamp(table: TimeTable) -> str:
    return "%Y%m%d" if table.period is Period.DAY else "%Y%m"


def _name(table: TimeTable, start: datetime) -> str:
    return f"{table.name}_{start.strftime(_stamp(table))}"


def _default(table: TimeTable) -> str:
    return f"{table.name}_default"
