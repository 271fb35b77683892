"""What a session is doing, as its events come."""

from typing import Any

import pytest

from analytics.contracts import agent_events as kinds
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.activity import Pace
from analytics.measures.fold import FoldRules
from analytics.measures.rows import SessionRow, SessionState
from tests.support.facts import T0_MS, Session, arrivals, fact
from tests.support.folding import Kept, fold_all, fold_batch, new_fold

MINUTE_MS = 60_000


def state_after(*made: Event, now_ms: int | None = None) -> SessionRow:
    kept = fold_all([[arrival] for arrival in arrivals(made)], now_ms=now_ms, restarting=True)
    (row,) = kept.sessions.values()
    return row


def test_a_session_that_was_asked_something_runs() -> None:
    session = Session()

    row = state_after(session.start(), session.prompt(), session.request())

    assert (row.state, row.state_since_ms, row.attention) == (
        SessionState.RUNNING,
        T0_MS + 1_000,
        "",
    )


def test_a_session_that_asks_waits_until_work_goes_on() -> None:
    session = Session()
    asked: list[Event] = [session.prompt(), session.attention("permission")]

    assert state_after(*asked).state is SessionState.WAITING
    assert state_after(*asked).attention == "permission"
    assert state_after(*asked, session.attention("elicitation")).attention == "elicitation"
    assert state_after(*asked, session.tool()).state is SessionState.RUNNING
    assert state_after(*asked, session.tool()).attention == ""


def test_a_turn_that_ends_leaves_the_session_idle_unless_tasks_go_on_behind() -> None:
    session = Session()
    begun: list[Event] = [session.prompt(), session.tool()]

    assert state_after(*begun, session.turn_end()).state is SessionState.IDLE
    assert state_after(*begun, session.attention("idle")).state is SessionState.IDLE
    behind = session.turn_end(background_tasks=1)
    assert state_after(*begun, behind).state is SessionState.RUNNING


def test_the_same_call_again_and_again_is_stuck_until_another_comes() -> None:
    session = Session()
    circling: list[Event] = [session.tool(input_digest="same") for _ in range(5)]

    row = state_after(*circling)

    assert (row.state, row.attention) == (SessionState.STUCK, "repeats Bash")
    assert state_after(*circling[:4]).state is SessionState.RUNNING
    assert state_after(*circling, session.request()).state is SessionState.STUCK
    freed = session.tool(input_digest="other")
    assert state_after(*circling, freed).state is SessionState.RUNNING


def test_a_call_told_by_its_start_and_its_end_is_one_repetition() -> None:
    session = Session()
    calls: list[Event] = []
    for number in range(4):
        name = {"tool_use_id": f"t{number}", "input_digest": "same"}
        calls += [session.tool_start(**name), session.tool(**name)]

    assert state_after(*calls).state is SessionState.RUNNING
    fifth = session.tool_start(tool_use_id="t5", input_digest="same")
    assert state_after(*calls, fifth).state is SessionState.STUCK


def test_another_tool_with_the_same_input_is_no_repetition() -> None:
    session = Session()
    calls: list[Event] = [
        session.tool(tool=f"T{number}", input_digest="same") for number in range(9)
    ]

    assert state_after(*calls).state is SessionState.RUNNING


def test_a_rate_limited_session_runs_again_after_a_success() -> None:
    session = Session()
    limited: list[Event] = [session.prompt(), session.failure("rate_limit")]

    assert state_after(*limited).state is SessionState.RATE_LIMITED
    assert state_after(*limited, session.turn_end()).attention == "rate_limit"
    assert state_after(*limited, session.request()).state is SessionState.RUNNING


def test_a_request_on_the_side_says_nothing_of_the_session() -> None:
    session = Session()

    row = state_after(
        session.prompt(), session.turn_end(), session.request(query_source="auxiliary")
    )

    assert row.state is SessionState.IDLE


SIDE = ["auxiliary", "prompt_suggestion", "away_summary", "generate_session_title"]


@pytest.mark.parametrize("query_source", SIDE)
@pytest.mark.parametrize("fails", [False, True])
def test_what_runs_on_the_side_after_a_turn_is_no_work_and_names_no_model(
    query_source: str, *, fails: bool
) -> None:
    session = Session()
    aside: Event = (
        session.failure("rate_limit", query_source=query_source, model="small")
        if fails
        else session.request(query_source=query_source, model="small", request_id="side")
    )

    row = state_after(session.prompt(), session.request(model="large"), session.turn_end(), aside)

    assert (row.state, row.model) == (SessionState.IDLE, "large")


