"""Laws of PromQL: parts add up, patterns match whole values, a range is its instants."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.promql import InstantPoint, MemoryStorage, Result, instant, parse, ranged
from analytics.promql.quantiles import of_sketch
from analytics.promql.series import MatchOperator, SeriesMatcher, Sketches, labelled, made

values = st.floats(-1e6, 1e6)
tables = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.sampled_from("xyz")),
    st.lists(values, min_size=1, max_size=12),
    min_size=1,
)
Table = dict[tuple[str, str], list[float]]


def _stored(table: Table) -> MemoryStorage:
    return MemoryStorage(
        made(
            {"__name__": "m", "job": job, "zone": zone},
            [(index * 30_000, value) for index, value in enumerate(column)],
        )
        for (job, zone), column in table.items()
    )


def _rows(result: Result) -> dict[object, float]:
    assert isinstance(result, tuple)
    return {one.labels: one.value for one in result if isinstance(one, InstantPoint)}


@given(table=tables)
def test_a_sum_of_sums_by_a_label_is_the_sum(table: Table) -> None:
    storage = _stored(table)

    whole = _rows(instant(parse("sum(m)"), storage, 200_000))
    parts = _rows(instant(parse("sum(sum by (job) (m))"), storage, 200_000))

    assert whole.keys() == parts.keys()
    assert all(math.isclose(whole[k], parts[k], rel_tol=1e-9, abs_tol=1e-6) for k in whole)


@given(table=tables)
def test_and_with_unless_makes_the_whole(table: Table) -> None:
    storage = _stored(table)
    text = 'm and m{job="a"} or (m unless m{job="a"})'

    assert _rows(instant(parse(text), storage, 200_000)) == _rows(
        instant(parse("m"), storage, 200_000)
    )


@given(table=tables, text=st.sampled_from(["m", "rate(m[2m])", "sum by (job) (m)", "topk(2, m)"]))
def test_a_range_is_its_instants(table: Table, text: str) -> None:
    storage, read = _stored(table), parse(text)

    found = {
        (series.labels, at_ms): value
        for series in ranged(read, storage, 0, 600_000, step_ms=45_000)
        for at_ms, value in series.samples()
    }

    instants = {
        (labels, at_ms): value
        for at_ms in range(0, 600_001, 45_000)
        for labels, value in _rows(instant(read, storage, at_ms)).items()
    }
    assert found == pytest.approx(instants)


@given(pattern=st.text("ab", max_size=4), value=st.text("ab", max_size=5))
def test_a_pattern_matches_the_whole_value(pattern: str, value: str) -> None:
    assert SeriesMatcher("l", MatchOperator.LIKE, pattern).holds(value) is (pattern == value)
    assert SeriesMatcher("l", MatchOperator.UNLIKE, pattern).holds(value) is (pattern != value)
    assert SeriesMatcher("l", MatchOperator.LIKE, f".*{re.escape(pattern)}.*").holds(value) is (
        pattern in value
    )


@given(counts=st.lists(st.dictionaries(st.integers(-50, 50), st.integers(1, 9)), min_size=1))
def test_sketches_merge_before_a_quantile_is_taken(counts: list[dict[int, int]]) -> None:
    merged: dict[int, int] = {}
    for one in counts:
        for bucket, count in one.items():
            merged[bucket] = merged.get(bucket, 0) + count
    held = [
        Sketches(labelled({"__name__": "d", "n": str(n)}), made({}, [(1_000, 0.0)]).times, (one,))
        for n, one in enumerate(counts)
    ]

    text = "histogram_quantile(0.9, sum(rate(d[1m])))"
    found = _rows(instant(parse(text), MemoryStorage([], held), 2_000))

    assert found == ({(): of_sketch(merged, 0.9)} if merged else {})
