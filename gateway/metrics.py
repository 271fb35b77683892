"""What a gateway counts about itself, for Prometheus.

All names start with `gateway_`; every label has a fixed, small set of values. They live in a
registry of their own, beside the memory and CPU of the process.
"""

from collections import Counter as Counts
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REGISTRY: Final = CollectorRegistry()
PROCESS: Final = (ProcessCollector(registry=REGISTRY), GCCollector(registry=REGISTRY))

CONNECTIONS: Final = Gauge("gateway_connections", "Sockets that are open.", registry=REGISTRY)
CLOSES: Final = Counter(
    "gateway_closes",
    "Sockets closed, by close code (`peer` where the other side left).",
    ["code"],
    registry=REGISTRY,
)
FRAMES: Final = Counter("gateway_frames", "Frames received.", registry=REGISTRY)
CALLS: Final = Counter(
    "gateway_calls", "Calls answered, by outcome.", ["outcome"], registry=REGISTRY
)
OUTBOUND_BYTES: Final = Gauge(
    "gateway_outbound_bytes", "Bytes waiting for sockets.", registry=REGISTRY
)
OUTBOUND_SENT: Final = Counter(
    "gateway_outbound_sent_bytes", "Bytes handed to sockets.", registry=REGISTRY
)
OUTBOUND_DROPPED: Final = Counter(
    "gateway_outbound_dropped",
    "Publications that slow sockets were not sent, each told in a notice.",
    registry=REGISTRY,
)
LEFT_OUT_TEXTS: Final = Counter(
    "gateway_left_out_texts",
    "Texts of which a part was left out, since it had more places that look like a secret than the "
    "filter looks at.",
    registry=REGISTRY,
)
BAD_TEXT: Final = Counter("gateway_bad_text", "Frames that were not UTF-8.", registry=REGISTRY)

EVENTS: Final = Counter(
    "gateway_events",
    "Events handed in, by ingest path (websocket, events, metrics, logs, traces, hooks, webhooks) "
    "and verdict.",
    ["ingest_path", "status"],
    registry=REGISTRY,
)
PUBLISH_SECONDS: Final = Histogram(
    "gateway_publish_seconds",
    "From taking a batch to the broker's acknowledgement of all of it.",
    buckets=SECONDS,
    registry=REGISTRY,
)
INFLIGHT_RECORDS: Final = Gauge(
    "gateway_inflight_records", "Records waiting for the broker.", registry=REGISTRY
)
INFLIGHT_BYTES: Final = Gauge(
    "gateway_inflight_bytes", "Bytes waiting for the broker.", registry=REGISTRY
)
DEAD_LETTERS: Final = Counter(
    "gateway_dead_letters",
    "Payloads that could not be read, by whether they became dead letters (yes, no) or count in "
    "a letter about the rest of their request (counted).",
    ["kept"],
    registry=REGISTRY,
)
LOST: Final = Counter(
    "gateway_lost",
    "Events taken without waiting (hooks, connections) that did not reach the broker.",
    registry=REGISTRY,
)
BROKER_UP: Final = Gauge("gateway_broker_up", "1 while the broker answers.", registry=REGISTRY)

