"""The life of an agent in the pool, as one table that is published as it is.

A pair of state and signal that is not in the table changes nothing and is refused: `after` raises
`OutOfTurn`. Two recoveries are told in steps: whoever is back is `ready` first, and `leased` again
if it still holds work, so each arrow of the table stands for one fact.
"""

from enum import StrEnum
from typing import Final

from analytics.contracts.errors import Refused


class AgentState(StrEnum):
    """Where an agent is in its life."""

    INITIALIZING = "initializing"
    READY = "ready"
    ACTIVE = "active"
    IDLE = "idle"
    UNHEALTHY = "unhealthy"
    RECYCLING = "recycling"
    FAILED = "failed"
    DRAINING = "draining"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class AgentSignal(StrEnum):
    """What can happen to an agent."""

    REGISTERED = "registered"
    PASSED = "passed"
    MISSED = "missed"
    GAVE_UP = "gave_up"
    LEASED = "leased"
    EMPTIED = "emptied"
    RESTED = "rested"
    AGED = "aged"
    DRAIN = "drain"
    LOST = "lost"
    RESUMED = "resumed"
    EXPIRED = "expired"
    REMOVED = "removed"


STATES: Final[dict[AgentState, str]] = {
    AgentState.INITIALIZING: "registered, and has not said yet that it takes work",
    AgentState.READY: "takes work and holds none",
    AgentState.ACTIVE: "holds work, and takes more while its capacity allows",
    AgentState.IDLE: "has held no work for the idle time; still takes some",
    AgentState.UNHEALTHY: "did not show itself in time; gets nothing more, keeps what it holds",
    AgentState.RECYCLING: "is older than it may get; finishes what it holds, then registers again",
    AgentState.FAILED: "was given up; what it held went back",
    AgentState.DRAINING: "leaves; finishes what it holds",
    AgentState.SUSPENDED: "lost its connection; keeps what it holds until a deadline, may return",
    AgentState.CLOSED: "is gone for good",
}
"""What each state means."""

SIGNALS: Final[dict[AgentSignal, str]] = {
    AgentSignal.REGISTERED: "it told its skills, for the first time or again",
    AgentSignal.PASSED: "it showed itself and takes work",
    AgentSignal.MISSED: "it did not show itself in time",
    AgentSignal.GAVE_UP: "it has not shown itself for so long that it is given up",
    AgentSignal.LEASED: "it was given work",
    AgentSignal.EMPTIED: "it holds no work any more",
    AgentSignal.RESTED: "it has held no work for the idle time",
    AgentSignal.AGED: "it has lived as long as one registration lasts",
    AgentSignal.DRAIN: "it leaves: by its own will, an operator's, or since enough are idle",
    AgentSignal.LOST: "its connection is gone",
    AgentSignal.RESUMED: "it came back on another connection",
    AgentSignal.EXPIRED: "the state's deadline has passed",
    AgentSignal.REMOVED: "an operator took it out",
}
"""What each signal says."""

_S, _G = AgentState, AgentSignal
_COMMON: Final = {
    _G.MISSED: _S.UNHEALTHY, _G.AGED: _S.RECYCLING, _G.DRAIN: _S.DRAINING,
    _G.LOST: _S.SUSPENDED, _G.REMOVED: _S.CLOSED,
}  # fmt: skip

TRANSITIONS: Final[dict[AgentState, dict[AgentSignal, AgentState]]] = {
    _S.INITIALIZING: {
        _G.REGISTERED: _S.INITIALIZING, _G.PASSED: _S.READY, _G.DRAIN: _S.DRAINING,
        _G.LOST: _S.CLOSED, _G.EXPIRED: _S.FAILED, _G.REMOVED: _S.CLOSED,
    },
    _S.READY: {
        **_COMMON, _G.REGISTERED: _S.READY, _G.PASSED: _S.READY, _G.LEASED: _S.ACTIVE,
        _G.RESTED: _S.IDLE,
    },
    _S.ACTIVE: {
        **_COMMON, _G.REGISTERED: _S.ACTIVE, _G.PASSED: _S.ACTIVE, _G.LEASED: _S.ACTIVE,
        _G.EMPTIED: _S.READY,
    },
    _S.IDLE: {
        **_COMMON, _G.REGISTERED: _S.IDLE, _G.PASSED: _S.IDLE, _G.LEASED: _S.ACTIVE,
    },
    _S.UNHEALTHY: {
        **_COMMON, _G.REGISTERED: _S.UNHEALTHY, _G.PASSED: _S.READY, _G.EMPTIED: _S.UNHEALTHY,
        _G.GAVE_UP: _S.FAILED,
    },
    _S.RECYCLING: {
        _G.REGISTERED: _S.RECYCLING, _G.PASSED: _S.RECYCLING, _G.EMPTIED: _S.INITIALIZING,
        _G.DRAIN: _S.DRAINING, _G.LOST: _S.SUSPENDED, _G.EXPIRED: _S.FAILED, _G.REMOVED: _S.CLOSED,
    },
    _S.FAILED: {
        _G.REGISTERED: _S.INITIALIZING, _G.PASSED: _S.FAILED, _G.DRAIN: _S.CLOSED,
        _G.LOST: _S.CLOSED, _G.EXPIRED: _S.CLOSED, _G.REMOVED: _S.CLOSED,
    },
    _S.DRAINING: {
        _G.REGISTERED: _S.DRAINING, _G.PASSED: _S.DRAINING, _G.EMPTIED: _S.CLOSED,
        _G.DRAIN: _S.DRAINING, _G.LOST: _S.SUSPENDED, _G.EXPIRED: _S.CLOSED, _G.REMOVED: _S.CLOSED,
    },
    _S.SUSPENDED: {
        _G.EMPTIED: _S.SUSPENDED, _G.DRAIN: _S.SUSPENDED, _G.RESUMED: _S.READY,
        _G.EXPIRED: _S.CLOSED, _G.REMOVED: _S.CLOSED,
    },
    _S.CLOSED: {},
}  # fmt: skip
"""What follows, by state and signal."""

PICKABLE: Final = frozenset({AgentState.READY, AgentState.ACTIVE, AgentState.IDLE})
"""States in which work is given."""


class OutOfTurn(Refused):
    """Something that cannot happen in the state an agent is in."""

    code = "out-of-turn"


def after(state: AgentState, signal: AgentSignal) -> AgentState:
    """Return the state that follows; raise `OutOfTurn` where the table has none."""
    following = TRANSITIONS[state].get(signal)
    if following is None:
        raise OutOfTurn(f"an agent that is {state.value!r} cannot be {signal.value!r}")
    return following
