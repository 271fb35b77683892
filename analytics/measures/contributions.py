"""What each type of event adds to its session and to the sums of its series.

One small function an event type, found by the type: it notes what the event adds to the sums,
and says by what it returns where the event is counted, what the session is doing, and what the
columns of the raw row show.
"""

from collections.abc import Callable
from typing import Final

from analytics.contracts import agent_events as kinds
from analytics.contracts.events import TYPES
from analytics.contracts.facts import AgentFact, Fact
from analytics.measures import histograms, prompts, requests, tools
from analytics.measures.event_step import EventStep, Told
from analytics.measures.report_matching import meter
from analytics.measures.sessions import SessionSignal, signal_of_attention, signal_of_record
from analytics.measures.usage import MEANINGS, growth_of, reading

_ENDED: Final = SessionSignal.ENDED
_FINISHED: Final = SessionSignal.FINISHED
_STARTED: Final = SessionSignal.STARTED
_WORKED: Final = SessionSignal.WORKED


def _session_started(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.SessionStarted)
    memory = step.memory
    memory.model = event.model or memory.model
    return (step.reach("", "", "", ""), _STARTED, event.model, "", None, None, False)


def _session_ended(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.SessionEnded)
    return (step.reach("", "", "", ""), _ENDED, "", "", None, None, False)


def _attention_needed(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.AttentionNeeded)
    step.attention = event.reason
    signal = signal_of_attention(event.reason)
    return (step.reach("", "", "", ""), signal, "", "", None, None, False)


def _turn_finished(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.TurnFinished)
    signal = _WORKED if event.background_tasks else _FINISHED
    return (step.reach("", "", "", ""), signal, "", "", None, None, False)


def _usage_reported(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.UsageReported)
    labels = (event.model, "", event.skill, event.query_source)
    delta = step.reach(*labels)
    told = reading(event)
    if told is not None:
        columns, amount = told
        if event.cumulative:
            amount = growth_of(step, event, amount)
        if amount:
            meter(step, event.start_ms or event.at_ms)
        costless = MEANINGS[event.metric].costless
        for column, sign in columns if amount else ():
            step.count_metric(delta, labels, column, sign * amount, costless=costless)
        memory = step.memory
        memory.model = memory.model or event.model
    elif histograms.is_counted(event):
        histograms.take(step, event, delta)
    return (delta, None, event.model, "", None, None, False)


def _skill_used(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.SkillUsed)
    return (step.reach("", "", event.skill, ""), _WORKED, "", "", None, None, False)


def _agent_finished(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.AgentFinished)
    delta = step.reach("", "", "", "")
    signal = _FINISHED if event.agent_id else _WORKED
    return (delta, signal, event.model, "", event.duration_ms, None, False)


def _task_finished(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.TaskFinished)
    return (step.reach("", "", "", ""), _WORKED, "", "", None, None, not event.succeeded)


def _observed(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.AgentObserved)
    signal = signal_of_record(event.name)
    return (step.reach("", "", "", ""), signal, "", "", event.duration_ms, None, False)


def _mcp_changed(step: EventStep, event: AgentFact) -> Told:
    assert isinstance(event, kinds.McpChanged)
    return (step.reach("", "", "", ""), None, "", "", None, None, event.status == "failed")


def _worked(step: EventStep, _event: AgentFact) -> Told:
    return (step.reach("", "", "", ""), _WORKED, "", "", None, None, False)


def _counted(step: EventStep, _event: AgentFact) -> Told:
    return (step.reach("", "", "", ""), None, "", "", None, None, False)


Contribution = Callable[[EventStep, AgentFact], Told]

CONTRIBUTIONS: Final[dict[type[Fact], Contribution]] = {
    kinds.SessionStarted: _session_started,
    kinds.SessionEnded: _session_ended,
    kinds.PromptSubmitted: prompts.prompt_submitted,
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

KINDS: Final[dict[type[Fact], tuple[str, Contribution]]] = {
    TYPES[name]: (name, CONTRIBUTIONS[TYPES[name]])
    for name in TYPES
    if TYPES[name] in CONTRIBUTIONS
}
"""Their names too."""
