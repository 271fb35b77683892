"""What a worker counts about itself, for Prometheus.

All names start with `streams_`; labels are topics and partitions that are declared, and a few fixed
words. They live in a registry of their own, beside the memory and CPU of the process.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RECORDS: Final = (1, 5, 10, 50, 100, 500, 1_000, 2_500, 5_000, 10_000)
PARTITION: Final = ("topic", "partition")
REGISTRY: Final = CollectorRegistry()
PROCESS: Final = (ProcessCollector(registry=REGISTRY), GCCollector(registry=REGISTRY))

RECORDS_STORED: Final = Counter(
    "streams_records_stored", "Records whose batch is in the store.", ["topic"], registry=REGISTRY
)
LATE: Final = Counter(
    "streams_late",
    "Events that came after their window had closed; of partials, when it was kept no more.",
    ["topic"],
    registry=REGISTRY,
)
DUPLICATES: Final = Counter(
    "streams_duplicates", "Events that were counted before.", ["topic"], registry=REGISTRY
)
BACKFILLED: Final = Counter("streams_backfilled", "Imported events.", ["topic"], registry=REGISTRY)
REVISED: Final = Counter(
    "streams_windows_revised", "Windows of several partitions that were published again.",
    registry=REGISTRY,
)  # fmt: skip
FORCED: Final = Counter(
    "streams_windows_forced", "Windows of several partitions that closed early, for want of room.",
    registry=REGISTRY,
)  # fmt: skip
UNPRICED: Final = Counter(
    "streams_unpriced_requests",
    "Model requests that took tokens, stated no cost and whose model, or mode, has no price.",
    ["topic"],
    registry=REGISTRY,
)
LIMITED: Final = Counter(
    "streams_limited",
    "Events counted as the value `other` of a dimension, since their tenant had too many.",
    ["dimension"],
    registry=REGISTRY,
)
DEAD_LETTERS: Final = Counter(
    "streams_dead_letters", "Records that could not be read, kept as dead letters.", ["topic"],
    registry=REGISTRY,
)  # fmt: skip
UNSIGNED: Final = Counter(
    "streams_unsigned",
    "Records that no key of ours signed, kept as dead letters: `missing` or `wrong` signatures.",
    ["topic", "signature"],
    registry=REGISTRY,
)
BATCH_RECORDS: Final = Histogram(
    "streams_batch_records", "Records in a batch.", ["topic"], buckets=RECORDS, registry=REGISTRY
)
COMMIT_SECONDS: Final = Histogram(
    "streams_commit_seconds",
    "The store's transaction of one batch.",
    ["topic"],
    buckets=SECONDS,
    registry=REGISTRY,
)
FOLD_SECONDS: Final = Histogram(
    "streams_fold_seconds",
    "Decoding and folding one batch.",
    ["topic"],
    buckets=SECONDS,
    registry=REGISTRY,
)
LAG_RECORDS: Final = Gauge(
    "streams_lag_records", "Records on the broker that are not in the store.", PARTITION,
    registry=REGISTRY,
)  # fmt: skip
WATERMARK_MS: Final = Gauge(
    "streams_watermark_ms", "Event time up to which windows are closed.", PARTITION,
    registry=REGISTRY,
)  # fmt: skip
OPEN_WINDOWS: Final = Gauge(
    "streams_open_windows", "Cells of windows that are still open.", PARTITION, registry=REGISTRY
)
CLOSING_WINDOWS: Final = Gauge(
    "streams_closing_windows",
    "Cells of windows that have ended and wait to be closed, a slice a commit.",
    PARTITION, registry=REGISTRY,
)  # fmt: skip
REMEMBERED: Final = Gauge(
    "streams_remembered_entries",
    "Entries in memory beside open windows: of sessions, ids or partials.",
    PARTITION, registry=REGISTRY,
)  # fmt: skip
PROGRESS_AGE_SECONDS: Final = Gauge(
    "streams_progress_age_seconds",
    "How long there has been lag without progress; 0 without lag.",
    registry=REGISTRY,
)
WAITING: Final = Gauge(
    "streams_waiting", "1 while the worker waits for a part that is away.", ["part"],
    registry=REGISTRY,
)  # fmt: skip
WAITING_BYTES: Final = Gauge(
    "streams_waiting_bytes", "Bytes of records that wait to be folded.", registry=REGISTRY
)
HELD_PARTITIONS: Final = Gauge(
    "streams_held_partitions",
    "Partitions that are not read further because enough of them waits.",
    registry=REGISTRY,
)
OUTBOX_RECORDS: Final = Gauge(
    "streams_outbox_records", "Results in the store that were not sent yet, about.",
    registry=REGISTRY,
)  # fmt: skip
CLAIMS: Final = Counter("streams_takeovers", "Partitions taken over.", ["topic"], registry=REGISTRY)
FENCED: Final = Counter(
    "streams_fenced", "Partitions that another worker had claimed.", ["topic"], registry=REGISTRY
)
REWINDS: Final = Counter(
    "streams_rewinds", "Partitions put back to where the store is.", ["topic"], registry=REGISTRY
)
LOGS_REPLACED: Final = Counter(
    "streams_logs_replaced", "Brokers that came back as another, with a new log.", registry=REGISTRY
)
LOST: Final = Counter(
    "streams_lost", "Records that the broker removed before they were read.", ["topic"],
    registry=REGISTRY,
)  # fmt: skip
RESTARTS: Final = Counter(
    "streams_restarts", "Times the stream was rebuilt, by reason.", ["reason"], registry=REGISTRY
)
RESULTS_SENT: Final = Counter(
    "streams_results_sent", "Records of the outbox that the broker acknowledged.", registry=REGISTRY
)
JOB_RUNS: Final = Counter(
    "streams_job_runs", "Rounds of the store's jobs.", ["outcome"], registry=REGISTRY
)
JOB_FAILING: Final = Gauge(
    "streams_job_failing", "1 where the last run of one of the store's jobs failed.", ["job"],
    registry=REGISTRY,
)  # fmt: skip
JOB_FAILURES: Final = Gauge(
    "streams_job_failures", "Failed runs of one of the store's jobs, by all workers, ever.",
    ["job"], registry=REGISTRY,
)  # fmt: skip
JOB_OVERDUE_SECONDS: Final = Gauge(
    "streams_job_overdue_seconds", "How long ago one of the store's jobs should have begun.",
    ["job"], registry=REGISTRY,
)  # fmt: skip
ROLLUP_LAG_SECONDS: Final = Gauge(
    "streams_rollup_lag_seconds",
    "How long the oldest change of 1-minute windows waits to be rolled up.",
    registry=REGISTRY,
)
ROLLUP_CHANGES: Final = Gauge(
    "streams_rollup_changes", "Changes of 1-minute windows to be rolled up.", registry=REGISTRY
)
RETENTION_LAG_SECONDS: Final = Gauge(
    "streams_retention_lag_seconds", "By how much the oldest part of a table outlived its term.",
    ["table"], registry=REGISTRY,
)  # fmt: skip
COLUMNSTORE_LATE_CHUNKS: Final = Gauge(
    "streams_columnstore_late_chunks",
    "Chunks that should have been in the columnstore for a day.",
    ["table"],
    registry=REGISTRY,
)
STORE_BYTES: Final = Gauge("streams_store_bytes", "Size of the database.", registry=REGISTRY)
PARCELS_HELD: Final = Gauge(
    "streams_parcels_held", "Parcels of partial windows that the store holds.", registry=REGISTRY
)

WATCH_SECONDS: Final = Histogram(
    "streams_watch_seconds", "One pass over watched tenants, with its transaction.",
    buckets=SECONDS, registry=REGISTRY,
)  # fmt: skip
WATCH_LAG: Final = Gauge(
    "streams_watch_lag_seconds", "How far the last pass over watched tenants is behind the clock.",
    registry=REGISTRY,
)  # fmt: skip
WATCH_SHARDS: Final = Gauge(
    "streams_watch_shards", "Shards of tenants that this worker watches.", registry=REGISTRY
)
WATCHED_SERIES: Final = Gauge(
    "streams_watched_series", "Series that this worker watches.", registry=REGISTRY
)
READINGS: Final = Counter(
    "streams_readings", "Readings of watched series that were learnt.", registry=REGISTRY
)
ANOMALIES: Final = Counter("streams_anomalies", "Anomalies that were found.", registry=REGISTRY)
FORECAST_LOAD: Final = Gauge(
    "streams_forecast_events_per_second",
    "Events a second that may come within the hour, of the tenants watched here, at 97.5 %.",
    registry=REGISTRY,
)
NOTICES: Final = Counter(
    "streams_notices", "Notifications of alerts that were decided.", registry=REGISTRY
)
WATCH_REFUSED: Final = Counter(
    "streams_watch_refused", "Series that were not watched for want of room.", registry=REGISTRY
)
WATCH_FAILURES: Final = Counter(
    "streams_watch_failures", "Times that watching, or a tenant's alerts, failed.",
    registry=REGISTRY,
)  # fmt: skip
NOTICES_SENT: Final = Counter(
    "streams_notices_sent", "Notices that a receiver took, or that tell nobody.", ["kind"],
    registry=REGISTRY,
)  # fmt: skip
NOTICES_FAILED: Final = Counter(
    "streams_notices_failed", "Attempts to send a notice that failed.", ["kind"], registry=REGISTRY
)
NOTICES_GIVEN_UP: Final = Counter(
    "streams_notices_given_up", "Notices that no attempt could send.", ["kind"], registry=REGISTRY
)
NOTICE_SECONDS: Final = Histogram(
    "streams_notice_seconds", "One attempt to send a notice.", ["kind"], buckets=SECONDS,
    registry=REGISTRY,
)  # fmt: skip
NOTICES_WAITING: Final = Gauge(
    "streams_notices_waiting", "Notices that wait to be sent, or to be tried again.",
    registry=REGISTRY,
)  # fmt: skip
NOTICES_OLDEST_SECONDS: Final = Gauge(
    "streams_notices_oldest_seconds", "How long the oldest notice waits that was not sent.",
    registry=REGISTRY,
)  # fmt: skip
NOTIFYING_FAILURES: Final = Counter(
    "streams_notifying_failures", "Times that sending notices failed for a fault of ours.",
    registry=REGISTRY,
)  # fmt: skip
ALERT_FILES_CHANGED: Final = Counter(
    "streams_alert_files_changed", "Files of the folder of alerts by what became of them.",
    ["change"], registry=REGISTRY,
)  # fmt: skip
ALERT_FILES_REFUSED: Final = Gauge(
    "streams_alert_files_refused",
    "1 for each file of the folder of alerts that is refused; its last good version stays.",
    ["tenant", "file"],
    registry=REGISTRY,
)
ALERT_FOLDER_AWAY: Final = Gauge(
    "streams_alert_folder_away", "1 while the folder of alerts cannot be read.", registry=REGISTRY
)
ALERT_FOLDER_FAILURES: Final = Counter(
    "streams_alert_folder_failures", "Times that following the folder of alerts failed.",
    registry=REGISTRY,
)  # fmt: skip


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
