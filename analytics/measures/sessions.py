"""What a session is doing, as a table over its state and the signals that its events give.

Signals are taken in event time: one that is older than the state it would change says nothing. A
session that waits for a person keeps waiting however long nobody comes, and a rate-limited one
stays so until a request succeeds; one that works or is stuck falls idle when it goes quiet.
"""

from enum import Enum, auto
from typing import Final

from analytics.measures.rows import SessionState


class Signal(Enum):
    """What an event says about the state of its session."""

    STARTED = auto()
    """The session began or was taken up again."""
    PROMPTED = auto()
    """A person asked for something."""
    WORKED = auto()
    """Anything that shows work going on."""
    ANSWERED = auto()
    """A model request succeeded."""
    MOVED_ON = auto()
    """A tool call unlike the one before."""
    REPEATED = auto()
    """The same tool call once too often."""
    LIMITED = auto()
    """A model request was refused for its rate."""
    ASKED = auto()
    """The agent needs a person's word."""
    FINISHED = auto()
    """The agent's turn is over."""
    QUIET = auto()
    """Nothing happened for long."""
    ENDED = auto()
    """The session is over."""


_RUNNING: Final = SessionState.RUNNING
_WAITING: Final = SessionState.WAITING
_IDLE: Final = SessionState.IDLE
_STUCK: Final = SessionState.STUCK
_LIMITED: Final = SessionState.RATE_LIMITED
_ENDED: Final = SessionState.ENDED

INITIAL: Final = _IDLE
"""The state of a session before its first signal."""

TRANSITIONS: Final[dict[SessionState, dict[Signal, SessionState]]] = {
    _RUNNING: {
        Signal.STARTED: _RUNNING,
        Signal.PROMPTED: _RUNNING,
        Signal.WORKED: _RUNNING,
        Signal.ANSWERED: _RUNNING,
        Signal.MOVED_ON: _RUNNING,
        Signal.REPEATED: _STUCK,
        Signal.LIMITED: _LIMITED,
        Signal.ASKED: _WAITING,
        Signal.FINISHED: _IDLE,
        Signal.QUIET: _IDLE,
        Signal.ENDED: _ENDED,
    },
    _WAITING: {
        Signal.STARTED: _IDLE,
        Signal.PROMPTED: _RUNNING,
        Signal.WORKED: _RUNNING,
        Signal.ANSWERED: _RUNNING,
        Signal.MOVED_ON: _RUNNING,
        Signal.REPEATED: _STUCK,
        Signal.LIMITED: _LIMITED,
        Signal.ASKED: _WAITING,
        Signal.FINISHED: _IDLE,
        Signal.QUIET: _WAITING,
        Signal.ENDED: _ENDED,
    },
    _IDLE: {
        Signal.STARTED: _IDLE,
        Signal.PROMPTED: _RUNNING,
        Signal.WORKED: _RUNNING,
        Signal.ANSWERED: _RUNNING,
        Signal.MOVED_ON: _RUNNING,
        Signal.REPEATED: _STUCK,
        Signal.LIMITED: _LIMITED,
        Signal.ASKED: _WAITING,
        Signal.FINISHED: _IDLE,
        Signal.QUIET: _IDLE,
        Signal.ENDED: _ENDED,
    },
    _STUCK: {
        Signal.STARTED: _IDLE,
        Signal.PROMPTED: _RUNNING,
        Signal.WORKED: _STUCK,
        Signal.ANSWERED: _STUCK,
        Signal.MOVED_ON: _RUNNING,
        Signal.REPEATED: _STUCK,
        Signal.LIMITED: _LIMITED,
        Signal.ASKED: _WAITING,
        Signal.FINISHED: _IDLE,
        Signal.QUIET: _IDLE,
        Signal.ENDED: _ENDED,
    },
    _LIMITED: {
        Signal.STARTED: _LIMITED,
        Signal.PROMPTED: _LIMITED,
        Signal.WORKED: _LIMITED,
        Signal.ANSWERED: _RUNNING,
        Signal.MOVED_ON: _LIMITED,
        Signal.REPEATED: _LIMITED,
        Signal.LIMITED: _LIMITED,
        Signal.ASKED: _WAITING,
        Signal.FINISHED: _LIMITED,
        Signal.QUIET: _LIMITED,
        Signal.ENDED: _ENDED,
    },
    _ENDED: {
        Signal.STARTED: _IDLE,
        Signal.PROMPTED: _RUNNING,
        Signal.WORKED: _ENDED,
        Signal.ANSWERED: _ENDED,
        Signal.MOVED_ON: _ENDED,
        Signal.REPEATED: _ENDED,
        Signal.LIMITED: _ENDED,
        Signal.ASKED: _ENDED,
        Signal.FINISHED: _ENDED,
        Signal.QUIET: _ENDED,
        Signal.ENDED: _ENDED,
    },
}

IDLE_REASONS: Final = frozenset({"idle", "idle_prompt"})
"""Reasons of `attention.needed` that only say the turn is over."""

ASKING_REASONS: Final = frozenset(
    {"permission", "permission_prompt", "input", "agent_needs_input", "question", "elicitation",
     "elicitation_dialog"}
)  # fmt: skip
"""Reasons of `attention.needed` for which a session waits."""


def next_state(state: SessionState, signal: Signal) -> SessionState:
    """Return the state after `signal`."""
    return TRANSITIONS[state][signal]


def signal_of_attention(reason: str) -> Signal | None:
    """Return what a call for attention says about the session, if anything."""
    if reason in ASKING_REASONS:
        return Signal.ASKED
    return Signal.FINISHED if reason in IDLE_REASONS else None


def falls_quiet(state: SessionState) -> bool:
    """Say whether a session in `state` falls idle by doing nothing."""
    return TRANSITIONS[state][Signal.QUIET] is not state
