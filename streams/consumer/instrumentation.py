"""Tells Prometheus, and the worker's health, what becomes of its partitions."""

from collections.abc import Callable

from faust.types import TP

from streams import metrics
from streams.consumer.health import ProgressMonitor
from streams.consumer.partition_processor import Stored
from streams.consumer.tracing import Traces


class MetricsWatch:
    """A `runtime.Watch` that counts."""

    def __init__(
        self, progress: ProgressMonitor, *, on_stored: Callable[[int], None], traces: Traces | None
    ) -> None:
        self._progress = progress
        self._traces = traces
        self._on_stored = on_stored

    def claimed(self, tp: TP) -> None:
        """Count a partition taken over."""
        metrics.CLAIMS.labels(tp.topic).inc()

    def stored(self, tp: TP, stored: Stored) -> None:
        """Count what a commit amounted to."""
        outcome, topic = stored.outcome, tp.topic
        metrics.RECORDS_STORED.labels(topic).inc(outcome.next_offset - outcome.first_offset)
        metrics.LATE.labels(topic).inc(outcome.late_count)
        metrics.DUPLICATES.labels(topic).inc(outcome.duplicate_count)
        metrics.BACKFILLED.labels(topic).inc(outcome.backfill_count)
        metrics.UNPRICED.labels(topic).inc(outcome.unpriced_count)
        metrics.DEAD_LETTERS.labels(topic).inc(stored.dead_letters)
        metrics.REVISED.inc(sum(row.revision > 0 for row in outcome.merged))
        metrics.FORCED.inc(outcome.forced_count)
        for limited in outcome.limited:
            metrics.LIMITED.labels(limited.dimension).inc(limited.events)
        metrics.COMMIT_SECONDS.labels(topic).observe(stored.commit_s)
        metrics.FOLD_SECONDS.labels(topic).observe(stored.fold_s)
        metrics.WATERMARK_MS.labels(topic, str(tp.partition)).set(outcome.settled_ms)
        metrics.OPEN_WINDOWS.labels(topic, str(tp.partition)).set(stored.open_windows)
        metrics.CLOSING_WINDOWS.labels(topic, str(tp.partition)).set(stored.closing)
        metrics.REMEMBERED.labels(topic, str(tp.partition)).set(stored.remembered)
        self._on_stored(stored.results)
        if stored.traced and self._traces is not None:
            self._traces.stored(topic, tp.partition, stored.traced)

    def taken(self, tp: TP, records: int) -> None:
        """Count a batch that is being worked on."""
        metrics.BATCH_RECORDS.labels(tp.topic).observe(records)

    def fenced(self, tp: TP) -> None:
        """Count a partition that another worker had claimed."""
        metrics.FENCED.labels(tp.topic).inc()

    def rewound(self, tp: TP) -> None:
        """Count a partition put back to where the store is."""
        metrics.REWINDS.labels(tp.topic).inc()

    def waiting(self, part: str, reason: str) -> None:
        """Show what is waited for."""
        self._progress.waits(part, reason)
