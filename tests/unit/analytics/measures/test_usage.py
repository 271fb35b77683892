"""The second book: what metrics mean, and how running totals grow."""

import pytest

from analytics.measures.columns import USAGE_ACTIVE_MS, USAGE_COST_NANOUSD, USAGE_INPUT_TOKENS
from analytics.measures.merging import CounterState
from analytics.measures.usage import VALUE_MAX, growth, reading
from tests.support.facts import usage


@pytest.mark.parametrize(
    ("metric", "kind", "value", "expected"),
    [
        ("claude_code.token.usage", "input", 12.0, (USAGE_INPUT_TOKENS, 12)),
        ("claude_code.cost.usage", "", 0.0125, (USAGE_COST_NANOUSD, 12_500_000)),
        ("claude_code.active_time.total", "cli", 1.5, (USAGE_ACTIVE_MS, 1_500)),
        ("claude_code.token.usage", "unheard-of", 12.0, None),
        ("somebody.elses.metric", "input", 12.0, None),
        ("claude_code.cost.usage", "", VALUE_MAX, None),
        ("claude_code.cost.usage", "", float("inf"), None),
    ],
)
def test_a_point_is_read_in_our_units_or_not_counted(
    metric: str, kind: str, value: float, expected: tuple[int, int] | None
) -> None:
    assert reading(usage(metric, kind=kind, value=value)) == expected


def grown(*points: tuple[int, int, int]) -> list[int]:
    """Return the growth at each point of (start, time, total)."""
    state = CounterState("k", points[0][0], points[0][1], 0)
    return [
        growth(state, start_ms=start, at_ms=at_ms, total=total) for start, at_ms, total in points
    ]


def test_a_running_total_counts_by_its_growth() -> None:
    assert grown((1, 10, 5), (1, 20, 5), (1, 30, 9)) == [5, 0, 4]


def test_a_smaller_total_is_a_counter_that_began_anew() -> None:
    assert grown((1, 10, 50), (1, 20, 7), (1, 30, 8)) == [50, 7, 1]


def test_a_newer_start_is_a_counter_that_began_anew_even_if_it_is_larger() -> None:
    assert grown((1, 10, 50), (15, 20, 60), (15, 30, 61)) == [50, 60, 1]


def test_a_point_of_the_past_adds_nothing() -> None:
    assert grown((5, 10, 50), (5, 9, 40), (4, 30, 90), (5, 10, 50), (5, 10, 49)) == [50, 0, 0, 0, 0]


def test_a_larger_total_at_the_same_moment_adds_what_is_more() -> None:
    assert grown((5, 10, 50), (5, 10, 60)) == [50, 10]
