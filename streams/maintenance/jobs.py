"""What the store needs done from time to time, by whichever worker comes first.

A job runs under an advisory lock of its own, on a connection of its own and off the event loop, so
that several workers may all offer to run it. Each run is recorded in table `jobs`: when it began
and ended, what it did, or why it failed. A job that failed is due again soon; one failing never
keeps another from running.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow

from streams.clients.errors import checked_url, first_line, mapped
from streams.maintenance import (
    erasure_monitoring,
    expired_alerts,
    leftovers,
    policies,
    retention,
    retention_tenants,
    rollups,
)
from streams.maintenance.retention import Retention
from streams.store import levels, partitions, shares
from streams.store.levels import Level
from streams.store.pool import SILENCE_S

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 300
IDLE_TIMEOUT_S: Final = 5
"""How long the store waits for the next statement of a job, whose locks keep commits waiting."""
IDLE_SESSION_TIMEOUT_S: Final = 60
"""How long it waits between two, while nobody else can do the jobs."""
_LIMITS: Final = {
    "statement_timeout": STATEMENT_TIMEOUT_S * 1000,
    "idle_in_transaction_session_timeout": IDLE_TIMEOUT_S * 1000,
    "idle_session_timeout": IDLE_SESSION_TIMEOUT_S * 1000,
    "timezone": "UTC",
}
RETRY_S: Final = 60
"""How soon a job that failed is due again."""
ROLLUPS_S: Final = 10
"""How long rollups rest at least, however many workers there are."""

Db = Connection[TupleRow]
Work = Callable[[Db, Level, Retention, int], object]


class Job(Struct, frozen=True):
    """A job's name, its advisory lock, how often it is due, and what it does."""

    name: str
    lock_key: int
    every_s: int
    work: Work


def _care(db: Db, level: Level, kept: Retention, now_ms: int) -> object:
    terms = {table.name: term for table, term in kept.terms()}
    return {"made": partitions.care(db, level, now_ms=now_ms, terms=terms)}


def _roll_up(db: Db, level: Level, kept: Retention, now_ms: int) -> object:
    del kept
    return rollups.run(db, level, now_ms=now_ms)


def _retain(db: Db, level: Level, kept: Retention, now_ms: int) -> object:
    policed = policies.care(db, level, kept)
    removed = retention.apply(db, level, kept, now_ms=now_ms)
    of_tenants = retention_tenants.sweep(db, level, kept, now_ms=now_ms)
    again = erasure_monitoring.erase_again(db)
    return {
        "removed": removed, "of_tenants": of_tenants, "erased_again": again, "policies": policed,
    }  # fmt: skip


def _clear_up(db: Db, level: Level, kept: Retention, now_ms: int) -> object:
    del level
    return {
        "put_together": leftovers.put_together(db, now_ms=now_ms),
        "series": leftovers.remove_series(db),
        "kept": leftovers.remove_kept(db),
        "told_apart": shares.remove_idle(db),
        "spent": expired_alerts.remove(db, kept, now_ms=now_ms),
    }


JOBS: Final = (
    Job("partitions", 0x4D414A31, 3_600, _care),
    Job("rollups", 0x4D414A33, ROLLUPS_S, _roll_up),
    Job("retention", 0x4D414A32, 3_600, _retain),
    Job("leftovers", 0x4D414A34, 21_600, _clear_up),
)

_IS_DUE: Final = """
select not exists (select from jobs where name = %s and next_due > %s)
"""
_STARTED: Final = """
insert into jobs (name, last_started) values (%s, %s)
on conflict (name) do update set last_started = excluded.last_started
"""
_FINISHED: Final = """
update jobs set last_finished = clock_timestamp(), last_error = %(error)s::text, next_due = %(due)s,
       detail = %(detail)s, runs = runs + 1,
       failures = failures + (%(error)s::text is not null)::int
 where name = %(name)s
"""


async def run_due(url: str, kept: Retention, *, now_ms: int) -> list[str]:
    """Run the jobs that are due and return their names; raise `StoreAway`."""
    return await asyncio.to_thread(run_due_now, url, kept, now_ms=now_ms)


def run_due_now(url: str, kept: Retention, *, now_ms: int) -> list[str]:
    """Run the jobs that are due, in this thread."""
    with (
        mapped("its jobs"),
        psycopg.connect(
            checked_url(url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=" ".join(f"-c {name}={value}" for name, value in _LIMITS.items()),
            application_name="mainstem jobs",
            keepalives_idle=SILENCE_S,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=SILENCE_S * 1000,
        ) as db,
    ):
        level = levels.detect(db)
        return [job.name for job in JOBS if _run(db, job, level, kept, now_ms=now_ms)]


def _run(db: Db, job: Job, level: Level, kept: Retention, *, now_ms: int) -> bool:
    if not _is_true(db, "select pg_try_advisory_lock(%s)", [job.lock_key]):
        return False
    try:
        now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
        if not _is_true(db, _IS_DUE, [job.name, now]):
            return False
        db.execute(_STARTED, [job.name, now])
        done, problem = _attempt(db, job, level, kept, now_ms=now_ms)
        _record(db, job, now, detail=done, error=problem)
        return True
    finally:
        if not db.broken:
            db.execute("select pg_advisory_unlock(%s)", [job.lock_key])


def _attempt(
    db: Db, job: Job, level: Level, kept: Retention, *, now_ms: int
) -> tuple[object, str | None]:
    """Do the work; return what it did, or why it failed."""
    try:
        return job.work(db, level, kept, now_ms), None
    except psycopg.Error as error:
        if db.broken:
            raise
        log.warning("a store job failed", extra={"job": job.name, "error": first_line(error)})
        return {}, first_line(error)


def _record(db: Db, job: Job, now: datetime, *, detail: object, error: str | None) -> None:
    due = now + timedelta(seconds=job.every_s if error is None else min(RETRY_S, job.every_s))
    bound = {"error": error, "due": due, "detail": json.dumps(detail), "name": job.name}
    db.execute(_FINISHED, bound)


def _is_true(db: Db, query: str, values: list[object]) -> bool:
    row = db.execute(query.encode(), values).fetchone()
    return row is not None and row[0] is True
