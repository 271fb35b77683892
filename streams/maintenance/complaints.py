"""What is wrong with a store, and what to do about it: one sentence each, from its facts alone."""

from collections.abc import Iterator
from typing import Final

from streams.maintenance.facts import COUNTED_MAX, JobFacts, StoreFacts

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

OVERDUE_MS: Final = 10 * MINUTE_MS
"""How long after its time a job may start."""
ROLLUP_LAG_MS_MAX: Final = 15 * MINUTE_MS
RETENTION_LAG_MS_MAX: Final = 2 * DAY_MS
"""Beyond a term; a part is dropped whole, and looked at once an hour or once a day."""
ROWWISE_LATE_MAX: Final = 2
OUTBOX_MAX: Final = 10_000
WORKERS_SPARE: Final = 2
"""Background workers that TimescaleDB wants beside one a policy."""


def of(found: StoreFacts) -> tuple[str, ...]:
    """Return what is wrong, the most pressing first."""
    return tuple(_said(found))


def _said(found: StoreFacts) -> Iterator[str]:
    for job in found.jobs:
        yield from _job(job, found.at_ms)
    if found.rollup.lag_ms > ROLLUP_LAG_MS_MAX:
        yield (
            f"rollups are {found.rollup.lag_ms // MINUTE_MS} min behind, so long ranges are slow: "
            "start a worker, or see why its job `rollups` takes so long"
        )
    for table in found.tables:
        if table.retention_lag_ms > RETENTION_LAG_MS_MAX:
            yield (
                f"{table.name!r} keeps rows {table.retention_lag_ms // DAY_MS} days beyond their "
                "term, and the disk fills: see the job that removes them"
            )
        if table.rowwise_late > ROWWISE_LATE_MAX:
            yield (
                f"{table.rowwise_late} chunks of {table.name!r} are not in the columnstore a day "
                f"after they should be: see the job `columnstore {table.name}`"
            )
    if found.outbox > OUTBOX_MAX:
        more = "more than " if found.outbox >= COUNTED_MAX else ""
        yield (
            f"{more}{found.outbox} results wait to be sent: see whether the broker answers the "
            "worker"
        )
    yield from _workers(found)


def _job(job: JobFacts, now_ms: int) -> Iterator[str]:
    if job.error:
        yield (
            f"the job {job.name!r} failed ({job.error}); it tries again by itself: put that right, "
            "or see the log of the worker or database if it lasts"
        )
    elif job.due_ms is not None and job.due_ms < now_ms - OVERDUE_MS:
        late = (now_ms - job.due_ms) // MINUTE_MS
        runner = (
            "start a worker with `mainstem worker`"
            if job.runner == "worker"
            else "see whether the database may run background workers"
        )
        yield f"the job {job.name!r} is {late} min overdue: {runner}"


def _workers(found: StoreFacts) -> Iterator[str]:
    policies = sum(job.runner == "timescaledb" for job in found.jobs)
    wanted = policies + WORKERS_SPARE
    if policies and 0 < found.background_workers < wanted:
        yield (
            f"TimescaleDB has {policies} policies and may run {found.background_workers} jobs at "
            f"once: set timescaledb.max_background_workers to {wanted} or more, and "
            "max_worker_processes to that and what else runs"
        )