REQUESTS: Final = Counter(
    "gateway_requests",
    "HTTP requests, by route and status.",
    ["route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS: Final = Histogram(
    "gateway_request_seconds",
    "From request to answer, by route.",
    ["route"],
    buckets=SECONDS,
    registry=REGISTRY,
)
LOOP_LAG_SECONDS: Final = Gauge(
    "gateway_loop_lag_seconds", "How late the event loop runs.", registry=REGISTRY
)
EVENTS_SLOWED: Final = Counter(
    "gateway_events_slowed",
    "Events that waited since their tenant had sent more than its share.",
    registry=REGISTRY,
)
LIMITS_HIT: Final = Counter(
    "gateway_limits_hit",
    "Senders refused at a limit, by its setting's name.",
    ["limit"],
    registry=REGISTRY,
)

SPANS_FORGOTTEN: Final = Counter(
    "gateway_spans_forgotten",
    "Spans given up before their service's first histogram: what they told may count in both.",
    registry=REGISTRY,
)
RATE_LIMITED: Final = Counter(
    "gateway_rate_limited",
    "What was refused as too much in too short a time, by limit (`commands-by-tenant` …).",
    ["limit"],
    registry=REGISTRY,
)
TOKENS: Final = Counter(
    "gateway_tokens",
    "Tokens looked at, by outcome (good, expired, revoked, pending, refused).",
    ["outcome"],
    registry=REGISTRY,
)
KEYS_FETCHED: Final = Counter(
    "gateway_keys_fetched",
    "Fetches of the rotating keys, by outcome (done, failed).",
    ["outcome"],
    registry=REGISTRY,
)
REVOKED: Final = Gauge(
    "gateway_revoked", "Entries of the list of tokens taken back.", registry=REGISTRY
)

CHANNEL_LOG_UP: Final = Gauge(
    "gateway_channel_log_up",
    "1 while the log that channels are read from answers.",
    registry=REGISTRY,
)
CHANNEL_PARTITIONS: Final = Gauge(
    "gateway_channel_partitions", "Partitions that are followed.", registry=REGISTRY
)
CHANNEL_SUBSCRIPTIONS: Final = Gauge(
    "gateway_channel_subscriptions", "Subscriptions to channels.", registry=REGISTRY
)
STREAMS: Final = Gauge(
    "gateway_streams", "Server-sent event streams that are open.", registry=REGISTRY
)
CHANNEL_OPENED: Final = Counter(
    "gateway_channel_opened",
    "Partitions that began to be followed, or began again.",
    registry=REGISTRY,
)
CHANNEL_GAPS: Final = Counter(
    "gateway_channel_gaps",
    "Partitions that could not be told without a gap; who watched was told to come again.",
    registry=REGISTRY,
)
CHANNEL_UNREAD: Final = Counter(
    "gateway_channel_unread", "Followed records that are no publications.", registry=REGISTRY
)
CHANNEL_DELIVERIES: Final = Counter(
    "gateway_channel_deliveries", "Publications handed to subscribers.", registry=REGISTRY
)
CHANNEL_JOINS: Final = Counter(
    "gateway_channel_joins",
    "Channels joined, by outcome (fresh, memory, archive, gap, refused).",
    ["outcome"],
    registry=REGISTRY,
)

PAST_READS: Final = Counter(
    "gateway_past_reads",
    "Reads of what memory had forgotten, by tier (redis, log) and outcome (hit, miss, away).",
    ["tier", "outcome"],
    registry=REGISTRY,
)
HISTORY_CACHE_UP: Final = Gauge(
    "gateway_history_cache_up",
    "1 while Redis takes what channels are to remember.",
    registry=REGISTRY,
)
HISTORY_CACHE_PUT: Final = Counter(
    "gateway_history_cache_put", "Publications handed to Redis, to recover from.", registry=REGISTRY
)
HISTORY_CACHE_DROPPED: Final = Counter(
    "gateway_history_cache_dropped",
    "Publications that Redis was not handed, for want of room while it was away.",
    registry=REGISTRY,
)

POOL_MEMBERS: Final = Gauge(
    "gateway_pool_members", "Agents in pools, by state of their life.", ["state"], registry=REGISTRY
)
POOL_LEASES: Final = Gauge("gateway_pool_leases", "Leases that are held.", registry=REGISTRY)
POOL_WAITING: Final = Gauge(
    "gateway_pool_waiting", "Asks that wait for an agent.", registry=REGISTRY
)
POOL_ACQUIRES: Final = Counter(
    "gateway_pool_acquires",
    "Asks for an agent, by outcome (granted, nobody, timed_out, full, left).",
    ["outcome"],
    registry=REGISTRY,
)
POOL_ACQUIRE_SECONDS: Final = Histogram(
    "gateway_pool_acquire_seconds",
    "From asking for an agent to its lease, or a refusal.",
    buckets=SECONDS,
    registry=REGISTRY,
)
POOL_ENDED: Final = Counter(
    "gateway_pool_ended",
    "Leases that ended, by outcome (done, failed, released, expired, lost).",
    ["outcome"],
    registry=REGISTRY,
)
POOL_BREAKERS: Final = Gauge(
    "gateway_pool_breakers",
    "Circuit breakers of agents and upstreams, by state (closed, open, half_open).",
    ["state"],
    registry=REGISTRY,
)
POOL_EJECTED: Final = Gauge(
    "gateway_pool_ejected", "Agents that are ejected as outliers.", registry=REGISTRY
)

REGISTRY_UP: Final = Gauge(
    "gateway_registry_up", "1 while the registry of gateways answers.", registry=REGISTRY
)
REGISTRY_NODES: Final = Gauge(
    "gateway_registry_nodes", "Gateways that lived when last heard of.", registry=REGISTRY
)
REGISTRY_WAITING: Final = Gauge(
    "gateway_registry_waiting", "Changes the registry was not told yet.", registry=REGISTRY
)
REGISTRY_BEATS: Final = Counter(
    "gateway_registry_beats",
    "Exchanges with the registry, by outcome (done, away, fenced).",
    ["outcome"],
    registry=REGISTRY,
)
REGISTRY_REAPED: Final = Counter(
    "gateway_registry_reaped", "Dead gateways that this one cleared away.", registry=REGISTRY
)


def render() -> bytes:
    """Return all of it in Prometheus' text format."""
    return generate_latest(REGISTRY)


def count_events(ingest_path: str, statuses: Iterable[str]) -> None:
    """Count what became of a batch."""
    for status, count in Counts(statuses).items():
        _events(ingest_path, status).inc(count)


@lru_cache(maxsize=128)
def _events(ingest_path: str, status: str) -> Counter:
    return EVENTS.labels(ingest_path, status)
