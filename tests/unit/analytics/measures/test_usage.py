"""What senders' own metrics mean, and how running totals grow."""

import pytest

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.cells import Accumulator
from analytics.measures.columns import (
    USAGE_ACTIVE_MS,
    USAGE_CACHE_READ_TOKENS,
    USAGE_COST_NANOUSD,
    USAGE_INPUT_TOKENS,
    USAGE_OUTPUT_TOKENS,
)
from analytics.measures.session_memory import MemoryLimits, SessionMemory
from analytics.measures.usage import VALUE_MAX, counter_of, growth, reading
from tests.support.facts import usage

KEY = (TenantId("local"), SessionId("s1"))


@pytest.mark.parametrize(
    ("metric", "kind", "value", "expected"),
    [
        ("claude_code.token.usage", "input", 12.0, (((USAGE_INPUT_TOKENS, 1),), 12)),
        ("claude_code.cost.usage", "", 0.0125, (((USAGE_COST_NANOUSD, 1),), 12_500_000)),
        ("claude_code.active_time.total", "cli", 1.5, (((USAGE_ACTIVE_MS, 1),), 1_500)),
        (
            "gemini_cli.token.usage",
            "cache",
            9.0,
            (((USAGE_CACHE_READ_TOKENS, 1), (USAGE_INPUT_TOKENS, -1)), 9),
        ),
        ("gemini_cli.token.usage", "thought", 9.0, (((USAGE_OUTPUT_TOKENS, 1),), 9)),
        ("claude_code.token.usage", "unheard-of", 12.0, None),
        ("somebody.elses.metric", "input", 12.0, None),
        ("claude_code.cost.usage", "", VALUE_MAX, None),
        ("claude_code.cost.usage", "", float("inf"), None),
    ],
)
def test_a_point_is_read_in_our_units_or_not_counted(
    metric: str, kind: str, value: float, expected: tuple[tuple[tuple[int, int], ...], int] | None
) -> None:
    assert reading(usage(metric, kind=kind, value=value)) == expected


def grown(*points: tuple[int, int, int]) -> list[int]:
    """Return the growth at each point of (start, time, total)."""
    memory = SessionMemory(KEY, MemoryLimits(), Accumulator(0))
    found = []
    for start, at_ms, total in points:
        state = counter_of(memory, "k", start, at_ms)
        assert state is not None
        found.append(growth(state, at_ms=at_ms, total=total))
    return found


def test_a_running_total_counts_by_its_growth() -> None:
    assert grown((1, 10, 5), (1, 20, 5), (1, 30, 9)) == [5, 0, 4]


def test_a_smaller_total_is_a_counter_that_began_anew() -> None:
    assert grown((1, 10, 50), (1, 20, 7), (1, 30, 8)) == [50, 7, 1]


def test_a_newer_start_is_a_counter_that_began_anew_even_if_it_is_larger() -> None:
    assert grown((1, 10, 50), (15, 20, 60), (15, 30, 61)) == [50, 60, 1]


def test_a_point_of_the_past_adds_nothing() -> None:
    assert grown((5, 10, 50), (5, 9, 40), (5, 10, 50), (5, 10, 49)) == [50, 0, 0, 0]


def test_a_larger_total_at_the_same_moment_adds_what_is_more() -> None:
    assert grown((5, 10, 50), (5, 10, 60)) == [50, 10]


def test_two_programs_that_send_totals_of_one_series_in_turn_both_count() -> None:
    assert grown((1, 50, 100), (20, 60, 50), (1, 70, 300), (20, 80, 80)) == [100, 50, 200, 30]


def test_totals_that_come_in_another_order_amount_to_the_same() -> None:
    assert sum(grown((1, 70, 300), (20, 80, 80), (1, 50, 100), (20, 60, 50))) == 380


def test_a_total_that_began_before_forgotten_ones_counts_no_more() -> None:
    memory = SessionMemory(KEY, MemoryLimits(counters_max=2), Accumulator(0))
    for start in (1, 2, 3):
        assert counter_of(memory, "k", start, start) is not None

    assert counter_of(memory, "k", 1, 9) is None
    assert counter_of(memory, "k", 3, 9) is not None
