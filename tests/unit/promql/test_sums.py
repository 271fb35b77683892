"""Sums over windows lose nothing by rounding on the way, as Prometheus' do not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.promql import parse, ranged
from analytics.promql.series import NAME, Series, SeriesMatcher, Sketches, labelled

STEP_MS = 15_000
numbers = st.lists(
    st.floats(-1e300, 1e300) | st.sampled_from([1e16, -1e16, 0.1, 1.0]), min_size=1, max_size=20
)


class One:
    """A storage with one series."""

    def __init__(self, values: list[float]) -> None:
        times = np.arange(1, len(values) + 1, dtype=np.int64) * STEP_MS
        self.series = Series(labelled({NAME: "x"}), times, np.array(values, dtype=np.float64))

    def select(self, matchers: list[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """Return it."""
        del matchers, from_ms, to_ms
        return [self.series]

    def select_sketches(self, *_: object) -> list[Sketches]:
        """Return nothing."""
        return []


def _answer(function: str, values: list[float]) -> float:
    at_ms = STEP_MS * len(values)
    tree = parse(f"{function}(x[{STEP_MS // 1_000 * (len(values) + 1)}s])")
    (found,) = ranged(tree, One(values), at_ms, at_ms, step_ms=STEP_MS)  # type: ignore[arg-type]  # a storage of tests
    return float(found.values[0])


@given(values=numbers)
def test_a_sum_over_time_is_the_exact_sum_rounded_once(values: list[float]) -> None:
    try:
        exact = math.fsum(values)
    except OverflowError:
        return

    found = _answer("sum_over_time", values)

    assert found == exact or not math.isfinite(float(np.sum(values)))


@pytest.mark.parametrize(
    ("values", "total"), [([0.1] * 10, 1.0), ([1e16, 1.0, -1e16], 1.0), ([3, 4, 5], 12)]
)
def test_small_parts_are_not_lost_beside_large_ones(values: list[float], total: float) -> None:
    assert _answer("sum_over_time", values) == total
    assert _answer("avg_over_time", values) == total / len(values)


@pytest.mark.parametrize("values", [[math.inf, 1.0], [1e308, 1e308], [math.inf, -math.inf]])
def test_what_no_number_holds_is_what_prometheus_says(values: list[float]) -> None:
    found = _answer("sum_over_time", values)

    assert found == sum(values) or (math.isnan(found) and math.isnan(sum(values)))
