"""How a session follows its events: when it was active and what it is doing.

Time between two signs of work counts as active if the session was working and did not pause longer
than `active_gap_max_ms`. Signals are taken in event time; one older than the present state, or an
event that is no sign of work (a metric, a span), changes nothing.
"""

from typing import Final

from msgspec import Struct

from analytics.measures.memory import Doing, SessionMemory
from analytics.measures.rows import SessionState
from analytics.measures.sessions import Signal, next_state
from analytics.measures.step import Step

_RUNNING: Final = SessionState.RUNNING


class Pace(Struct, frozen=True, kw_only=True):
    """After how long a session counts as idle, and a pause no longer as work."""

    idle_ms: int = 300_000
    active_gap_max_ms: int = 300_000


_WORKED: Final = Signal.WORKED
_ANSWERED: Final = Signal.ANSWERED
_MOVED_ON: Final = Signal.MOVED_ON


def follow(memory: SessionMemory, step: Step, signal: Signal | None, pace: Pace) -> int:
    """Take what the event says of what the session is doing; return for how long it worked."""
    if signal is None:
        return 0
    doing = memory.doing
    when_ms = step.when_ms
    gap_ms = when_ms - doing.active_at_ms
    if (
        doing.working
        and doing.state is _RUNNING
        and (signal is _WORKED or signal is _ANSWERED or signal is _MOVED_ON)
        and when_ms >= doing.since_ms
        and 0 <= gap_ms <= pace.idle_ms
        and gap_ms <= pace.active_gap_max_ms
    ):
        doing.active_at_ms = when_ms
        return gap_ms
    return _follow(memory, step, signal, pace)


def _follow(memory: SessionMemory, step: Step, signal: Signal, pace: Pace) -> int:
    """Do as `follow` does, whatever the session was doing."""
    doing = memory.doing
    when_ms = step.when_ms
    gap_ms = when_ms - doing.active_at_ms
    if when_ms >= doing.since_ms:
        if gap_ms > pace.idle_ms:
            _turn(doing, Signal.QUIET, doing.active_at_ms + pace.idle_ms, "")
        if doing.state is not _RUNNING or signal not in _WORKING:
            _turn(doing, signal, when_ms, step.attention)
            _end(memory, when_ms, signal)
    if gap_ms < 0:
        return 0
    was_working = doing.working
    doing.active_at_ms = when_ms
    doing.working = signal not in _RESTING
    if was_working and gap_ms <= pace.active_gap_max_ms and signal is not Signal.PROMPTED:
        return gap_ms
    return 0


_WORKING: Final = (Signal.WORKED, Signal.ANSWERED, Signal.MOVED_ON)
_RESTING: Final = (Signal.STARTED, Signal.ASKED, Signal.FINISHED, Signal.ENDED)
"""Signals after which the time until the next one is a person's, not the agent's."""


def _turn(doing: Doing, signal: Signal, at_ms: int, reason: str) -> None:
    state = next_state(doing.state, signal)
    if state is not doing.state:
        doing.state = state
        doing.since_ms = at_ms
        doing.attention = _attention(doing, reason)
    elif signal is Signal.ASKED:
        doing.attention = _attention(doing, reason)


def _attention(doing: Doing, reason: str) -> str:
    match doing.state:
        case SessionState.WAITING:
            return reason
        case SessionState.STUCK:
            return f"repeats {doing.loop_tool}"
        case SessionState.RATE_LIMITED:
            return "rate_limit"
        case _:
            return ""


def _end(memory: SessionMemory, when_ms: int, signal: Signal) -> None:
    if memory.doing.state is not SessionState.ENDED:
        memory.ended_ms = None
    elif signal is Signal.ENDED:
        memory.ended_ms = when_ms
