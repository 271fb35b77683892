"""The life of a supervised process: every state with every signal, and the pauses between."""

import pytest

from apps.local.lifecycle import TRANSITIONS, Pacing, Signal, State, after, failures_after, pause_ms

ALLOWED = {
    (State.WAITING, Signal.SPAWNED): State.STARTING,
    (State.WAITING, Signal.STOP): State.STOPPED,
    (State.STARTING, Signal.ANSWERED): State.READY,
    (State.STARTING, Signal.EXITED): State.BACKING_OFF,
    (State.STARTING, Signal.STOP): State.STOPPING,
    (State.READY, Signal.EXITED): State.BACKING_OFF,
    (State.READY, Signal.STOP): State.STOPPING,
    (State.BACKING_OFF, Signal.DUE): State.WAITING,
    (State.BACKING_OFF, Signal.STOP): State.STOPPED,
    (State.STOPPING, Signal.EXITED): State.STOPPED,
    (State.STOPPING, Signal.STOP): State.STOPPING,
    (State.STOPPED, Signal.STOP): State.STOPPED,
}
PACING = Pacing(first_ms=250, max_ms=30_000, steady_ms=30_000)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("signal", Signal)
def test_a_pair_leads_where_the_table_says_or_is_a_bug(state: State, signal: Signal) -> None:
    if (state, signal) in ALLOWED:
        assert after(state, signal) is ALLOWED[state, signal]
    else:
        with pytest.raises(KeyError):
            after(state, signal)


def test_every_state_has_a_row_and_leads_to_stopped_by_stop() -> None:
    assert set(TRANSITIONS) == set(State)
    for state in State:
        here = state
        for _ in State:
            here = after(here, Signal.STOP)
            if here is State.STOPPING:
                here = after(here, Signal.EXITED)
        assert here is State.STOPPED


@pytest.mark.requirement("supervised")
@pytest.mark.parametrize(
    ("failures", "expected_ms"),
    [(1, 250), (2, 500), (3, 1_000), (4, 2_000), (7, 16_000), (8, 30_000), (9, 30_000)],
)
def test_pauses_double_up_to_the_limit(failures: int, expected_ms: int) -> None:
    assert pause_ms(failures, PACING) == expected_ms


def test_a_pause_after_very_many_failures_is_still_the_limit() -> None:
    assert pause_ms(10_000_000, PACING) == 30_000


def test_a_part_that_ran_steadily_starts_over_and_one_that_did_not_counts_up() -> None:
    assert failures_after(5, ran_ms=30_000, pacing=PACING) == 1
    assert failures_after(5, ran_ms=29_999, pacing=PACING) == 6
    assert failures_after(0, ran_ms=0, pacing=PACING) == 1
