"""How a session follows its events: what its agents are doing, and which sign of work each is.

For how long it worked by its signs is said in `work_time`. Signals are taken in event time, but
never later than they were received: a sender's clock that is ahead hides nothing of what comes
after. A signal older than the agent's present state, or an event that is no sign of work (a metric,
a span), changes no state.

Once an agent's turn is over, what runs on the side (suggestions, summaries) or is told late is no
work: only a new prompt is, or a tool call told by whoever told of the end.
"""

from typing import Final

from analytics.contracts.agent_events import AttentionNeeded, ToolDecided, ToolFinished, ToolStarted
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.accounts import NO_LABELS, WORK
from analytics.measures.activity import Activity, Pace
from analytics.measures.event_step import EventStep
from analytics.measures.rows import SessionState
from analytics.measures.session_memory import SessionMemory
from analytics.measures.sessions import PERMISSIONS, SessionSignal, next_state
from analytics.measures.work_time import (
    ASKED,
    CLOCK_SLACK_MS,
    ENDED,
    FINISHED,
    NOTICED,
    PROMPTED,
    PROMPTED_SOFTLY,
    RESTED,
    SHIFT,
    STARTED,
    STRONG,
    WEAK,
    sign_of,
)

HOOK_SLACK_MS: Final = 2_000
"""By how much a hook, which is told at once, may seem older than what came before it: its time is
the gateway's receipt, that of others at most the broker's."""

_RUNNING: Final = SessionState.RUNNING
_WAITING: Final = SessionState.WAITING
_HOOK: Final = Source.HOOK
_WORKED: Final = SessionSignal.WORKED
_ANSWERED: Final = SessionSignal.ANSWERED
_MOVED_ON: Final = SessionSignal.MOVED_ON
_WORKING: Final = (_WORKED, _ANSWERED, _MOVED_ON)
_DOING: Final = (*_WORKING, SessionSignal.REPEATED, SessionSignal.LIMITED)
_FINISHED: Final = SessionSignal.FINISHED
_ENDED: Final = SessionSignal.ENDED
_PROMPTED: Final = SessionSignal.PROMPTED
_ASKED: Final = SessionSignal.ASKED
_TAKING_UP: Final = frozenset({*_DOING, _PROMPTED})
"""Signals that say that an agent works, which is to be doubted once its turn is over."""
_OTHERS: Final = {SessionSignal.STARTED: STARTED, _ENDED: ENDED}
_STRONG_BITS: Final = sign_of(0, STRONG)
_WEAK_BITS: Final = sign_of(0, WEAK)
_CALLS: Final = (ToolDecided, ToolFinished, ToolStarted)


def follow(step: EventStep, event: AgentFact, signal: SessionSignal | None, pace: Pace) -> int:
    """Take what the event says of what its agent is doing; return what of its work is counted."""
    if signal is None:
        return 0
    memory, when_ms = step.memory, step.told_ms
    doing = memory.doing
    if (
        memory.busy_from_ms <= when_ms < memory.busy_until_ms
        and step.doing is doing
        and (signal is _WORKED or signal is _ANSWERED or signal is _MOVED_ON)
    ):
        is_strong = event.source is _HOOK and _is_call_at_once(event)
        sign = (when_ms << SHIFT) | (_STRONG_BITS if is_strong else _WEAK_BITS)
        if when_ms > memory.busy_from_ms:
            memory.work.ahead.append(sign)
            gap_ms = when_ms - doing.active_at_ms
            doing.heard_ms = doing.active_at_ms = memory.busy_from_ms = when_ms
            memory.busy_until_ms = when_ms + step.busy_ms
        else:
            gap_ms = memory.work.take(sign, gap_max_ms=pace.active_gap_max_ms)
            doing.heard_ms = doing.active_at_ms = when_ms
    else:
        _follow(step, event, signal, pace)
        sign = sign_of(when_ms, _kind_of(event, signal), event.agent_id)
        gap_ms = memory.work.take(sign, gap_max_ms=pace.active_gap_max_ms)
        _look_ahead(memory, pace)
    if not gap_ms:
        return 0
    accounts = memory.accounts
    if accounts.told:
        changes = accounts.take_event(WORK, NO_LABELS, gap_ms)
        return changes[0][1] if changes else 0
    accounts.base.events[WORK] += gap_ms
    return gap_ms


def _look_ahead(memory: SessionMemory, pace: Pace) -> None:
    """Find out when a sign of work of the main agent changes nothing but how long it worked."""
    doing, work = memory.doing, memory.work
    doing.working, doing.active_at_ms, newest_ms, goes_on = work.tail()
    if goes_on and doing.state is _RUNNING:
        memory.busy_from_ms = max(doing.since_ms, doing.heard_ms, newest_ms)
        memory.busy_until_ms = 1 + min(
            doing.heard_ms + pace.idle_ms, doing.active_at_ms + pace.active_gap_max_ms
        )
    else:
        memory.busy_until_ms = 0


