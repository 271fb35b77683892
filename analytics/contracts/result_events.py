"""The events that Mainstem itself makes of closed windows: results, anomalies, forecasts, alerts.

All are keyed by tenant. Their ids are derived from what they say and of when, so that one sent
twice is known for what it is.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

from analytics.contracts.facts import Fact, Name, Text
from analytics.contracts.ids import Count, EpochMs

Dimension = Annotated[str, Meta(max_length=64)]


class WindowClosed(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="window.closed"):
    """The measures of one series over one closed window of event time, of one log.

    `at_ms` is the window's end. `id` is derived from log, series, window and revision, so a window
    sent twice is known for what it is. `measures` holds the counts that are not zero. A window that
    got more after it closed is sent again, whole, under the next `revision`: the last one counts.
    """

    start_ms: EpochMs
    width_ms: Annotated[int, Meta(gt=0)]
    grain: Name
    dimensions: dict[str, str]
    measures: dict[str, int]
    latency: bytes = b""
    """The request durations as a log-bucket sketch."""
    log_id: Name = ""
    partition: Count = 0
    revision: Count = 0
    sources: Count = 0
    """How many partitions had something to add; absent where one partition has all."""


class Contributor(Struct, frozen=True, kw_only=True, gc=False):
    """What one value of one dimension added to a change."""

    dimension: Dimension
    part: Name
    change: float
    share: float
    """Of all changes along that dimension, 0 to 1."""


class AnomalyFound(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="anomaly.found"):
    """A reading of a watched series was unlike those before it, and why.

    `at_ms` is the end of the window. A series is a `measure`, of the whole tenant or of one `part`
    of a `dimension`, such as the model `m`.
    """

    measure: Name
    dimension: Dimension = ""
    part: Name = ""
    value: float | None = None
    """What was observed; absent where nothing was, for too long."""
    expected_low: float = 0.0
    expected_high: float = 0.0
    score: float = 0.0
    rarity: float = 0.0
    """Minus the logarithm to ten of how probable something as odd is."""
    ingredient: Name = ""
    reason: Text = ""
    contributors: tuple[Contributor, ...] = field(default=(), name="blames")
    """What it is made of; on the wire it has the name of version 1."""


class ForecastPoint(Struct, frozen=True, kw_only=True, gc=False):
    """What is expected of one step, and the intervals of 80 and 95 %."""

    at_ms: EpochMs
    mean: float
    low80: float
    high80: float
    low95: float
    high95: float


class ForecastMade(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="forecast.made"):
    """What a watched series is expected to do within a horizon: the last one made counts."""

    measure: Name
    dimension: Dimension = ""
    part: Name = ""
    horizon: Name = ""
    """`hour`, `day` or `week`."""
    step_ms: Annotated[int, Meta(gt=0)]
    points: tuple[ForecastPoint, ...] = ()


class AlertChanged(Fact, frozen=True, kw_only=True, omit_defaults=True, tag="alert.changed"):
    """An alert came into another state."""

    fingerprint: Name
    labels: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict)
    state: Name
    was: Name = ""
    value: float | None = None
    starts_at_ms: EpochMs = 0
    ends_at_ms: EpochMs = 0


ResultEvent = WindowClosed | AnomalyFound | ForecastMade | AlertChanged
