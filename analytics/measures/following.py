"""How a session follows its events: who it is, when it was active and what it is doing.

Time between two signs of work counts as active if the session was working and did not pause longer
than `active_gap_max_ms`. Signals are taken in event time; one older than the present state, or an
event that is no sign of work (a metric, a span), changes nothing.
"""

from typing import Final

from msgspec import Struct

from analytics.contracts.facts import AgentFact
from analytics.measures.columns import ACTIVE_MS, SESSIONS
from analytics.measures.memory import Doing, SessionMemory
from analytics.measures.rows import SessionState
from analytics.measures.sessions import Signal, next_state
from analytics.measures.step import Step

_RUNNING: Final = SessionState.RUNNING


class Pace(Struct, frozen=True, kw_only=True):
    """After how long a session counts as idle, and a pause no longer as work."""

    idle_ms: int = 300_000
    active_gap_max_ms: int = 300_000


def identify(memory: SessionMemory, step: Step, event: AgentFact) -> None:
    """Take what the event says of who the session is; what is left out is as known before."""
    if event.project:
        memory.project = event.project
    if event.agent:
        memory.agent = event.agent
    if event.version:
        memory.version = event.version
    if event.user:
        memory.user = event.user
    if event.team:
        memory.team = event.team
    step.project = memory.project
    step.agent = memory.agent
    when_ms = step.when_ms
    if memory.fresh:
        memory.started_ms = memory.last_ms = when_ms
    elif when_ms > memory.last_ms:
        memory.last_ms = when_ms
    elif when_ms < memory.started_ms:
        memory.started_ms = when_ms


def follow(memory: SessionMemory, step: Step, pace: Pace) -> None:
    """Take what the event, counted by now, says of what the session is doing."""
    if memory.fresh:
        memory.fresh = False
        step.current.sums[SESSIONS] += 1
    signal = step.signal
    if signal is None:
        return
    doing = memory.doing
    when_ms = step.when_ms
    gap_ms = when_ms - doing.active_at_ms
    if when_ms >= doing.since_ms:
        if gap_ms > pace.idle_ms:
            _turn(doing, Signal.QUIET, doing.active_at_ms + pace.idle_ms, "")
        if doing.state is not _RUNNING or (
            signal is not Signal.ANSWERED
            and signal is not Signal.WORKED
            and signal is not Signal.MOVED_ON
        ):
            _turn(doing, signal, when_ms, step.attention)
            _end(memory, when_ms, signal)
    if gap_ms >= 0:
        if doing.working and gap_ms <= pace.active_gap_max_ms and signal is not Signal.PROMPTED:
            step.current.sums[ACTIVE_MS] += gap_ms
        doing.active_at_ms = when_ms
        doing.working = signal not in _RESTING


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
