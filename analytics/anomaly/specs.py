"""What kind of series a detector reads, and the few numbers by which it judges.

Every number is shipped fixed. `tests/bench/anomaly.py` chooses width, power, refractory time and
threshold anew with one category of the benchmark left out at a time, and says how far the result
falls; which views there are, and the limits of the guards, are the same in each of those choices.
"""

import math
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

THRESHOLD: Final = 0.99
"""The score from which a reading is an anomaly, when nothing else is said."""

LIMIT: Final = 1e75
"""Readings beyond are taken as this, so that fourth powers stay finite."""


class SeriesKind(StrEnum):
    """What the readings of a series are."""

    GAUGE = "gauge"
    """A level, such as a queue's length."""
    COUNTER = "counter"
    """A total that grows and starts again at a restart; its rate a second is judged."""
    RATE = "rate"
    """A rate or a share, judged as it is."""
    LATENCY = "latency"
    """A duration: not negative and skewed, so its logarithm is judged."""
    SPARSE = "sparse"
    """A count that is mostly zero: its root is judged, and the first burst is news already."""


class DetectorSpec(Struct, frozen=True, kw_only=True):
    """How a series is judged."""

    kind: SeriesKind = SeriesKind.GAUGE
    threshold: Annotated[float, Meta(gt=0, le=1)] = THRESHOLD
    width: Annotated[int, Meta(ge=2, le=200)] = 12
    """Readings in the window of level, spread and jump."""
    power: Annotated[float, Meta(ge=1, le=64)] = 8.0
    """How the views' rarities are averaged: 1 is the mean, a large one the largest."""
    quiet_share: Annotated[float, Meta(ge=0, le=1)] = 0.03
    """Readings after an anomaly in which none is told again, as a share of those seen."""
    quiet_min: Annotated[int, Meta(ge=0, le=10_000)] = 24
    quiet_max: Annotated[int, Meta(ge=0, le=100_000)] = 1_000
    changes_min: Annotated[int, Meta(ge=0, le=1_000)] = 8
    """Changes before anything is judged: a series that only ever stepped once has no usual."""
    silence_intervals: Annotated[float, Meta(ge=2, le=10_000)] = 20.0
    """How many usual intervals without a reading are a silence; sparse series have none."""


def judged(kind: SeriesKind, value: float) -> float:
    """Return a reading on the scale on which it is judged."""
    held = min(LIMIT, max(-LIMIT, value))
    match kind:
        case SeriesKind.LATENCY:
            return math.log1p(max(0.0, held))
        case SeriesKind.SPARSE:
            return math.copysign(math.sqrt(abs(held)), held)
        case SeriesKind.GAUGE | SeriesKind.COUNTER | SeriesKind.RATE:
            return held


def told(kind: SeriesKind, number: float) -> float:
    """Return a number of the judged scale in the unit of the readings."""
    match kind:
        case SeriesKind.LATENCY:
            return math.expm1(min(700.0, max(0.0, number)))
        case SeriesKind.SPARSE:
            return math.copysign(number * number, number)
        case SeriesKind.GAUGE | SeriesKind.COUNTER | SeriesKind.RATE:
            return number
