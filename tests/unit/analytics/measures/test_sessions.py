"""What a session is doing: the table over state and signal."""

from itertools import product

import pytest

from analytics.measures.rows import SessionState
from analytics.measures.sessions import (
    INITIAL,
    TRANSITIONS,
    Signal,
    falls_quiet,
    next_state,
    signal_of_attention,
)

RUNNING, WAITING, IDLE = SessionState.RUNNING, SessionState.WAITING, SessionState.IDLE
STUCK, LIMITED, ENDED = SessionState.STUCK, SessionState.RATE_LIMITED, SessionState.ENDED


@pytest.mark.parametrize(("state", "signal"), list(product(SessionState, Signal)))
def test_every_state_has_an_answer_to_every_signal(state: SessionState, signal: Signal) -> None:
    assert next_state(state, signal) in SessionState
    assert set(TRANSITIONS[state]) == set(Signal)


@pytest.mark.parametrize("signal", Signal)
def test_a_rate_limited_session_stays_so_until_a_request_succeeds(signal: Signal) -> None:
    leaves = {Signal.ANSWERED: RUNNING, Signal.ASKED: WAITING, Signal.ENDED: ENDED}

    assert next_state(LIMITED, signal) is leaves.get(signal, LIMITED)


@pytest.mark.parametrize("signal", Signal)
def test_only_a_start_or_a_prompt_wakes_an_ended_session(signal: Signal) -> None:
    wakes = {Signal.STARTED: IDLE, Signal.PROMPTED: RUNNING}

    assert next_state(ENDED, signal) is wakes.get(signal, ENDED)


@pytest.mark.parametrize("state", SessionState)
def test_what_means_the_same_in_every_living_state(state: SessionState) -> None:
    assert next_state(state, Signal.ENDED) is ENDED
    if state not in {LIMITED, ENDED}:
        assert next_state(state, Signal.PROMPTED) is RUNNING
        assert next_state(state, Signal.REPEATED) is STUCK
        assert next_state(state, Signal.LIMITED) is LIMITED
        assert next_state(state, Signal.ASKED) is WAITING
        assert next_state(state, Signal.FINISHED) is IDLE


def test_a_stuck_session_is_freed_by_another_call_and_not_by_more_work() -> None:
    assert next_state(STUCK, Signal.WORKED) is STUCK
    assert next_state(STUCK, Signal.ANSWERED) is STUCK
    assert next_state(STUCK, Signal.MOVED_ON) is RUNNING


def test_only_a_session_at_work_falls_quiet() -> None:
    assert {state for state in SessionState if falls_quiet(state)} == {RUNNING, STUCK}
    assert next_state(WAITING, Signal.QUIET) is WAITING


@pytest.mark.parametrize(
    ("reason", "signal"),
    [
        ("permission", Signal.ASKED),
        ("input", Signal.ASKED),
        ("elicitation", Signal.ASKED),
        ("idle", Signal.FINISHED),
        ("auth_success", None),
        ("", None),
    ],
)
def test_a_call_for_attention_says_what_it_is_for(reason: str, signal: Signal | None) -> None:
    assert signal_of_attention(reason) is signal


def test_a_session_is_idle_before_its_first_signal() -> None:
    assert INITIAL is IDLE
