"""Laws of the sketch: order does not matter, and quantiles keep their bound."""

import math

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from analytics.measures.sketch import (
    RELATIVE_ERROR,
    Counts,
    add,
    bucket_of,
    from_bytes,
    merge,
    quantile,
    to_bytes,
    value_of,
)

durations = st.integers(0, 10**9)
samples = st.lists(durations, max_size=200)
quantiles = st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0])


def sketched(values: list[int]) -> Counts:
    counts: Counts = {}
    for value in values:
        add(counts, value)
    return counts


def merged(*parts: Counts) -> bytes:
    whole: Counts = {}
    for part in parts:
        merge(whole, part)
    return to_bytes(whole)


@pytest.mark.requirement("partials-merge")
@given(one=samples, two=samples, three=samples)
def test_merging_is_commutative_associative_and_the_same_as_counting_at_once(
    one: list[int], two: list[int], three: list[int]
) -> None:
    a, b, c = sketched(one), sketched(two), sketched(three)

    at_once = to_bytes(sketched(one + two + three))

    assert merged(a, b, c) == merged(c, b, a) == at_once
    assert merged(from_bytes(merged(a, b)), c) == merged(a, from_bytes(merged(b, c))) == at_once


@given(values=samples)
def test_bytes_give_back_the_counts(values: list[int]) -> None:
    counts = sketched(values)

    assert from_bytes(to_bytes(counts)) == counts


@pytest.mark.requirement("sketch-error-bound")
@given(values=st.lists(durations, min_size=1, max_size=200), q=quantiles)
def test_a_quantile_is_within_the_bound_of_the_exact_one(values: list[int], q: float) -> None:
    exact = sorted(values)[math.floor(q * (len(values) - 1))]

    found = quantile(sketched(values), q)

    assert found is not None
    assert abs(found - exact) <= exact * RELATIVE_ERROR * (1 + 1e-9)


@pytest.mark.requirement("sketch-error-bound")
@given(values=st.lists(st.integers(1, 10**9), min_size=1, max_size=200), q=quantiles)
def test_a_quantile_agrees_with_ddsketch(values: list[int], q: float) -> None:
    oracle = DDSketch(relative_accuracy=RELATIVE_ERROR)
    for value in values:
        oracle.add(value)

    found, expected = quantile(sketched(values), q), oracle.get_quantile_value(q)

    assert found is not None
    assert expected is not None
    assert abs(found - expected) <= 2.1 * RELATIVE_ERROR * expected


@given(value=st.floats(1e-6, 1e12))
def test_the_value_of_a_bucket_stands_for_all_in_it(value: float) -> None:
    assert abs(value_of(bucket_of(value)) - value) <= value * RELATIVE_ERROR * (1 + 1e-9)
