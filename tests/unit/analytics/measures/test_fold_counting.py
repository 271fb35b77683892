"""What each event counts, in which series."""

import pytest

from analytics.contracts import agent_events as kinds
from analytics.contracts import events
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from analytics.measures.contributions import CONTRIBUTIONS
from analytics.measures.fold import FoldRules
from analytics.measures.prompts import FIRST_PROMPT_LENGTH_MAX
from analytics.measures.rows import Grain, Measures
from analytics.measures.session_memory import MemoryLimits
from analytics.measures.sketch import from_bytes, quantile
from tests.support.facts import (
    MODEL,
    T0_MS,
    Session,
    arrivals,
    fact,
    one_of_each,
    request,
    tool,
    usage,
)
from tests.support.folding import Kept, fold_all, fold_batch, new_fold

MINUTE_MS = 60_000


def fold(*made: Event, rules: FoldRules | None = None) -> Kept:
    return fold_all([arrivals(made, received_ms=T0_MS + 10_000)], rules=rules, now_ms=T0_MS)


def totals(kept: Kept, session_id: str = "s1") -> Measures:
    (row,) = (row for row in kept.sessions.values() if row.session_id == session_id)
    return row.totals


def by_series(kept: Kept, grain: Grain = Grain.FLEET) -> dict[tuple[str, ...], Measures]:
    return {
        (row.key.model, row.key.tool, row.key.skill, row.key.query_source): row.measures
        for row in kept.cells.values()
        if row.width_ms == MINUTE_MS and row.key.grain is grain
    }


def test_a_request_counts_in_the_series_of_its_model_skill_and_query_source() -> None:
    kept = fold(request(skill="pdf", cost_nanousd=5_000, cache_read_tokens=7))

    series = by_series(kept)[MODEL, "", "pdf", "main"]
    assert (series.calls, series.input_tokens, series.output_tokens) == (1, 1_000, 200)
    assert (series.cache_read_tokens, series.cost_nanousd) == (7, 5_000)
    assert series.cost_estimated_nanousd == 0
    assert (series.latency_sum_ms, series.latency_count) == (1_500, 1)


def test_the_sketch_of_a_series_holds_the_durations_of_its_requests() -> None:
    kept = fold(*(request(f"r{n}", id=f"e{n}", duration_ms=n * 100) for n in range(1, 101)))

    (row,) = (
        row
        for row in kept.cells.values()
        if row.width_ms == MINUTE_MS and row.key.grain is Grain.FLEET
    )
    assert quantile(from_bytes(row.latency), 0.5) == pytest.approx(5_000, rel=0.02)
    assert [session.latency for session in kept.sessions.values()] == [row.latency]


def test_a_request_without_a_stated_cost_is_estimated_and_flagged() -> None:
    kept = fold(request())

    assert totals(kept).cost_nanousd == totals(kept).cost_estimated_nanousd == 6_000_000
    assert kept.raw[0].cost_nanousd == 6_000_000


def test_a_model_without_a_price_costs_nothing_and_is_counted_as_unpriced() -> None:
    kept = Kept()
    folded = new_fold()

    outcome = fold_batch(folded, kept, arrivals([request(model="somebody-elses-model")]))

    assert totals(kept).cost_nanousd == 0
    assert kept.raw[0].cost_nanousd is None
    assert outcome.unpriced_count == 1


def test_a_failed_request_counts_as_call_error_and_rate_limit() -> None:
    session = Session()

    kept = fold(session.failure("rate_limit"), session.failure("server", duration_ms=40))

    counted = totals(kept)
    assert (counted.calls, counted.call_errors, counted.rate_limits) == (2, 2, 1)
    assert (counted.latency_count, counted.latency_sum_ms) == (1, 40)
    assert [row.failed for row in kept.raw] == [True, True]


def test_a_tool_call_counts_in_the_series_of_its_tool() -> None:
    kept = fold(tool(lines_added=3, lines_removed=1), tool("tool-2", succeeded=False))

    series = by_series(kept)["", "Bash", "", ""]
    assert (series.tool_calls, series.tool_errors) == (2, 1)
    assert (series.lines_added, series.lines_removed) == (3, 1)


def test_a_refused_tool_counts_as_a_refusal_once_however_many_say_so() -> None:
    refusal = {"tool": "Bash", "tool_use_id": "t1", "accepted": False}

    kept = fold(
        fact(kinds.ToolDecided, id="hook", **refusal),
        fact(kinds.ToolDecided, id="otel", **refusal),
        fact(kinds.ToolDecided, tool="Bash", tool_use_id="t2"),
    )

    assert (totals(kept).tool_refusals, totals(kept).tool_calls) == (1, 0)
    assert totals(kept).events == 3


def test_a_prompt_told_by_two_sources_counts_once() -> None:
    kept = fold(
        fact(kinds.PromptSubmitted, id="hook", prompt_id="p1", text="x" * 1_000),
        fact(kinds.PromptSubmitted, id="otel", prompt_id="p1"),
        fact(kinds.PromptSubmitted, id="other"),
    )

    assert totals(kept).prompts == 2
    (row,) = kept.sessions.values()
    assert row.first_prompt == "x" * FIRST_PROMPT_LENGTH_MAX


def test_a_session_counts_once_with_its_first_event_whatever_that_is() -> None:
    session = Session()

    kept = fold(session.tool(), session.start(), session.end(), session.start())

    assert totals(kept).sessions == 1
    assert by_series(kept)["", "Bash", "", ""].sessions == 1


