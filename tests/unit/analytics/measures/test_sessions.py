"""What a session is doing: the table over state and signal."""

from itertools import product

import pytest

from analytics.measures.rows import SessionState
from analytics.measures.sessions import (
    INITIAL,
    TRANSITIONS,
    SessionSignal,
    falls_quiet,
    next_state,
    signal_of_attention,
)

RUNNING, WAITING, IDLE = SessionState.RUNNING, SessionState.WAITING, SessionState.IDLE
STUCK, LIMITED, ENDED = SessionState.STUCK, SessionState.RATE_LIMITED, SessionState.ENDED


@pytest.mark.parametrize(("state", "signal"), list(product(SessionState, SessionSignal)))
def test_every_state_has_an_answer_to_every_signal(
    state: SessionState, signal: SessionSignal
) -> None:
    assert next_state(state, signal) in SessionState
    assert set(TRANSITIONS[state]) == set(SessionSignal)


@pytest.mark.parametrize("signal", SessionSignal)
def test_a_rate_limited_session_stays_so_until_a_request_succeeds(signal: SessionSignal) -> None:
    leaves = {
        SessionSignal.ANSWERED: RUNNING,
        SessionSignal.ASKED: WAITING,
        SessionSignal.ENDED: ENDED,
    }

    assert next_state(LIMITED, signal) is leaves.get(signal, LIMITED)


@pytest.mark.parametrize("signal", SessionSignal)
def test_only_a_start_or_a_prompt_wakes_an_ended_session(signal: SessionSignal) -> None:
    wakes = {SessionSignal.STARTED: IDLE, SessionSignal.PROMPTED: RUNNING}

    assert next_state(ENDED, signal) is wakes.get(signal, ENDED)


@pytest.mark.parametrize("state", SessionState)
def test_what_means_the_same_in_every_living_state(state: SessionState) -> None:
    assert next_state(state, SessionSignal.ENDED) is ENDED
    if state not in {LIMITED, ENDED}:
        assert next_state(state, SessionSignal.PROMPTED) is RUNNING
        assert next_state(state, SessionSignal.REPEATED) is STUCK
        assert next_state(state, SessionSignal.LIMITED) is LIMITED
        assert next_state(state, SessionSignal.ASKED) is WAITING
        assert next_state(state, SessionSignal.FINISHED) is IDLE


def test_a_stuck_session_is_freed_by_another_call_and_not_by_more_work() -> None:
    assert next_state(STUCK, SessionSignal.WORKED) is STUCK
    assert next_state(STUCK, SessionSignal.ANSWERED) is STUCK
    assert next_state(STUCK, SessionSignal.MOVED_ON) is RUNNING


@pytest.mark.parametrize("state", SessionState)
def test_a_word_given_frees_who_waited_for_it_and_nobody_else(state: SessionState) -> None:
    assert next_state(state, SessionSignal.REPLIED) is (RUNNING if state is WAITING else state)


def test_only_a_session_at_work_falls_quiet() -> None:
    assert {state for state in SessionState if falls_quiet(state)} == {RUNNING, STUCK}
    assert next_state(WAITING, SessionSignal.QUIET) is WAITING


@pytest.mark.parametrize(
    ("reason", "signal"),
    [
        ("permission", SessionSignal.ASKED),
        ("input", SessionSignal.ASKED),
        ("elicitation", SessionSignal.ASKED),
        ("elicitation_response", SessionSignal.REPLIED),
        ("idle", SessionSignal.FINISHED),
        ("auth_success", None),
        ("", None),
    ],
)
def test_a_call_for_attention_says_what_it_is_for(
    reason: str, signal: SessionSignal | None
) -> None:
    assert signal_of_attention(reason) is signal


def test_a_session_is_idle_before_its_first_signal() -> None:
    assert INITIAL is IDLE
