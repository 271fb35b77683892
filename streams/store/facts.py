"""How the store is: its level and version, what it holds, and whether its jobs keep up.

Read by the System page and by `doctor`. Every figure comes from PostgreSQL's catalogue or from one
small table, so the answer costs a few milliseconds whatever the store holds.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from analytics.measures.rows import WIDTHS_MS
from streams.store import levels, partitions
from streams.store.away import mapped
from streams.store.batch import WINDOWS
from streams.store.levels import Level
from streams.store.partitions import TimeTable
from streams.store.retention import Retention

Db = Connection[TupleRow]

PLAIN_TABLES: Final = ("series", "sessions", "seen", "outbox", "graveyard")


class TableFacts(Struct, frozen=True, kw_only=True):
    """One table: its size on disk with indexes, how many rows about, and in how many parts."""

    name: str
    size_bytes: int
    rows_about: int
    parts: int
    oldest: datetime | None = None
    """When the oldest part begins."""
    retention_lag_s: float = 0.0
    """By how much the oldest part that should be gone has outlived its term; 0 is healthy."""


class JobFacts(Struct, frozen=True, kw_only=True):
    """One job: when it last ran, and why it failed if it did."""

    name: str
    last_started: datetime | None
    last_finished: datetime | None
    last_error: str | None
    next_due: datetime | None


class LagFacts(Struct, frozen=True, kw_only=True):
    """How far the newest closed window of a width is behind the stream's newest watermark."""

    table: str
    lag_s: float


class StoreFacts(Struct, frozen=True, kw_only=True):
    """The store as it is now."""

    level: Level
    server_version: str
    timescaledb_version: str | None
    schema_version: int
    database_bytes: int
    tables: tuple[TableFacts, ...]
    jobs: tuple[JobFacts, ...]
    rollup_lags: tuple[LagFacts, ...]
    outbox_waiting: int

    @property
    def failing_jobs(self) -> tuple[JobFacts, ...]:
        """The jobs whose last run failed."""
        return tuple(job for job in self.jobs if job.last_error is not None)


def facts(db: Db, *, kept: Retention | None = None) -> StoreFacts:
    """Return how the store is; raise `StoreAway` when it does not say."""
    with mapped("a look at its state"):
        level = levels.detect(db)
        terms = tuple((kept or Retention()).terms())
        timed = tuple(_timed(db, level, table, term.total_seconds()) for table, term in terms)
        return StoreFacts(
            level=level,
            server_version=_text(db, "show server_version"),
            timescaledb_version=levels.timescaledb_version(db),
            schema_version=_number(db, "select coalesce(max(version), 0) from schema_migrations"),
            database_bytes=_number(db, "select pg_database_size(current_database())"),
            tables=(*timed, *(_plain(db, name) for name in PLAIN_TABLES)),
            jobs=_jobs(db),
            rollup_lags=tuple(_lag(db, width, WINDOWS[width]) for width in WIDTHS_MS),
            outbox_waiting=_number(db, "select count(*) from outbox"),
        )


_PLAIN: Final = """
select pg_total_relation_size(oid), greatest(reltuples, 0)::int8
  from pg_class where oid = to_regclass(%s)
"""
_PARTITIONED: Final = """
select coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8,
       coalesce(sum(greatest(c.reltuples, 0)), 0)::int8,
       count(*)
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
 where i.inhparent = to_regclass(%s)
"""
_HYPERTABLE: Final = """
select coalesce(hypertable_size(to_regclass(%(name)s)), 0),
       coalesce(approximate_row_count(to_regclass(%(name)s)), 0),
       (select count(*) from timescaledb_information.chunks where hypertable_name = %(name)s)
"""
_OLDEST_CHUNK: Final = """
select range_start, range_end from timescaledb_information.chunks
 where hypertable_name = %s order by range_start limit 1
"""
_OUTLIVED: Final = """
select greatest(extract(epoch from now() - %s) - %s, 0)::float8
"""
_JOBS: Final = """
select name, last_started, last_finished, last_error, next_due from jobs order by name
"""


def _plain(db: Db, name: str) -> TableFacts:
    size, rows = db.execute(_PLAIN, [name]).fetchone() or (0, 0)
    return TableFacts(name=name, size_bytes=size, rows_about=rows, parts=1)


def _timed(db: Db, level: Level, table: TimeTable, term_s: float) -> TableFacts:
    if level.has_hypertables:
        found = db.execute(_HYPERTABLE, {"name": table.name}).fetchone()
        span = db.execute(_OLDEST_CHUNK, [table.name]).fetchone()
    else:
        found = db.execute(_PARTITIONED, [table.name]).fetchone()
        span = partitions.oldest(db, table)
    size, rows, parts = found or (0, 0, 0)
    begins, ends = span or (None, None)
    lag = db.execute(_OUTLIVED, [ends, term_s]).fetchone()
    return TableFacts(
        name=table.name,
        size_bytes=size,
        rows_about=rows,
        parts=parts,
        oldest=begins,
        retention_lag_s=(lag[0] if lag else None) or 0.0,
    )


def _jobs(db: Db) -> tuple[JobFacts, ...]:
    return tuple(
        JobFacts(
            name=name,
            last_started=started,
            last_finished=finished,
            last_error=error,
            next_due=due,
        )
        for name, started, finished, error, due in db.execute(_JOBS)
    )


def _lag(db: Db, width_ms: int, table: str) -> LagFacts:
    """Compare the newest watermark with the end of the newest window that is closed."""
    query = SQL("""
        select ledger.newest - width.ms - (extract(epoch from closed.start_at) * 1000)::float8
          from (select max(watermark_ms) as newest from ledger) ledger,
               (select %s::float8 as ms) width,
               (select start_at from {} where closed order by start_at desc limit 1) closed
    """).format(Identifier(table))
    row = db.execute(query, [width_ms]).fetchone()
    return LagFacts(table=table, lag_s=max(float(row[0]), 0.0) / 1000 if row else 0.0)


def _text(db: Db, query: str) -> str:
    row = db.execute(query.encode()).fetchone()
    return "" if row is None else str(row[0])


def _number(db: Db, query: str) -> int:
    row = db.execute(query.encode()).fetchone()
    return 0 if row is None else int(row[0])
