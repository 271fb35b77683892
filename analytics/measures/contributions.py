"""What each type of event adds to its session and to the sums of its series.

One small function an event type, found by the type: it notes what the event adds to the sums,
and says by what it returns where the event is counted, what the session is doing, and what the
columns of the raw row show.
"""

from collections.abc import Callable
from typing import Final

from analytics.contracts import agent_events as kinds
from analytics.contracts.facts import AgentFact, Fact
from analytics.measures import requests, tools
from analytics.measures.columns import PROMPTS
from analytics.measures.merging import CounterState
from analytics.measures.sessions import Signal, signal_of_attention
from analytics.measures.step import Step, Told
from analytics.measures.usage import growth, reading

FIRST_PROMPT_LENGTH_MAX: Final = 500
"""Characters of a session's first prompt that are shown."""

_ENDED: Final = Signal.ENDED
_FINISHED: Final = Signal.FINISHED
_PROMPTED: Final = Signal.PROMPTED
_STARTED: Final = Signal.STARTED
_WORKED: Final = Signal.WORKED


def _session_started(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.SessionStarted)
    memory = step.memory
    memory.model = event.model or memory.model
    return (step.reach("", "", "", ""), _STARTED, event.model, "", None, None, False)


def _session_ended(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.SessionEnded)
    return (step.reach("", "", "", ""), _ENDED, "", "", None, None, False)


def _prompt_submitted(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.PromptSubmitted)
    memory = step.memory
    delta = step.reach("", "", "", "")
    if not event.prompt_id or memory.is_new_prompt(event.prompt_id):
        step.entries.changes.append((delta, PROMPTS, 1))
    if event.text and not memory.first_prompt:
        memory.first_prompt = event.text[:FIRST_PROMPT_LENGTH_MAX]
    return (delta, _PROMPTED, "", "", None, None, False)


def _attention_needed(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.AttentionNeeded)
    step.attention = event.reason
    signal = signal_of_attention(event.reason)
    return (step.reach("", "", "", ""), signal, "", "", None, None, False)


def _turn_finished(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.TurnFinished)
    signal = _WORKED if event.background_tasks else _FINISHED
    return (step.reach("", "", "", ""), signal, "", "", None, None, False)


def _usage_reported(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.UsageReported)
    delta = step.reach(event.model, "", event.skill, event.query_source)
    counted = reading(event)
    if counted is not None:
        column, amount = counted
        if event.cumulative:
            amount = _growth(step, event, amount)
        step.entries.changes.append((delta, column, amount))
    return (delta, None, event.model, "", None, None, False)


def _growth(step: Step, event: kinds.UsageReported, total: int) -> int:
    memory = step.memory
    key = event.series or f"{event.metric} {event.kind} {event.model}"
    state = memory.counters.get(key)
    if state is None:
        if len(memory.counters) >= memory.limits.counters_max:
            step.counters.counters_refused += 1
            return 0
        state = memory.counters[key] = CounterState(key, event.start_ms, event.at_ms, 0)
    memory.new_counters[key] = state
    return growth(state, start_ms=event.start_ms, at_ms=event.at_ms, total=total)


def _skill_used(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.SkillUsed)
    return (step.reach("", "", event.skill, ""), _WORKED, "", "", None, None, False)


def _agent_finished(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.AgentFinished)
    delta = step.reach("", "", "", "")
    return (delta, _WORKED, event.model, "", event.duration_ms, None, False)


def _task_finished(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.TaskFinished)
    return (step.reach("", "", "", ""), _WORKED, "", "", None, None, not event.succeeded)


def _observed(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.AgentObserved)
    return (step.reach("", "", "", ""), None, "", "", event.duration_ms, None, False)


def _mcp_changed(step: Step, event: AgentFact) -> Told:
    assert isinstance(event, kinds.McpChanged)
    return (step.reach("", "", "", ""), None, "", "", None, None, event.status == "failed")


def _worked(step: Step, _event: AgentFact) -> Told:
    return (step.reach("", "", "", ""), _WORKED, "", "", None, None, False)


def _counted(step: Step, _event: AgentFact) -> Told:
    return (step.reach("", "", "", ""), None, "", "", None, None, False)


Contribution = Callable[[Step, AgentFact], Told]

CONTRIBUTIONS: Final[dict[type[Fact], Contribution]] = {
    kinds.SessionStarted: _session_started,
    kinds.SessionEnded: _session_ended,
    kinds.PromptSubmitted: _prompt_submitted,
    kinds.RequestFinished: requests.request_finished,
    kinds.RequestFailed: requests.request_failed,
    kinds.ToolDecided: tools.tool_decided,
    kinds.ToolStarted: tools.tool_started,
    kinds.ToolFinished: tools.tool_finished,
    kinds.AgentStarted: _worked,
    kinds.AgentFinished: _agent_finished,
    kinds.AttentionNeeded: _attention_needed,
    kinds.TurnFinished: _turn_finished,
    kinds.ContextCompacted: _worked,
    kinds.ModeChanged: _counted,
    kinds.McpChanged: _mcp_changed,
    kinds.SkillUsed: _skill_used,
    kinds.UsageReported: _usage_reported,
    kinds.TaskCreated: _worked,
    kinds.TaskFinished: _task_finished,
    kinds.AgentObserved: _observed,
}
"""The function of every type of agent event."""