def _kind_of(event: AgentFact, signal: SessionSignal) -> int:
    """Return what kind of sign of work an event is, whatever was told before."""
    is_hook = event.source is _HOOK
    if signal in _DOING:
        return STRONG if is_hook and _is_call_at_once(event) else WEAK
    if signal is _PROMPTED:
        return PROMPTED if is_hook else PROMPTED_SOFTLY
    if signal is _FINISHED:
        return FINISHED if is_hook else RESTED
    if signal is _ASKED:
        return NOTICED if _is_notice(event) and not event.agent_id else ASKED
    return _OTHERS.get(signal, WEAK)


def _is_call_at_once(event: AgentFact) -> bool:
    """Say whether a hook tells of a tool call that is no rest of a prompt whose turn is over."""
    return isinstance(event, ToolStarted) or (isinstance(event, _CALLS) and not event.prompt_id)


def _follow(step: EventStep, event: AgentFact, signal: SessionSignal, pace: Pace) -> None:
    """Take what the event says, whatever the agent was doing."""
    memory = step.memory
    if signal is _ENDED:
        memory.agents.clear()
        step.doing = memory.doing
    doing, when_ms = step.doing, step.told_ms
    if doing.is_over and signal in _TAKING_UP and not _takes_up(doing, event, signal, when_ms):
        return
    if signal is _ASKED and _is_echo(memory, doing, event):
        return
    slack_ms = HOOK_SLACK_MS if event.source is _HOOK else 0
    if when_ms + slack_ms >= doing.since_ms and not _waits_on(doing, event, signal):
        quiet_ms = doing.quiet_ms(pace)
        if when_ms > quiet_ms:
            _turn(doing, SessionSignal.QUIET, quiet_ms, "")
        if doing.state is not _RUNNING or signal not in _WORKING:
            _turn(doing, signal, max(when_ms, doing.since_ms), step.attention)
            _note(doing, event, signal)
            _end(memory, when_ms, signal)
    doing.heard_ms = max(doing.heard_ms, when_ms)


def _takes_up(doing: Activity, event: AgentFact, signal: SessionSignal, when_ms: int) -> bool:
    """Say whether a sign of work after an agent's turn means that it works again."""
    is_hook = event.source is _HOOK
    if event.prompt_id and doing.over_prompt and event.prompt_id != doing.over_prompt:
        return True
    if is_hook and isinstance(event, ToolStarted):
        return True
    if event.prompt_id and event.prompt_id == doing.over_prompt:
        return False
    if str(event.source) == doing.over_source:
        return not is_hook or signal is SessionSignal.PROMPTED or isinstance(event, _CALLS)
    if doing.over_source != _HOOK:
        return True
    return signal is SessionSignal.PROMPTED and when_ms > doing.since_ms + CLOCK_SLACK_MS


def _is_echo(memory: SessionMemory, doing: Activity, event: AgentFact) -> bool:
    """Say whether the main agent seems to ask because a subagent does: notices name no agent."""
    if doing is not memory.doing or not _is_notice(event):
        return False
    return any(agent.state is _WAITING for agent in memory.agents.values())


def _is_notice(event: AgentFact) -> bool:
    """Say whether an event asks for a permission and does not say for what."""
    return isinstance(event, AttentionNeeded) and not event.tool and event.reason in PERMISSIONS


def _waits_on(doing: Activity, event: AgentFact, signal: SessionSignal) -> bool:
    """Say whether an agent that waits to be allowed one tool is told of another call of its own."""
    if doing.state is not _WAITING or not doing.asked_tool or not isinstance(event, _CALLS):
        return False
    return signal in _TAKING_UP and (
        isinstance(event, ToolStarted) or event.tool != doing.asked_tool
    )


def _note(doing: Activity, event: AgentFact, signal: SessionSignal) -> None:
    """Take note of what a signal says beside the state."""
    if signal is _FINISHED:
        doing.is_over = True
        doing.over_prompt, doing.over_source = event.prompt_id, str(event.source)
    elif signal in _TAKING_UP or signal is _ENDED:
        doing.is_over = False
    if signal is _PROMPTED or signal is _FINISHED or signal is _ENDED:
        doing.tools.clear()
    if signal is _ASKED:
        doing.asked_tool = getattr(event, "tool", "") or doing.asked_tool
    elif doing.state is not _WAITING:
        doing.asked_tool = ""


def _turn(doing: Activity, signal: SessionSignal, at_ms: int, reason: str) -> None:
    state = next_state(doing.state, signal)
    if state is not doing.state:
        doing.state = state
        doing.since_ms = at_ms
        doing.attention = _attention(doing, reason)
    elif signal is _ASKED:
        doing.attention = _attention(doing, reason)


def _attention(doing: Activity, reason: str) -> str:
    match doing.state:
        case SessionState.WAITING:
            return reason
        case SessionState.STUCK:
            return f"repeats {doing.loop_tool}"
        case SessionState.RATE_LIMITED:
            return "rate_limit"
        case _:
            return ""


def _end(memory: SessionMemory, when_ms: int, signal: SessionSignal) -> None:
    if memory.doing.state is not SessionState.ENDED:
        memory.ended_ms = None
    elif signal is _ENDED:
        memory.ended_ms = when_ms