def test_of_what_events_and_metrics_tell_the_fuller_account_counts() -> None:
    kept = fold(
        request(cost_nanousd=5),
        usage(value=70.0, kind="output", model=MODEL),
        usage("claude_code.cost.usage", id="cost", value=0.5),
        usage("claude_code.active_time.total", id="active", value=2.5),
    )

    counted = totals(kept)
    assert (counted.output_tokens, counted.usage_output_tokens) == (200, 70)
    assert (counted.cost_nanousd, counted.usage_cost_nanousd) == (500_000_000, 500_000_000)
    assert (counted.active_ms, counted.usage_active_ms) == (2_500, 2_500)


def test_running_totals_count_by_their_growth_also_after_a_restart() -> None:
    points = [
        usage(id=f"u{n}", at_ms=T0_MS + n, value=value, cumulative=True, start_ms=T0_MS)
        for n, value in enumerate([100.0, 150.0, 20.0])
    ]

    kept = fold_all([[arrival] for arrival in arrivals(points)], restarting=True)

    assert totals(kept).usage_input_tokens == 170


@pytest.mark.requirement("limits-have-names")
def test_running_totals_that_were_forgotten_are_kept_raw_and_not_counted() -> None:
    points = [
        usage(id=f"u{n}", series=f"series-{n % 3}", cumulative=True, at_ms=T0_MS + n)
        for n in range(4)
    ]
    kept, folded = Kept(), new_fold(rules=FoldRules(memory=MemoryLimits(counters_max=2)))

    fold_batch(folded, kept, arrivals(points))

    assert totals(kept).usage_input_tokens == 30
    assert len(kept.raw) == 4
    assert folded.counters.counters_refused == 1


def test_what_an_event_leaves_out_of_its_project_and_agent_is_as_the_session_has_it() -> None:
    kept = fold(
        fact(kinds.SessionStarted, project="mainstem", agent="codex"),
        request(project="", agent=""),
    )

    assert {(row.key.project, row.key.agent) for row in kept.cells.values()} == {
        ("mainstem", "codex")
    }


def test_time_between_signs_of_work_is_active_and_a_persons_pause_is_not() -> None:
    session = Session(step_ms=2_000)
    made: list[Event] = [session.start(), session.prompt(), session.request(), session.tool()]
    made += [session.turn_end(), session.prompt(), session.tool()]
    session.at_ms += 3_600_000
    made += [session.tool()]

    kept = fold_all([arrivals(made)])

    assert totals(kept).active_ms == 2_000 * 3 + 2_000


def test_the_session_tells_who_it_is_and_its_latest_model() -> None:
    session = Session(user="ada", team="core", version="2.1.0")

    kept = fold(
        session.start(model="claude-a"),
        session.request(model="claude-b"),
        session.request(model="claude-c", query_source="auxiliary"),
    )

    (row,) = kept.sessions.values()
    assert (row.user, row.team, row.version, row.model) == ("ada", "core", "2.1.0", "claude-b")
    assert (row.started_ms, row.last_ms) == (T0_MS, T0_MS + 2_000)


def test_every_agent_event_has_a_contribution_and_counts_as_an_event() -> None:
    kept = fold(*one_of_each())

    assert set(CONTRIBUTIONS) == set(kinds.AgentEvent.__args__)
    assert totals(kept).events == len(CONTRIBUTIONS)
    assert len(kept.raw) == len(events.TYPES)


def test_raw_rows_show_what_queries_filter_by() -> None:
    kept = fold(
        request(source=Source.OTEL, agent_id="a1"),
        fact(kinds.AgentFinished, model="m", duration_ms=9),
        fact(kinds.TaskFinished, succeeded=False),
        fact(kinds.McpChanged, status="failed"),
        fact(kinds.SessionStarted, model="m"),
        usage(model="m"),
    )

    shown = [(row.type, row.model, row.duration_ms, row.failed) for row in kept.raw]
    assert shown == [
        ("request.finished", MODEL, 1_500, False),
        ("agent.finished", "m", 9, False),
        ("task.finished", "", None, True),
        ("mcp.changed", "", None, True),
        ("session.started", "m", None, False),
        ("usage.reported", "m", None, False),
    ]
    assert (kept.raw[0].source, kept.raw[0].agent_id) == ("otel", "a1")
    assert [row.offset for row in kept.raw] == list(range(6))
    assert kept.raw[0].payload == events.encode(request(source=Source.OTEL, agent_id="a1"))


def test_connections_and_reviews_are_kept_raw_under_their_key_and_count_once() -> None:
    opened = fact(events.ConnectionOpened, connection_id="c9")

    kept = fold(opened, opened, fact(events.ReviewRequested, pull_request="octo/cat#1"))

    assert [(row.type, row.session_id) for row in kept.raw] == [
        ("connection.opened", "c9"),
        ("review.requested", "octo/cat#1"),
    ]
    assert kept.duplicate_count == 1
    assert not kept.sessions
    assert not kept.cells


@pytest.mark.requirement("tenant-isolated")
def test_sessions_of_one_name_in_two_tenants_share_nothing() -> None:
    kept = fold(request(tenant="a", id="same"), request(tenant="b", id="same"))

    assert kept.duplicate_count == 0
    assert {row.key.tenant for row in kept.cells.values()} == {"a", "b"}
    assert all(row.measures.calls == 1 for row in kept.cells.values())


def test_numbers_too_large_for_the_store_saturate() -> None:
    kept = fold(*(request(f"r{n}", id=f"e{n}", input_tokens=2**62) for n in range(4)))

    assert totals(kept).input_tokens == 2**63 - 1
    assert totals(kept).cost_nanousd == 2**63 - 1
