"""What each type of event adds to its session and to the sums of its series.

One small function an event type, found by the type: it adds to the deltas of the event's session,
says by a `Signal` what the session is doing, and returns the columns that the raw row shows. Which
windows a delta reaches is settled later, from its place.
"""

from collections.abc import Callable
from typing import Final

from analytics.contracts import agent_events as kinds
from analytics.contracts.facts import AgentFact, Fact
from analytics.measures import columns, requests, tools
from analytics.measures.merging import CounterState
from analytics.measures.sessions import Signal, signal_of_attention
from analytics.measures.step import Shown, Step
from analytics.measures.usage import growth, reading

FIRST_PROMPT_LENGTH_MAX: Final = 500
"""Characters of a session's first prompt that are shown."""

_NOTHING: Final[Shown] = ("", "", None, None, False)


def _session_started(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.SessionStarted)
    memory = step.memory
    memory.model = event.model or memory.model
    step.events("", "", "", "")
    step.signal = Signal.STARTED
    return (event.model, "", None, None, False) if event.model else _NOTHING


def _session_ended(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.SessionEnded)
    step.events("", "", "", "")
    step.signal = Signal.ENDED
    return _NOTHING


def _prompt_submitted(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.PromptSubmitted)
    memory = step.memory
    sums = step.events("", "", "", "")
    if not event.prompt_id or memory.is_new_prompt(event.prompt_id):
        sums[columns.PROMPTS] += 1
    if event.text and not memory.first_prompt:
        memory.first_prompt = event.text[:FIRST_PROMPT_LENGTH_MAX]
    step.signal = Signal.PROMPTED
    return _NOTHING


def _attention_needed(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.AttentionNeeded)
    step.events("", "", "", "")
    step.signal = signal_of_attention(event.reason)
    step.attention = event.reason
    return _NOTHING


def _turn_finished(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.TurnFinished)
    step.events("", "", "", "")
    step.signal = Signal.WORKED if event.background_tasks else Signal.FINISHED
    return _NOTHING


def _usage_reported(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.UsageReported)
    sums = step.events(event.model, "", event.skill, event.query_source)
    counted = reading(event)
    if counted is not None:
        column, amount = counted
        sums[column] += _growth(step, event, amount) if event.cumulative else amount
    return (event.model, "", None, None, False) if event.model else _NOTHING


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


def _skill_used(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.SkillUsed)
    step.events("", "", event.skill, "")
    step.signal = Signal.WORKED
    return _NOTHING


def _agent_finished(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.AgentFinished)
    step.events("", "", "", "")
    step.signal = Signal.WORKED
    return (event.model, "", event.duration_ms, None, False)


def _task_finished(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.TaskFinished)
    step.events("", "", "", "")
    step.signal = Signal.WORKED
    return ("", "", None, None, not event.succeeded)


def _observed(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.AgentObserved)
    step.events("", "", "", "")
    return ("", "", event.duration_ms, None, False)


def _mcp_changed(step: Step, event: AgentFact) -> Shown:
    assert isinstance(event, kinds.McpChanged)
    step.events("", "", "", "")
    return ("", "", None, None, event.status == "failed")


def _worked(step: Step, _event: AgentFact) -> Shown:
    step.events("", "", "", "")
    step.signal = Signal.WORKED
    return _NOTHING


def _counted(step: Step, _event: AgentFact) -> Shown:
    step.events("", "", "", "")
    return _NOTHING


Contribution = Callable[[Step, AgentFact], Shown]

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
