"""Budgets: which period it is, when one runs out and how probable that is."""

import math
import random
from typing import Final

import pytest

from analytics.forecast.budgets import (
    FIVE_HOURS_MS,
    SPREAD_OF_80,
    TOGETHER,
    WEEK_MS,
    Every,
    exhaustion,
    period_of,
)
from analytics.forecast.specs import DAY_MS, HOUR_MS, ForecastStep

WEDNESDAY_MS: Final = 1_767_744_000_000
"""2026-01-07T00:00:00Z."""


def _points(mean: float, spread: float, *, hours: int = 24) -> tuple[ForecastStep, ...]:
    ends = (mean - spread, mean + spread, mean - 2 * spread, mean + 2 * spread)
    return tuple(ForecastStep(hour * HOUR_MS, mean, *ends) for hour in range(1, hours + 1))


def test_a_day_is_utc_and_a_week_begins_on_monday() -> None:
    now_ms = WEDNESDAY_MS + 5 * HOUR_MS

    day, week = period_of(Every.DAY, (), now_ms), period_of(Every.WEEK, (), now_ms)

    assert (day.starts_ms, day.ends_ms) == (WEDNESDAY_MS, WEDNESDAY_MS + DAY_MS)
    assert week.starts_ms == WEDNESDAY_MS - 2 * DAY_MS
    assert week.ends_ms == week.starts_ms + WEEK_MS


def test_five_hours_begin_with_the_first_cost_after_the_ones_before() -> None:
    costs = [(HOUR_MS, 1.0), (3 * HOUR_MS, 2.0), (7 * HOUR_MS, 0.0), (8 * HOUR_MS, 1.0)]

    during = period_of(Every.FIVE_HOURS, costs[:2], 4 * HOUR_MS)
    after = period_of(Every.FIVE_HOURS, costs, 9 * HOUR_MS)
    idle = period_of(Every.FIVE_HOURS, costs, 20 * HOUR_MS)

    assert during.starts_ms == HOUR_MS
    assert after.starts_ms == 8 * HOUR_MS
    assert (idle.starts_ms, idle.ends_ms) == (20 * HOUR_MS, 20 * HOUR_MS + FIVE_HOURS_MS)


@pytest.mark.parametrize(
    ("spent", "at_hour", "probability"),
    [(100.0, 1, 1.0), (80.0, 20, 0.99), (76.0, 24, 0.5), (75.0, None, 0.36), (10.0, None, 0.0)],
)
def test_a_budget_runs_out_where_the_expected_sum_passes_it(
    spent: float, at_hour: int | None, probability: float
) -> None:
    found = exhaustion(_points(1.0, 0.25), spent=spent, limit=100.0, resets_ms=DAY_MS)

    assert found.at_ms == (None if at_hour is None else at_hour * HOUR_MS)
    assert found.probability == pytest.approx(probability, abs=0.06)


def test_what_comes_after_the_reset_does_not_count() -> None:
    found = exhaustion(_points(1.0, 0.2), spent=90.0, limit=100.0, resets_ms=5 * HOUR_MS)

    assert found.at_ms is None
    assert found.probability < 0.01


def test_without_a_forecast_nothing_is_known_but_what_is_spent() -> None:
    assert exhaustion((), spent=5.0, limit=10.0, resets_ms=DAY_MS).probability == 0.0
    assert exhaustion((), spent=10.0, limit=10.0, resets_ms=DAY_MS).probability == 1.0


def test_a_certain_forecast_is_sure() -> None:
    sure = exhaustion(_points(1.0, 0.0), spent=80.0, limit=100.0, resets_ms=DAY_MS)

    assert (sure.at_ms, sure.probability) == (20 * HOUR_MS, 1.0)


@pytest.mark.parametrize("left", [20.0, 23.0, 24.0, 25.0, 28.0])
def test_the_probability_is_that_of_paths_whose_errors_go_together(left: float) -> None:
    randomly, spread = random.Random(5), 0.4
    deviation, paths, passed = spread / SPREAD_OF_80, 4_000, 0
    for _ in range(paths):
        shared = randomly.gauss(0, math.sqrt(TOGETHER))
        own = [randomly.gauss(0, math.sqrt(1 - TOGETHER)) for _ in range(24)]
        passed += sum(1 + deviation * (shared + one) for one in own) >= left

    found = exhaustion(_points(1.0, spread), spent=100 - left, limit=100.0, resets_ms=DAY_MS)

    assert found.probability == pytest.approx(passed / paths, abs=0.03)
