"""The life of an agent: every state against everything that can happen."""

import pytest

from analytics.pool.lifecycle import (
    PICKABLE,
    SIGNALS,
    STATES,
    TRANSITIONS,
    OutOfTurn,
    Signal,
    State,
    after,
)

PAIRS = [(state, signal) for state in State for signal in Signal]
FINAL = {State.CLOSED}


def test_the_table_has_a_row_for_every_state_and_words_for_everything_in_it() -> None:
    assert set(TRANSITIONS) == set(State) == set(STATES)
    assert set(SIGNALS) == set(Signal)


@pytest.mark.requirement("pool-life")
@pytest.mark.parametrize(("state", "signal"), PAIRS)
def test_every_pair_has_what_the_table_says_or_is_refused(state: State, signal: Signal) -> None:
    if signal in TRANSITIONS[state]:
        assert after(state, signal) is TRANSITIONS[state][signal]
    else:
        with pytest.raises(OutOfTurn, match=state.value):
            after(state, signal)


def test_every_state_is_reached_from_the_first() -> None:
    reached, found = set(), {State.INITIALIZING}
    while found:
        reached |= found
        found = {step for state in found for step in TRANSITIONS[state].values()} - reached

    assert reached == set(State)


def test_closed_is_final_and_can_be_reached_from_everywhere() -> None:
    assert TRANSITIONS[State.CLOSED] == {}
    for state in set(State) - FINAL:
        assert TRANSITIONS[state][Signal.REMOVED] is State.CLOSED


def test_work_is_given_only_in_states_that_are_pickable() -> None:
    giving = {state for state, row in TRANSITIONS.items() if Signal.LEASED in row}

    assert giving == PICKABLE
    assert {TRANSITIONS[state][Signal.LEASED] for state in giving} == {State.ACTIVE}


@pytest.mark.parametrize("state", sorted(set(State) - FINAL - {State.SUSPENDED}))
def test_whoever_may_hold_work_keeps_it_when_the_connection_is_lost(state: State) -> None:
    holds_nothing = {State.INITIALIZING, State.FAILED}
    wanted = State.CLOSED if state in holds_nothing else State.SUSPENDED

    assert TRANSITIONS[state][Signal.LOST] is wanted


def test_a_suspended_agent_has_a_deadline_and_two_ways_out() -> None:
    row = TRANSITIONS[State.SUSPENDED]

    assert (row[Signal.RESUMED], row[Signal.EXPIRED]) == (State.READY, State.CLOSED)
    assert Signal.PASSED not in row


@pytest.mark.parametrize(
    "state", [State.INITIALIZING, State.RECYCLING, State.DRAINING, State.SUSPENDED, State.FAILED]
)
def test_no_state_that_is_on_its_way_lasts_for_ever(state: State) -> None:
    assert Signal.EXPIRED in TRANSITIONS[state]
