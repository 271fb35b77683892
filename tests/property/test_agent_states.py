"""Laws of states: each agent has its own, and a session shows the foremost of them."""

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.contracts import agent_events as kinds
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.fold import Arrival
from analytics.measures.rows import SessionState
from tests.support.facts import T0_MS, arrivals, fact
from tests.support.folding import fold_all

AGENTS: Final = ("", "a1", "a2")
STEP_MS: Final = 1_000
PEOPLE_FIRST: Final = (
    SessionState.WAITING, SessionState.STUCK, SessionState.RATE_LIMITED, SessionState.RUNNING,
    SessionState.IDLE,
)  # fmt: skip
KINDS: Final[dict[str, tuple[type[AgentFact], dict[str, Any]]]] = {
    "prompt": (kinds.PromptSubmitted, {}),
    "call": (kinds.ToolStarted, {"tool": "Bash"}),
    "same call": (kinds.ToolFinished, {"tool": "Bash", "input_digest": "same"}),
    "result": (kinds.ToolFinished, {"tool": "Read"}),
    "answer": (kinds.RequestFinished, {}),
    "limited": (kinds.RequestFailed, {"kind": "rate_limit"}),
    "asked": (kinds.AttentionNeeded, {"reason": "permission", "tool": "Bash"}),
    "elicited": (kinds.AttentionNeeded, {"reason": "elicitation"}),
    "replied": (kinds.AgentObserved, {"name": "hook.ElicitationResult"}),
    "subagent's end": (kinds.AgentFinished, {}),
    "turn's end": (kinds.TurnFinished, {}),
}
HISTORIES: Final = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(AGENTS)), min_size=1, max_size=25
)


def _told(kind: str, agent_id: str, number: int, **more: Any) -> AgentFact:
    made, given = KINDS[kind]
    for name in ("tool_use_id", "request_id"):
        if name in made.__struct_fields__:
            given = {**given, name: f"{name}-{number}"}
    given = {"agent_id": agent_id, "at_ms": _at_ms(number), "source": Source.HOOK, **given, **more}
    return fact(made, **given)


def _at_ms(number: int) -> int:
    return T0_MS + number * STEP_MS


def _state(made: list[Any], *, restarting: bool = False) -> SessionState:
    """Return what a session shows; one of which nothing was told is idle."""
    batches = [[arrival] for arrival in arrivals(made)] if restarting else [arrivals(made)]
    kept = fold_all(batches, restarting=restarting)
    return next((row.state for row in kept.sessions.values()), SessionState.IDLE)


@settings(max_examples=300)
@given(HISTORIES)
def test_a_session_shows_the_foremost_of_what_its_agents_show_alone(
    history: list[tuple[str, str]],
) -> None:
    told: list[Any] = [_told(kind, agent, number) for number, (kind, agent) in enumerate(history)]

    alone = [_state([event for event in told if event.agent_id == agent]) for agent in AGENTS]

    assert _state(told) is min(alone, key=PEOPLE_FIRST.index)
    assert _state(told, restarting=True) is _state(told)


@settings(max_examples=100)
@given(HISTORIES, st.permutations(AGENTS))
def test_the_order_in_which_agents_are_heard_changes_nothing(
    history: list[tuple[str, str]], order: tuple[str, ...]
) -> None:
    told: list[Any] = [_told(kind, agent, number) for number, (kind, agent) in enumerate(history)]

    by_agent = [event for agent in order for event in told if event.agent_id == agent]

    assert _state(by_agent) is _state(told)


@settings(max_examples=100)
@given(HISTORIES, st.integers(0, 60_000))
def test_a_clock_that_is_ahead_hides_no_end_of_a_turn(
    history: list[tuple[str, str]], ahead_ms: int
) -> None:
    sent: list[Any] = [
        _told(kind, "", number, at_ms=_at_ms(number) + ahead_ms, source=Source.CLAUDE_CODE)
        for number, (kind, _) in enumerate(history)
    ]
    sent.append(_told("turn's end", "", len(history)))
    received = [
        Arrival(one.offset, _at_ms(number), one.event, one.payload)
        for number, one in enumerate(arrivals(sent))
    ]

    [row] = fold_all([received]).sessions.values()

    assert row.state in {SessionState.IDLE, SessionState.RATE_LIMITED}
