"""Series and durations are read as promtool reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts import durations
from analytics.alerts.rules import series_notation
from analytics.alerts.rules.series_notation import Mark

GAP, STALE = Mark.MISSING, Mark.STALE


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2.5 -3", [1.0, 2.5, -3.0]),
        ("1+2x3", [1.0, 3.0, 5.0, 7.0]),
        ("-1-2x2", [-1.0, -3.0, -5.0]),
        ("4x2", [4.0, 4.0, 4.0]),
        ("1 _ _x2 stale", [1.0, GAP, GAP, GAP, STALE]),
        ("0x1 Inf -Inf", [0.0, 0.0, float("inf"), float("-inf")]),
        ("1e3", [1000.0]),
        ("", []),
    ],
)
def test_values_expand_as_in_promtool(text: str, values: list[object]) -> None:
    assert series_notation.values(text) == values


@pytest.mark.parametrize("text", ["1+2", "x3", "a", "1x", "_x", "1x99999999", "{{sum:1}}"])
def test_values_without_meaning_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        series_notation.values(text)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('up{job="a", b="c"}', (("__name__", "up"), ("b", "c"), ("job", "a"))),
        ("up", (("__name__", "up"),)),
        ('{a="b"}', (("a", "b"),)),
        ('up{a=""}', (("__name__", "up"),)),
    ],
)
def test_a_series_is_its_labels(text: str, labels: tuple[tuple[str, str], ...]) -> None:
    assert series_notation.series(text) == labels


@pytest.mark.parametrize("text", ["", "up{", 'up{a=~"b"}', "1up", 'up{a="b",a="c"}'])
def test_a_text_that_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        series_notation.series(text)


@given(st.integers(min_value=0, max_value=durations.DURATION_MAX_MS))
def test_a_duration_that_is_written_is_read_as_the_same(length_ms: int) -> None:
    assert durations.milliseconds(durations.written(length_ms)) == length_ms


@pytest.mark.parametrize("text", ["", "5", "1m1h", "1.5h", "-5m", "5 m", "99999999999999y"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        durations.milliseconds(text)
