"""The store's upkeep, as a worker does it: the jobs that are due, and metrics of how the store is.

The store is looked at at most once in `LOOK_S`, since a look costs it more than most jobs.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import Gauge

from streams import metrics
from streams.maintenance import facts, jobs
from streams.maintenance.facts import StoreFacts
from streams.maintenance.retention import Retention

LOOK_S: Final = 60


class Upkeep:
    """Runs the jobs of one store when called, and tells metrics what they lag behind with."""

    def __init__(self, url: str, kept: Retention, *, now_ms: Callable[[], int]) -> None:
        self._url = url
        self._kept = kept
        self._now_ms = now_ms
        self._looked_ms: int | None = None

    async def __call__(self) -> None:
        """Run what is due; raise `StoreAway`."""
        now_ms = self._now_ms()
        await jobs.run_due(self._url, self._kept, now_ms=now_ms)
        if self._looked_ms is None or now_ms - self._looked_ms >= LOOK_S * 1_000:
            tell(await facts.look(self._url, self._kept))
            self._looked_ms = now_ms


def tell(found: StoreFacts) -> None:
    """Set the metrics of the store."""
    for gauge in (metrics.JOB_FAILING, metrics.JOB_FAILURES, metrics.JOB_OVERDUE_SECONDS):
        gauge.clear()
    for job in found.jobs:
        overdue_ms = 0 if job.due_ms is None else max(0, found.at_ms - job.due_ms)
        _set(metrics.JOB_FAILING, job.name, bool(job.error))
        _set(metrics.JOB_FAILURES, job.name, job.failures)
        _set(metrics.JOB_OVERDUE_SECONDS, job.name, overdue_ms / 1_000)
    for table in found.tables:
        _set(metrics.RETENTION_LAG_SECONDS, table.name, table.retention_lag_ms / 1_000)
        _set(metrics.COLUMNSTORE_LATE_CHUNKS, table.name, table.rowwise_late)
    metrics.ROLLUP_LAG_SECONDS.set(found.rollup.lag_ms / 1_000)
    metrics.ROLLUP_CHANGES.set(found.rollup.due)
    metrics.STORE_BYTES.set(found.size_bytes)
    metrics.PARCELS_HELD.set(found.parcels)


def _set(gauge: Gauge, label: str, value: float) -> None:
    gauge.labels(label).set(value)
