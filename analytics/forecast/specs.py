"""How a series is forecast, and what a forecast is."""

from typing import Annotated, Final

from msgspec import Meta, Struct

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LEVELS: Final = (0.80, 0.95)
"""The shares of outcomes that intervals are to hold."""


class ForecastSpec(Struct, frozen=True, kw_only=True):
    """How far readings lie apart, how far ahead is looked, and which seasons there may be."""

    step_ms: Annotated[int, Meta(gt=0)] = HOUR_MS
    horizon: Annotated[int, Meta(ge=1, le=200)] = 24
    """Steps ahead."""
    season: Annotated[int, Meta(ge=2, le=400)] = 24
    """Steps of the shorter season, such as a day."""
    long_season: Annotated[int, Meta(ge=0, le=2_500)] = 168
    """Steps of the longer one, such as a week; 0 is none."""
    lower: float | None = None
    """What a value cannot be below: 0 for counts."""


class ForecastStep(Struct, frozen=True, gc=False):
    """What is expected of one step, with the intervals of 80 and 95 %."""

    at_ms: int
    mean: float
    low80: float
    high80: float
    low95: float
    high95: float
