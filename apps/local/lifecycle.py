"""The life of one supervised process, as a table, and how long to wait before a restart.

A pair that is not in the table is a bug in the caller. A part that ran steadily starts over with
the shortest pause; one that keeps failing waits twice as long each time, up to a limit.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class State(StrEnum):
    """Where a part is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    BACKING_OFF = "backing off"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Signal(StrEnum):
    """What happens to a part."""

    SPAWNED = "spawned"
    ANSWERED = "answered"
    EXITED = "exited"
    DUE = "due"
    STOP = "stop"


TRANSITIONS: Final[dict[State, dict[Signal, State]]] = {
    State.WAITING: {Signal.SPAWNED: State.STARTING, Signal.STOP: State.STOPPED},
    State.STARTING: {
        Signal.ANSWERED: State.READY,
        Signal.EXITED: State.BACKING_OFF,
        Signal.STOP: State.STOPPING,
    },
    State.READY: {Signal.EXITED: State.BACKING_OFF, Signal.STOP: State.STOPPING},
    State.BACKING_OFF: {Signal.DUE: State.WAITING, Signal.STOP: State.STOPPED},
    State.STOPPING: {Signal.EXITED: State.STOPPED, Signal.STOP: State.STOPPING},
    State.STOPPED: {Signal.STOP: State.STOPPED},
}


class Pacing(Struct, frozen=True, kw_only=True):
    """How restarts are spaced."""

    first_ms: int
    max_ms: int
    steady_ms: int


def after(state: State, signal: Signal) -> State:
    """Return the state that `signal` leads to."""
    return TRANSITIONS[state][signal]


def failures_after(failures: int, *, ran_ms: int, pacing: Pacing) -> int:
    """Return how many failures in a row there are now that a part ended after `ran_ms`."""
    return 1 if ran_ms >= pacing.steady_ms else failures + 1


def pause_ms(failures: int, pacing: Pacing) -> int:
    """Return the pause before the restart after this many failures in a row (at least one)."""
    doublings = min(failures - 1, pacing.max_ms.bit_length())
    return min(pacing.max_ms, pacing.first_ms << doublings)
