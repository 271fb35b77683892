"""How the store is: its level and version, what it holds, and whether its upkeep keeps up.

Read by `doctor`, the System page and the worker's metrics, so that all three say the same. Figures
come from the database's catalogue and from small tables; what may grow is counted up to a limit, so
an answer costs some ten milliseconds whatever the store holds.
"""

import asyncio
from datetime import timedelta
from typing import Final, TypeVar

import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow, class_row

from streams.clients.errors import checked_url, mapped
from streams.maintenance import sizes
from streams.maintenance.retention import Retention
from streams.maintenance.sizes import TableFacts
from streams.store import levels
from streams.store.dirty_periods import PERIOD_MS
from streams.store.levels import Level

Db = Connection[TupleRow]
T = TypeVar("T", bound=Struct)

CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 10
COUNTED_MAX: Final = 100_000
"""How far rows are counted of what waits; more is told as this many."""


class JobFacts(Struct, frozen=True, kw_only=True):
    """One job: how its last run went, and when the next is due."""

    name: str
    runner: str
    """`worker`, or `timescaledb` for a policy that the database runs by itself."""
    started_ms: int | None
    finished_ms: int | None
    due_ms: int | None
    error: str
    """Why the last run failed; empty where it did not."""
    runs: int
    failures: int


class RollupFacts(Struct, frozen=True, kw_only=True):
    """What changed in the 1-minute windows and is not rolled up to 5 minutes yet.

    Readers take those periods from the 1-minute windows, so a lag makes answers slower, not wrong.
    """

    due: int
    """Changes that wait, counted up to `COUNTED_MAX`."""
    lag_ms: int
    """How long the oldest of them has been waiting."""
    oldest_ms: int | None
    """The oldest event time that waits; None where nothing does."""


class StoreFacts(Struct, frozen=True, kw_only=True):
    """The store as it is now."""

    at_ms: int
    """The database's own time."""
    level: Level
    server_version: str
    timescaledb_version: str
    schema: str
    """The newest migration, by number and name."""
    size_bytes: int
    tables: tuple[TableFacts, ...]
    jobs: tuple[JobFacts, ...]
    rollup: RollupFacts
    outbox: int
    """Results to be sent, counted up to `COUNTED_MAX`."""
    parcels: int
    """Parcels of partial windows that the second stage holds, counted up to `COUNTED_MAX`."""
    background_workers: int
    """How many jobs TimescaleDB may run at once; 0 where it runs none or does not say."""

    @property
    def version(self) -> str:
        """What runs, in words."""
        extension = self.timescaledb_version
        return f"PostgreSQL {self.server_version}" + (
            f", TimescaleDB {extension}" if extension else ""
        )

    @property
    def failing_jobs(self) -> tuple[JobFacts, ...]:
        """The jobs whose last run failed."""
        return tuple(job for job in self.jobs if job.error)


def facts(db: Db, *, kept: Retention | None = None) -> StoreFacts:
    """Return how the store is; raise `StoreAway` when it does not say.

    Terms are those that a worker's retention job last worked by, unless `kept` says otherwise.
    """
    with mapped("a look at its state"):
        level = levels.detect(db)
        about = _rows(db, _About, _ABOUT)[0]
        return StoreFacts(
            at_ms=about.at_ms,
            level=level,
            server_version=about.server_version,
            timescaledb_version=levels.timescaledb_version(db) or "",
            schema=about.schema,
            size_bytes=about.size_bytes,
            tables=sizes.tables(db, level, _terms(db, kept)),
            jobs=_rows(db, JobFacts, _JOBS)
            + (_rows(db, JobFacts, _POLICIES) if level.has_policies else ()),
            rollup=_rows(db, RollupFacts, _ROLLUP)[0],
            outbox=_rows(db, _Waiting, _OUTBOX)[0].rows,
            parcels=_rows(db, _Waiting, _PARCELS)[0].rows,
            background_workers=about.background_workers if level.has_policies else 0,
        )


