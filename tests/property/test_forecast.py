"""Laws of the forecaster: causal, and the same after a restart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecast.forecaster import Forecaster
from analytics.forecast.specs import ForecastSpec

SPEC = ForecastSpec(step_ms=1_000, horizon=5, season=4, long_season=8, lower=0.0)
readings = st.lists(
    st.tuples(st.integers(0, 6), st.one_of(st.floats(), st.floats(0, 100))),
    min_size=1,
    max_size=60,
)


@pytest.mark.requirement("forecast-bounded-and-resumable")
@given(given_readings=readings, cut=st.integers(0, 60))
def test_a_restored_forecaster_goes_on_as_if_nothing_had_been(
    given_readings: list[tuple[int, float]], cut: int
) -> None:
    whole, resumed, at_ms = Forecaster(SPEC), Forecaster(SPEC), 1_000

    for row, (gap, value) in enumerate(given_readings):
        if row == cut:
            resumed = Forecaster.restore(resumed.snapshot())
        at_ms += gap * 1_000
        whole.learn(at_ms, value)
        resumed.learn(at_ms, value)
        assert repr(whole.forecast()) == repr(resumed.forecast())
    assert whole.snapshot() == resumed.snapshot()


@given(given_readings=readings, cut=st.integers(1, 60), other=st.floats(0, 1e6))
def test_what_is_said_depends_on_what_came_before_alone(
    given_readings: list[tuple[int, float]], cut: int, other: float
) -> None:
    one, two, at_ms = Forecaster(SPEC), Forecaster(SPEC), 1_000

    for row, (gap, value) in enumerate(given_readings):
        at_ms += gap * 1_000
        one.learn(at_ms, value)
        two.learn(at_ms, value if row < cut else other)
        if row < cut:
            assert repr(one.forecast()) == repr(two.forecast())
