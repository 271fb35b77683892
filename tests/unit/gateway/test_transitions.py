"""The life of a connection: every state against everything that can happen."""

import pytest

from gateway.protocol import codes
from gateway.protocol.transitions import PEER_SIGNALS, TRANSITIONS, Signal, State

OPEN = [state for state in State if state not in {State.CLOSED, State.OPENING}]


@pytest.mark.parametrize("state", OPEN)
@pytest.mark.parametrize("signal", sorted(PEER_SIGNALS))
def test_whatever_a_peer_sends_has_an_answer(state: State, signal: Signal) -> None:
    step = TRANSITIONS[state][signal]

    assert (step.state is State.CLOSED) == (step.close is not None)


def test_while_channels_answer_a_command_is_held_and_only_a_bad_frame_ends_it() -> None:
    row = TRANSITIONS[State.OPENING]

    assert row[Signal.HELD].state is State.OPENING
    assert {signal for signal in PEER_SIGNALS if signal in row} == {
        Signal.MALFORMED, Signal.OTHER_CODEC, Signal.FLOODED,
    }  # fmt: skip


@pytest.mark.parametrize("signal", sorted(Signal))
def test_a_closed_connection_stays_closed_and_is_closed_once(signal: Signal) -> None:
    step = TRANSITIONS[State.CLOSED][signal]

    assert (step.state, step.close) == (State.CLOSED, None)


def test_only_a_good_token_makes_a_connection_active() -> None:
    ways = {
        (state, signal)
        for state, row in TRANSITIONS.items()
        for signal, step in row.items()
        if step.state is State.ACTIVE and state not in {State.ACTIVE, State.WAITING}
    }

    assert ways == {
        (State.CONNECTING, Signal.CONNECT_GOOD),
        (State.OPENING, Signal.JOINED),
    }
    assert [state for state, row in TRANSITIONS.items() if Signal.CONNECT_JOINING in row] == [
        State.CONNECTING, State.DENIED, State.ACTIVE, State.WAITING, State.CLOSED,
    ]  # fmt: skip


def test_every_state_is_reached_from_the_first() -> None:
    reached, found = set(), {State.CONNECTING}
    while found:
        reached |= found
        found = {step.state for state in found for step in TRANSITIONS[state].values()} - reached

    assert reached == set(State)


@pytest.mark.parametrize("close", codes.CLOSES, ids=lambda close: str(close.code))
def test_close_reasons_are_plain_words_that_no_client_reads_as_json(close: codes.Close) -> None:
    assert 3_000 <= close.code < 4_000
    assert close.reason.replace(" ", "").isalpha()
    assert len(close.reason.encode()) <= 123
