"""Budgets: what of one is spent, when it runs out, and how probable that is before it is reset.

A day's budget is reset at 00:00 UTC, a week's on Monday at 00:00 UTC. One of five hours is as
providers count it: it begins with the first cost after the one before it was over.
"""

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.forecast.specs import DAY_MS, HOUR_MS, ForecastStep

WEEK_MS: Final = 7 * DAY_MS
MONDAY_MS: Final = 4 * DAY_MS
"""1970-01-05 was the first Monday."""
FIVE_HOURS_MS: Final = 5 * HOUR_MS
TOGETHER: Final = 0.3
"""How much the errors of steps go together: what is dear now is so for a while."""
SPREAD_OF_80: Final = 1.2815515655446004
"""In standard deviations, how far an interval of 80 % reaches where errors are Gaussian."""


class Every(StrEnum):
    """How often a budget is reset."""

    FIVE_HOURS = "5h"
    DAY = "day"
    WEEK = "week"


class Period(Struct, frozen=True):
    """One period of a budget."""

    starts_ms: int
    ends_ms: int


class Exhaustion(Struct, frozen=True):
    """When a budget runs out, if it is expected to before its reset, and how probable that is."""

    at_ms: int | None
    probability: float


def period_of(every: Every, costs: Iterable[tuple[int, float]], now_ms: int) -> Period:
    """Return the period that `now_ms` is in; `costs` are (time, amount), for `5h`, in order."""
    match every:
        case Every.DAY:
            start_ms = now_ms - now_ms % DAY_MS
            return Period(start_ms, start_ms + DAY_MS)
        case Every.WEEK:
            start_ms = now_ms - (now_ms - MONDAY_MS) % WEEK_MS
            return Period(start_ms, start_ms + WEEK_MS)
        case Every.FIVE_HOURS:
            over_ms = 0
            for at_ms, amount in costs:
                if amount > 0 and at_ms >= over_ms:
                    over_ms = at_ms + FIVE_HOURS_MS
            start_ms = over_ms - FIVE_HOURS_MS if now_ms < over_ms else now_ms
            return Period(start_ms, start_ms + FIVE_HOURS_MS)


def exhaustion(
    points: Sequence[ForecastStep], *, spent: float, limit: float, resets_ms: int
) -> Exhaustion:
    """Return when `limit` is expected to be passed before the reset, and how probable that is.

    The sum of the steps up to the reset is taken as Gaussian, with the spread of each step's
    interval of 80 % and errors that go together by `TOGETHER`. A forecast that ends before the
    reset says nothing of what comes after it.
    """
    left = limit - spent
    first_ms = points[0].at_ms if points else resets_ms
    if left <= 0:
        return Exhaustion(first_ms, 1.0)
    total = spread = square = 0.0
    at_ms = None
    for point in points:
        if point.at_ms > resets_ms:
            break
        total += point.mean
        deviation = (point.high80 - point.low80) / (2 * SPREAD_OF_80)
        spread += deviation
        square += deviation * deviation
        if at_ms is None and total >= left:
            at_ms = point.at_ms
    deviation = math.sqrt((1 - TOGETHER) * square + TOGETHER * spread * spread)
    if deviation <= 0:
        return Exhaustion(at_ms, 1.0 if total >= left else 0.0)
    return Exhaustion(at_ms, 0.5 * math.erfc((left - total) / deviation / math.sqrt(2)))