def test_a_subagents_model_is_not_the_sessions() -> None:
    session = Session()

    row = state_after(
        session.request(model="large"),
        session.request(model="small", agent_id="a1", request_id="r2"),
        session.request(model="small", query_source="agent:builtin:Explore", request_id="r3"),
    )

    assert row.model == "large"


def hook(kind: type[AgentFact], at_ms: int, **fields: Any) -> Any:
    return fact(kind, at_ms=at_ms, source=Source.HOOK, **fields)


LATE = {"at_ms": T0_MS + 9_000, "source": Source.CLAUDE_CODE}


@pytest.mark.parametrize(
    "late",
    [
        fact(kinds.RequestFinished, request_id="r9", **LATE),
        fact(kinds.RequestFinished, request_id="r9", prompt_id="p1", **LATE),
        fact(kinds.PromptSubmitted, prompt_id="p1", **LATE),
        fact(kinds.PromptSubmitted, **LATE),
        fact(kinds.ToolFinished, tool="Bash", tool_use_id="t1", **LATE),
        fact(kinds.ContextCompacted, at_ms=T0_MS + 9_000, source=Source.HOOK),
    ],
)
def test_what_is_told_late_or_by_a_clock_ahead_does_not_undo_the_end_of_a_turn(
    late: Event,
) -> None:
    begun = hook(kinds.PromptSubmitted, T0_MS, prompt_id="p1")
    stop = hook(kinds.TurnFinished, T0_MS + 1_000, prompt_id="p1")

    assert state_after(begun, stop, late).state is SessionState.IDLE


@pytest.mark.parametrize(
    "taken_up",
    [
        hook(kinds.PromptSubmitted, T0_MS + 9_000),
        hook(kinds.PromptSubmitted, T0_MS + 9_000, prompt_id="p2"),
        hook(kinds.ToolStarted, T0_MS + 9_000, prompt_id="p1", tool="Bash"),
        fact(kinds.RequestFinished, prompt_id="p2", **LATE),
        fact(kinds.PromptSubmitted, prompt_id="p2", **LATE),
        fact(kinds.PromptSubmitted, **(LATE | {"at_ms": T0_MS + MINUTE_MS})),
    ],
)
def test_a_new_prompt_or_a_call_told_at_once_takes_a_session_up_again(taken_up: Event) -> None:
    begun = hook(kinds.PromptSubmitted, T0_MS, prompt_id="p1")
    stop = hook(kinds.TurnFinished, T0_MS + 1_000, prompt_id="p1")

    assert state_after(begun, stop, taken_up).state is SessionState.RUNNING


def test_a_long_call_in_flight_is_work_until_it_comes_back_or_nobody_believes_in_it() -> None:
    begun = [
        hook(kinds.PromptSubmitted, T0_MS),
        hook(kinds.ToolStarted, T0_MS + 1_000, tool="Bash", tool_use_id="t1", input_digest="x"),
    ]
    done = hook(kinds.ToolFinished, T0_MS + 2_000, tool="Bash", tool_use_id="t1")
    later_ms = T0_MS + 20 * MINUTE_MS

    assert state_after(*begun, now_ms=later_ms).state is SessionState.RUNNING
    assert state_after(*begun, done, now_ms=later_ms).state is SessionState.IDLE
    assert state_after(*begun, now_ms=T0_MS + 62 * MINUTE_MS).state is SessionState.IDLE


def test_an_agent_that_waits_for_one_tool_waits_on_while_another_of_its_calls_ends() -> None:
    waiting = [
        hook(kinds.PromptSubmitted, T0_MS),
        hook(kinds.ToolStarted, T0_MS + 1_000, tool="Read", tool_use_id="t1"),
        hook(kinds.ToolStarted, T0_MS + 1_000, tool="Bash", tool_use_id="t2"),
        hook(kinds.AttentionNeeded, T0_MS + 2_000, reason="permission", tool="Bash"),
        hook(kinds.ToolFinished, T0_MS + 3_000, tool="Read", tool_use_id="t1"),
        hook(kinds.AttentionNeeded, T0_MS + 8_000, reason="permission"),
    ]
    allowed = hook(kinds.ToolFinished, T0_MS + 9_000, tool="Bash", tool_use_id="t2")
    refused = hook(kinds.ToolDecided, T0_MS + 9_000, tool="Bash", accepted=False)

    assert state_after(*waiting).state is SessionState.WAITING
    assert state_after(*waiting, allowed).state is SessionState.RUNNING
    assert state_after(*waiting, refused).state is SessionState.RUNNING