async def look(url: str, kept: Retention) -> StoreFacts:
    """Connect, return how the store is and leave; raise `StoreAway` when it does not say."""
    return await asyncio.to_thread(_look, url, kept)


def _look(url: str, kept: Retention) -> StoreFacts:
    with (
        mapped("a look at its state"),
        psycopg.connect(
            checked_url(url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000} -c timezone=UTC",
            application_name="mainstem look",
        ) as db,
    ):
        return facts(db, kept=kept)


class _About(Struct):
    server_version: str
    size_bytes: int
    at_ms: int
    schema: str
    background_workers: int


class _Waiting(Struct):
    rows: int


_ABOUT: Final = """
select current_setting('server_version') as server_version,
       pg_database_size(current_database()) as size_bytes,
       (extract(epoch from now()) * 1000)::bigint as at_ms,
       coalesce((select version || ' ' || name from schema_migrations
                  order by version desc, level desc limit 1), '') as schema,
       coalesce(current_setting('timescaledb.max_background_workers', true), '0')::int
           as background_workers
"""
_JOBS: Final = """
select name, 'worker' as runner,
       (extract(epoch from last_started) * 1000)::bigint as started_ms,
       (extract(epoch from last_finished) * 1000)::bigint as finished_ms,
       (extract(epoch from next_due) * 1000)::bigint as due_ms,
       coalesce(last_error, '') as error, runs, failures
  from jobs
 order by name
 limit %(limit)s
"""
_POLICIES: Final = """
select case job.proc_name when 'policy_compression' then 'columnstore'
                          when 'policy_retention' then 'retention'
                          when 'policy_refresh_continuous_aggregate' then 'refresh'
                          else job.proc_name end || ' ' || job.hypertable_name as name,
       'timescaledb' as runner,
       (extract(epoch from nullif(ran.last_run_started_at, '-infinity')) * 1000)::bigint
           as started_ms,
       (extract(epoch from nullif(ran.last_successful_finish, '-infinity')) * 1000)::bigint
           as finished_ms,
       (extract(epoch from nullif(nullif(job.next_start, '-infinity'), 'infinity')) * 1000)::bigint
           as due_ms,
       case when ran.last_run_status = 'Failed' then coalesce(
           (select failed.err_message from timescaledb_information.job_errors failed
             where failed.job_id = job.job_id order by failed.finish_time desc limit 1),
           'it does not say why') else '' end as error,
       coalesce(ran.total_runs, 0) as runs, coalesce(ran.total_failures, 0) as failures
  from timescaledb_information.jobs job
  left join timescaledb_information.job_stats ran on ran.job_id = job.job_id
 where job.hypertable_name is not null
 order by 1
 limit %(limit)s
"""
_ROLLUP: Final = """
select count(*) as due,
       coalesce((extract(epoch from clock_timestamp() - min(marked_at)) * 1000)::bigint, 0)
           as lag_ms,
       (extract(epoch from min(start_at)) * 1000)::bigint as oldest_ms
  from (select start_at, marked_at from rollup_due where width_ms = %(width_ms)s
         order by marked_at limit %(limit)s) waiting
"""
_OUTBOX: Final = """
select count(*) as rows from (select from outbox limit %(limit)s) waiting
"""
_PARCELS: Final = """
select count(*) as rows from (select from parcels limit %(limit)s) held
"""
_TERMS: Final = """
select name, term_s * interval '1 second' from kept where term_s is not null
"""


_BOUND: Final = {"limit": COUNTED_MAX, "width_ms": PERIOD_MS}


def _rows(db: Db, kind: type[T], query: str) -> tuple[T, ...]:
    with db.cursor(row_factory=class_row(kind)) as cursor:
        return tuple(cursor.execute(query.encode(), _BOUND).fetchall())


def _terms(db: Db, kept: Retention | None) -> dict[str, timedelta]:
    """Return for how long the tables are kept: as given, or as a worker's job last did."""
    if kept is not None:
        return {table.name: term for table, term in kept.terms()}
    return dict(db.execute(_TERMS).fetchall())
