"""The life of an agent: every state against everything that can happen."""

import pytest

from analytics.pool.lifecycle import (
    PICKABLE,
    SIGNALS,
    STATES,
    TRANSITIONS,
    AgentSignal,
    AgentState,
    OutOfTurn,
    after,
)

PAIRS = [(state, signal) for state in AgentState for signal in AgentSignal]
FINAL = {AgentState.CLOSED}


def test_the_table_has_a_row_for_every_state_and_words_for_everything_in_it() -> None:
    assert set(TRANSITIONS) == set(AgentState) == set(STATES)
    assert set(SIGNALS) == set(AgentSignal)


@pytest.mark.requirement("pool-life")
@pytest.mark.parametrize(("state", "signal"), PAIRS)
def test_every_pair_has_what_the_table_says_or_is_refused(
    state: AgentState, signal: AgentSignal
) -> None:
    if signal in TRANSITIONS[state]:
        assert after(state, signal) is TRANSITIONS[state][signal]
    else:
        with pytest.raises(OutOfTurn, match=state.value):
            after(state, signal)


def test_every_state_is_reached_from_the_first() -> None:
    reached, found = set(), {AgentState.INITIALIZING}
    while found:
        reached |= found
        found = {step for state in found for step in TRANSITIONS[state].values()} - reached

    assert reached == set(AgentState)


def test_closed_is_final_and_can_be_reached_from_everywhere() -> None:
    assert TRANSITIONS[AgentState.CLOSED] == {}
    for state in set(AgentState) - FINAL:
        assert TRANSITIONS[state][AgentSignal.REMOVED] is AgentState.CLOSED


def test_work_is_given_only_in_states_that_are_pickable() -> None:
    giving = {state for state, row in TRANSITIONS.items() if AgentSignal.LEASED in row}

    assert giving == PICKABLE
    assert {TRANSITIONS[state][AgentSignal.LEASED] for state in giving} == {AgentState.ACTIVE}


@pytest.mark.parametrize("state", sorted(set(AgentState) - FINAL - {AgentState.SUSPENDED}))
def test_whoever_may_hold_work_keeps_it_when_the_connection_is_lost(state: AgentState) -> None:
    holds_nothing = {AgentState.INITIALIZING, AgentState.FAILED}
    wanted = AgentState.CLOSED if state in holds_nothing else AgentState.SUSPENDED

    assert TRANSITIONS[state][AgentSignal.LOST] is wanted


def test_a_suspended_agent_has_a_deadline_and_two_ways_out() -> None:
    row = TRANSITIONS[AgentState.SUSPENDED]

    assert (row[AgentSignal.RESUMED], row[AgentSignal.EXPIRED]) == (
        AgentState.READY,
        AgentState.CLOSED,
    )
    assert AgentSignal.PASSED not in row


@pytest.mark.parametrize(
    "state",
    [
        AgentState.INITIALIZING,
        AgentState.RECYCLING,
        AgentState.DRAINING,
        AgentState.SUSPENDED,
        AgentState.FAILED,
    ],
)
def test_no_state_that_is_on_its_way_lasts_for_ever(state: AgentState) -> None:
    assert AgentSignal.EXPIRED in TRANSITIONS[state]
