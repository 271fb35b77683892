"""Which measures are watched, by which dimensions, and as what kind of series.

A watched series is a measure of the whole tenant (dimension and part are empty) or of one part of a
dimension. Readings are of one minute of event time.
"""

import hashlib
from typing import Final

from msgspec import Struct

from analytics.anomaly.specs import THRESHOLD, DetectorSpec, SeriesKind

STEP_MS: Final = 60_000
"""How far readings lie apart."""
QUANTILE: Final = 0.95
LESS_EVERY: Final = 0.5
"""What is left of the chance to tell of an anomaly when somebody called the last one noise."""
NOISE_MAX: Final = 6


class Measure(Struct, frozen=True):
    """One measure that is watched."""

    name: str
    kind: SeriesKind
    columns: tuple[str, ...]
    """The sums of windows that add up to it; none where it is a quantile of durations."""
    scale: float
    dimensions: tuple[str, ...]
    """Beside the whole tenant."""
    exposed: str
    """The family of series that it belongs to, see `analytics.alerts.rules.exposed`."""

    @property
    def is_count(self) -> bool:
        """Whether a minute without a window is a reading of zero."""
        return bool(self.columns)


MEASURES: Final = (
    Measure(
        "cost_usd",
        SeriesKind.RATE,
        ("cost_nanousd",),
        1e-9,
        ("project", "agent", "model", "skill", "session"),
        "cost_usd_total",
    ),
    Measure(
        "tokens",
        SeriesKind.RATE,
        ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
        1.0,
        ("project", "model"),
        "tokens_total",
    ),
    Measure(
        "requests",
        SeriesKind.RATE,
        ("calls",),
        1.0,
        ("project", "agent", "model"),
        "requests_total",
    ),
    Measure(
        "request_errors",
        SeriesKind.SPARSE,
        ("call_errors", "rate_limits"),
        1.0,
        ("model",),
        "request_errors_total",
    ),
    Measure("request_p95_ms", SeriesKind.LATENCY, (), 1.0, ("model",), "request_duration_ms"),
    Measure("tool_calls", SeriesKind.RATE, ("tool_calls",), 1.0, ("tool",), "tool_calls_total"),
    Measure(
        "tool_errors", SeriesKind.SPARSE, ("tool_errors",), 1.0, ("tool",), "tool_errors_total"
    ),
    Measure("sessions", SeriesKind.SPARSE, ("sessions",), 1.0, ("project",), "sessions_total"),
    Measure("events", SeriesKind.RATE, ("events",), 1.0, (), "events_total"),
)
BY_NAME: Final = {one.name: one for one in MEASURES}
COLUMNS: Final = tuple(dict.fromkeys(column for one in MEASURES for column in one.columns))
"""The sums of windows that are read."""
DIMENSIONS: Final = tuple(dict.fromkeys(name for one in MEASURES for name in one.dimensions))


class Key(Struct, frozen=True, order=True):
    """Which series of a tenant."""

    measure: str
    dimension: str = ""
    part: str = ""


def watch_id(tenant: str, key: Key) -> int:
    """Return the id of a watched series: the first 8 bytes of a BLAKE2b digest of what it is."""
    digest = hashlib.blake2b(digest_size=8)
    for text in (tenant, key.measure, key.dimension, key.part):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    return int.from_bytes(digest.digest(), "big", signed=True)


def shard_of(tenant: str, shards: int = 16) -> int:
    """Return which share of all tenants one belongs to: the first digit of its MD5."""
    digest = hashlib.md5(tenant.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    return int(digest.hexdigest()[0], 16) % shards


def threshold_of(useful: int, noise: int) -> float:
    """Return from which score a series is told of, by what people said of its anomalies.

    Each word of noise that none of use outweighs halves the chance; `NOISE_MAX` at most count.
    """
    steps = min(max(noise - useful, 0), NOISE_MAX)
    return 1 - (1 - THRESHOLD) * LESS_EVERY**steps


def spec_of(key: Key, threshold: float = THRESHOLD) -> DetectorSpec:
    """Return how a series is judged."""
    return DetectorSpec(kind=BY_NAME[key.measure].kind, threshold=threshold)