def test_a_notice_repeats_what_a_subagent_asked_and_says_nothing_of_the_main_agent() -> None:
    asked = [
        hook(kinds.PromptSubmitted, T0_MS),
        hook(kinds.AttentionNeeded, T0_MS + 1_000, reason="permission", tool="Bash", agent_id="a1"),
        hook(kinds.AttentionNeeded, T0_MS + 7_000, reason="permission"),
    ]
    allowed = hook(kinds.ToolFinished, T0_MS + 9_000, tool="Bash", agent_id="a1")

    assert state_after(*asked).state is SessionState.WAITING
    assert state_after(*asked, allowed).state is SessionState.RUNNING


def test_a_session_goes_on_while_a_subagent_does_and_ends_with_all() -> None:
    told = [
        hook(kinds.PromptSubmitted, T0_MS),
        hook(kinds.AgentStarted, T0_MS + 1_000, agent_id="a1"),
        hook(kinds.TurnFinished, T0_MS + 2_000),
    ]
    back = hook(kinds.AgentFinished, T0_MS + 3_000, agent_id="a1")
    late = fact(kinds.ToolFinished, at_ms=T0_MS + 2_500, tool="Bash", agent_id="a1")
    ended = hook(kinds.SessionEnded, T0_MS + 4_000)

    assert state_after(*told).state is SessionState.RUNNING
    assert state_after(*told, back, late).state is SessionState.IDLE
    assert state_after(*told, ended).state is SessionState.ENDED


def test_an_ended_session_has_an_end_until_it_is_taken_up_again() -> None:
    session = Session()
    ended: list[Event] = [session.prompt(), session.end()]

    row = state_after(*ended, session.tool())

    assert (row.state, row.ended_ms) == (SessionState.ENDED, T0_MS + 1_000)
    again = state_after(*ended, session.prompt())
    assert (again.state, again.ended_ms) == (SessionState.RUNNING, None)


def test_a_straggler_from_before_the_present_state_changes_nothing() -> None:
    session = Session()
    ended: list[Event] = [session.prompt(), session.turn_end()]
    straggler = fact(kinds.ToolFinished, tool="Bash", at_ms=T0_MS + 500)

    assert state_after(*ended, straggler).state is SessionState.IDLE


@pytest.mark.parametrize("kind", [kinds.UsageReported, kinds.AgentObserved, kinds.ModeChanged])
def test_metrics_spans_and_settings_are_no_sign_of_work(kind: type[kinds.UsageReported]) -> None:
    session = Session()

    row = state_after(session.prompt(), session.turn_end(), session.add(kind))

    assert row.state is SessionState.IDLE


def test_a_session_that_does_nothing_shows_as_idle_and_says_since_when() -> None:
    session = Session()

    row = state_after(session.prompt(), session.tool(), now_ms=T0_MS + 10 * MINUTE_MS)

    assert row.state is SessionState.IDLE
    assert row.state_since_ms == T0_MS + 1_000 + 5 * MINUTE_MS


def test_a_session_that_waits_for_a_person_waits_however_long() -> None:
    session = Session()

    row = state_after(session.attention("permission"), now_ms=T0_MS + 600 * MINUTE_MS)

    assert row.state is SessionState.WAITING


def test_a_session_falls_idle_by_time_alone_once() -> None:
    folded, kept = new_fold(rules=FoldRules(pace=Pace(idle_ms=MINUTE_MS))), Kept()
    fold_batch(folded, kept, arrivals([Session().prompt()]))

    quiet = folded.tick(next_offset=1, now_ms=T0_MS + 2 * MINUTE_MS)
    again = folded.tick(next_offset=1, now_ms=T0_MS + 3 * MINUTE_MS)

    assert quiet is not None
    assert [row.state for row in quiet.sessions] == [SessionState.IDLE]
    assert not quiet.seen
    assert again is None or not again.sessions


def test_a_session_recalled_while_it_shows_as_idle_goes_on_running() -> None:
    session = Session()
    kept = fold_all([arrivals([session.prompt()])], now_ms=T0_MS + 10 * MINUTE_MS)
    folded = new_fold(kept)
    later = arrivals([session.tool()], first_offset=1)

    fold_batch(folded, kept, later)

    (row,) = kept.sessions.values()
    assert (row.state, row.state_since_ms) == (SessionState.RUNNING, T0_MS)


def test_a_long_pause_ends_the_state_that_was_before_it() -> None:
    session = Session()
    prompt = session.prompt()
    session.at_ms += 60 * MINUTE_MS

    row = state_after(prompt, session.tool())

    assert row.state is SessionState.RUNNING
    assert row.state_since_ms == T0_MS + 60 * MINUTE_MS + 1_000
