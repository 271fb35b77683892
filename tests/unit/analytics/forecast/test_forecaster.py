"""A forecaster of one series: seasons are found, intervals hold, and nothing odd breaks it."""

import math
import random
from collections.abc import Iterator
from typing import Final

import pytest

from analytics.forecast.forecaster import SNAPSHOT_BYTES_MAX, BadForecast, Forecaster
from analytics.forecast.specs import HOUR_MS, ForecastSpec

SPEC: Final = ForecastSpec(step_ms=HOUR_MS, horizon=12, season=24, long_season=0, lower=0.0)


def _daily(rows: int, *, noise: float = 0.5, seed: int = 3) -> Iterator[float]:
    randomly = random.Random(seed)
    for row in range(rows):
        yield 20 + 10 * math.sin(2 * math.pi * row / 24) + randomly.gauss(0, noise)


def _learnt(values: Iterator[float], spec: ForecastSpec = SPEC) -> Forecaster:
    forecaster = Forecaster(spec)
    for row, value in enumerate(values, start=1):
        forecaster.learn(row * spec.step_ms, value)
    return forecaster


def test_a_season_is_continued() -> None:
    rows = 24 * 14
    points = _learnt(_daily(rows)).forecast()

    for step, point in enumerate(points):
        truth = 20 + 10 * math.sin(2 * math.pi * (rows + step) / 24)
        assert point.at_ms == (rows + step + 1) * HOUR_MS
        assert abs(point.mean - truth) < 1.5


def test_a_trend_is_followed_better_than_by_the_season_before() -> None:
    values = [5.0 + 0.1 * row for row in range(24 * 10)]

    points = _learnt(iter(values)).forecast()

    wrong = [abs(point.mean - (values[-1] + 0.1 * step)) for step, point in enumerate(points, 1)]
    assert max(wrong) < 0.1 * 24 / 2


def test_intervals_hold_as_many_outcomes_as_they_say() -> None:
    forecaster, held, counted = Forecaster(SPEC), {80: 0, 95: 0}, 0
    values = list(_daily(24 * 60, noise=2.0))
    for row, value in enumerate(values, start=1):
        forecaster.learn(row * HOUR_MS, value)
        if row > 24 * 10 and row % 7 == 0 and row + 12 <= len(values):
            for step, point in enumerate(forecaster.forecast()):
                came = values[row + step]
                held[80] += point.low80 <= came <= point.high80
                held[95] += point.low95 <= came <= point.high95
                counted += 1

    assert held[80] / counted == pytest.approx(0.80, abs=0.05)
    assert held[95] / counted == pytest.approx(0.95, abs=0.05)


def test_intervals_lie_in_each_other_around_the_mean() -> None:
    for point in _learnt(_daily(24 * 9)).forecast():
        assert point.low95 <= point.low80 <= point.mean <= point.high80 <= point.high95


def test_a_constant_series_is_continued_without_doubt() -> None:
    for point in _learnt(iter([7.0] * 200)).forecast():
        assert point.mean == pytest.approx(7.0)
        assert point.high95 - point.low95 == pytest.approx(0.0, abs=1e-6)


def test_counts_are_never_forecast_below_zero() -> None:
    points = _learnt(iter([0.0, 0.0, 3.0] * 60)).forecast()

    assert all(point.low95 >= 0 and point.mean >= 0 for point in points)


def test_nothing_is_said_before_anything_was_learnt() -> None:
    assert Forecaster(SPEC).forecast() == ()


def test_one_reading_is_enough_for_a_first_guess() -> None:
    assert _learnt(iter([4.0])).forecast()[0].mean == pytest.approx(4.0)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_filled_in_and_not_judged(odd: float) -> None:
    forecaster = _learnt(_daily(24 * 5))
    rows = forecaster.rows

    forecaster.learn((rows + 1) * HOUR_MS, odd)

    assert forecaster.rows == rows + 1
    assert all(math.isfinite(point.high95) for point in forecaster.forecast())


def test_no_number_before_the_first_reading_is_nothing() -> None:
    forecaster = Forecaster(SPEC)
    forecaster.learn(HOUR_MS, math.nan)

    assert forecaster.rows == 0


def test_steps_that_are_missing_are_filled_in_so_that_the_season_stays_in_step() -> None:
    rows = 24 * 10
    forecaster = _learnt(_daily(rows))

    forecaster.learn((rows + 6) * HOUR_MS, 20 + 10 * math.sin(2 * math.pi * (rows + 5) / 24))

    assert forecaster.rows == rows + 6
    truth = 20 + 10 * math.sin(2 * math.pi * (rows + 6) / 24)
    assert abs(forecaster.forecast()[0].mean - truth) < 2


def test_after_a_long_time_without_readings_a_series_begins_anew() -> None:
    forecaster = _learnt(_daily(24 * 10))

    forecaster.learn(HOUR_MS * 24 * 100, 5.0)

    assert forecaster.rows == 1


def test_a_clock_that_goes_back_is_ignored() -> None:
    forecaster = _learnt(_daily(48))
    before = forecaster.snapshot()

    forecaster.learn(3 * HOUR_MS, 99.0)

    assert forecaster.snapshot() == before


def test_readings_without_measure_are_borne() -> None:
    values = (1e300 if row % 5 else -1e300 for row in range(200))

    points = _learnt(values, ForecastSpec(step_ms=HOUR_MS, horizon=3)).forecast()

    assert all(math.isfinite(value) for point in points for value in (point.mean, point.high95))


@pytest.mark.requirement("forecast-bounded-and-resumable")
@pytest.mark.parametrize(
    "spec",
    [
        ForecastSpec(horizon=168, lower=0.0),
        ForecastSpec(step_ms=300_000, horizon=12, season=288, long_season=2_016),
    ],
    ids=["week", "hour"],
)
def test_a_snapshot_is_bounded(spec: ForecastSpec) -> None:
    forecaster = _learnt(_daily(2_600), spec)

    assert len(forecaster.snapshot()) <= SNAPSHOT_BYTES_MAX


@pytest.mark.parametrize("steps", [0, 13, -1])
def test_a_horizon_that_it_does_not_have_is_refused(steps: int) -> None:
    with pytest.raises(BadForecast, match="1 to 12 steps"):
        _learnt(_daily(30)).forecast(steps)


@pytest.mark.parametrize("snapshot", [b"", b"\xc1", Forecaster(SPEC).snapshot()[:-3]])
def test_what_is_no_snapshot_is_refused(snapshot: bytes) -> None:
    with pytest.raises(BadForecast, match="fresh forecaster"):
        Forecaster.restore(snapshot)
