"""One fact told by several sources: merged, never added."""

import pytest

from analytics.contracts import agent_events as kinds
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from analytics.measures.fold import FoldRules
from analytics.measures.rows import ON_TIME, Grain, Measures
from analytics.measures.session_memory import MemoryLimits
from tests.support.facts import MODEL, T0_MS, arrivals, fact, request, tool
from tests.support.folding import Kept, fold_all

NARROW_MS = 10_000


def fold(*made: Event, rules: FoldRules | None = None) -> Kept:
    """Fold one event a batch, all received at once, the fold rebuilt before each."""
    singles = [[arrival] for arrival in arrivals(made, received_ms=T0_MS + 60_000)]
    return fold_all(singles, rules=rules, restarting=True)


def totals(kept: Kept) -> Measures:
    (row,) = kept.sessions.values()
    return row.totals


def models(kept: Kept) -> dict[str, tuple[int, int, int]]:
    """Return calls, input tokens and counted durations of every model."""
    added: dict[str, tuple[int, int, int]] = {}
    for (key, _), total in kept.totals(NARROW_MS, Grain.FLEET).items():
        row = Measures(*total.sums)
        added[key.model] = (row.calls, row.input_tokens, row.latency_count)
    return added


@pytest.mark.requirement("counted-once-by-id")
def test_four_reports_of_one_request_count_as_one_with_the_larger_counts() -> None:
    kept = fold(
        request(id="log", cost_nanousd=9_000),
        request(id="span", duration_ms=None),
        request(id="line-1", output_tokens=2, duration_ms=None),
        request(id="line-2", output_tokens=321, duration_ms=None),
    )

    counted = totals(kept)
    assert (counted.calls, counted.input_tokens, counted.output_tokens) == (1, 1_000, 321)
    assert (counted.cost_nanousd, counted.cost_estimated_nanousd) == (9_000, 0)
    assert (counted.latency_count, counted.events) == (1, 4)
    assert len(kept.raw) == 4


def test_a_stated_cost_replaces_the_estimate_made_before() -> None:
    kept = fold(request(id="span"), request(id="log", cost_nanousd=7))

    assert (totals(kept).cost_nanousd, totals(kept).cost_estimated_nanousd) == (7, 0)


def test_an_estimate_grows_with_the_tokens_that_later_reports_tell() -> None:
    kept = fold(request(id="a", output_tokens=0), request(id="b", output_tokens=1_000))

    assert totals(kept).cost_nanousd == 3_000_000 + 15_000_000


def test_requests_without_an_id_count_each_by_its_event() -> None:
    kept = fold(request("", id="a"), request("", id="b"), request("", id="b"))

    assert totals(kept).calls == 2


def test_a_failure_and_an_answer_of_one_request_are_one_call() -> None:
    failed = fact(kinds.RequestFailed, id="f", request_id="req-1", kind="rate_limit", model=MODEL)

    for made in ((failed, request(id="a")), (request(id="a"), failed)):
        counted = totals(fold(*made))
        assert (counted.calls, counted.call_errors, counted.rate_limits) == (1, 1, 1)
        assert counted.input_tokens == 1_000


def test_two_failures_of_one_request_are_one_error() -> None:
    failed = {"request_id": "req-1", "kind": "server", "model": MODEL}

    kept = fold(
        fact(kinds.RequestFailed, id="hook", **failed),
        fact(kinds.RequestFailed, id="otel", duration_ms=7, **failed),
    )

    assert (totals(kept).calls, totals(kept).call_errors, totals(kept).latency_count) == (1, 1, 1)


def test_what_a_first_report_left_out_moves_the_request_to_its_true_series() -> None:
    kept = fold(request(id="a", model=""), request(id="b", model=MODEL, duration_ms=None))

    assert models(kept) == {"": (0, 0, 0), MODEL: (1, 1_000, 1)}
    assert totals(kept).cost_nanousd == 6_000_000


def test_a_duration_in_a_closed_window_stays_with_its_series_and_counts_go_on() -> None:
    kept = fold(
        request(id="a", model=""),
        request("other", id="b", at_ms=T0_MS + 50_000),
        request(id="c", model=MODEL, duration_ms=None),
        request(id="d", model=MODEL, skill="pdf", duration_ms=None),
    )

    first = {
        key.skill + key.model: Measures(*total.sums)
        for (key, start_ms), total in kept.totals(NARROW_MS, Grain.FLEET).items()
        if start_ms == T0_MS
    }
    assert first[""].latency_count == 1
    assert first["pdf" + MODEL].calls == 1
    assert sum(measures.calls for measures in first.values()) == 1
    assert kept.late_count == 2


def test_the_difference_goes_to_the_window_of_the_first_report() -> None:
    kept = fold(
        request(id="a", output_tokens=10),
        request(id="b", output_tokens=30, at_ms=T0_MS + 12_000),
    )

    tokens = {
        start_ms - T0_MS: Measures(*total.sums).output_tokens
        for (_, start_ms), total in kept.totals(NARROW_MS, Grain.FLEET).items()
    }
    assert tokens == {0: 30, 12_000 - 2_000: 0}


def test_an_import_adds_what_it_knows_better_without_touching_open_windows() -> None:
    kept = fold(
        request(id="log", output_tokens=10),
        request(id="line", output_tokens=30, source=Source.TRANSCRIPT, duration_ms=None),
    )

    by_batch = {
        row.batch_offset: row.measures.output_tokens
        for row in kept.cells.values()
        if row.width_ms == NARROW_MS and row.key.grain is Grain.FLEET
    }
    assert by_batch == {ON_TIME: 10, 1: 20}
    assert kept.backfill_count == 1
    assert kept.late_count == 0


def test_a_hook_and_a_log_of_one_tool_call_count_once() -> None:
    kept = fold(
        tool(id="hook", lines_added=4),
        tool(id="log", succeeded=False, skill="pdf", lines_removed=2),
    )

    counted = totals(kept)
    assert (counted.tool_calls, counted.tool_errors) == (1, 1)
    assert (counted.lines_added, counted.lines_removed) == (4, 2)
    assert counted.events == 2


def test_a_refused_call_that_was_begun_counts_in_the_window_of_the_refusal() -> None:
    kept = fold(
        fact(kinds.ToolStarted, tool="Bash", tool_use_id="t", input_digest="d"),
        fact(kinds.ToolDecided, tool="Bash", tool_use_id="t", accepted=False, at_ms=T0_MS + 11_000),
    )

    refusals = {
        start_ms - T0_MS: Measures(*total.sums).tool_refusals
        for (_, start_ms), total in kept.totals(NARROW_MS, Grain.FLEET).items()
    }
    assert refusals == {0: 0, 10_000: 1}


@pytest.mark.requirement("limits-have-names")
def test_a_request_too_old_to_be_remembered_counts_no_second_time() -> None:
    few = FoldRules(memory=MemoryLimits(merges_max=1))

    kept = fold(
        request("r1", id="a"),
        request("r2", id="b"),
        request("r1", id="c", output_tokens=9_999),
        fact(kinds.RequestFailed, id="d", request_id="r1"),
        tool("t1", id="e"),
        tool("t2", id="f"),
        tool("t1", id="g"),
        fact(kinds.ToolStarted, id="h", tool="Bash", tool_use_id="t1", input_digest="x"),
        rules=few,
    )

    counted = totals(kept)
    assert (counted.calls, counted.output_tokens, counted.call_errors) == (2, 400, 0)
    assert (counted.tool_calls, counted.events) == (2, 8)
