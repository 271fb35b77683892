"""How tool calls are counted, and how a session is found to go in circles.

Reports of one `tool_use_id` are merged as those of a request are; a call without one counts by its
event. The inputs of calls are compared in the order in which the calls are first heard of: the same
tool with the same input again and again is a loop.
"""

from typing import Final

from analytics.contracts.agent_events import ToolDecided, ToolFinished, ToolStarted
from analytics.contracts.facts import AgentFact
from analytics.measures.entries import CALL_COLUMNS
from analytics.measures.memory import Doing
from analytics.measures.merging import TOOL_COLUMNS, ToolState
from analytics.measures.sessions import Signal
from analytics.measures.sheet import AMOUNT_MAX
from analytics.measures.step import Step, Told

_WORKED: Final = Signal.WORKED


def tool_decided(step: Step, event: AgentFact) -> Told:
    """Count a word on whether a tool may run."""
    assert isinstance(event, ToolDecided)
    tool, accepted = event.tool, event.accepted
    delta = step.reach("", tool, "", "")
    if not accepted:
        _merge_tool(step, event.tool_use_id, tool, "", refused=True)
    return (delta, _WORKED, "", tool, event.waited_ms, None, not accepted)


def tool_started(step: Step, event: AgentFact) -> Told:
    """Look at a tool call that begins."""
    assert isinstance(event, ToolStarted)
    tool, key, digest = event.tool, event.tool_use_id, event.input_digest
    delta = step.reach("", tool, "", "")
    signal = _WORKED
    if key and digest:
        memory = step.memory
        state = memory.tools.get(key)
        if state is None and not memory.is_settled("tool", key):
            state = ToolState(key, step.when_ms, memory.project, memory.agent, tool, "")
            memory.add_tool(state, step.counters)
        signal = _look_at(step, state, tool, digest)
    return (delta, signal, "", tool, None, None, False)


def tool_finished(step: Step, event: AgentFact) -> Told:
    """Count a tool call."""
    assert isinstance(event, ToolFinished)
    tool, key, skill, failed = event.tool, event.tool_use_id, event.skill, not event.succeeded
    delta = step.reach("", tool, skill, "")
    memory = step.memory
    if key and (key in memory.tools or memory.is_settled("tool", key)):
        state = _merge_tool(
            step, key, tool, skill, called=True,
            failed=failed, lines=(event.lines_added, event.lines_removed),
        )  # fmt: skip
    else:
        added, removed = event.lines_added, event.lines_removed
        state = ToolState(
            key, step.when_ms, memory.project, memory.agent, tool, skill,
            True, failed, False, added, removed,  # noqa: FBT003
        )  # fmt: skip
        if key:
            memory.add_tool(state, step.counters)
        if added + removed <= AMOUNT_MAX:
            step.entries.calls.append((delta, 1, failed, added, removed))
        else:
            step.entries.note(delta, CALL_COLUMNS, (1, failed, added, removed))
    digest = event.input_digest
    signal = _look_at(step, state, tool, digest) if digest else _WORKED
    return (delta, signal, "", tool, event.duration_ms, None, failed)


def _look_at(step: Step, state: ToolState | None, tool: str, digest: str) -> Signal:
    """Compare a call's input with the one before, once a call."""
    if state is None or state.looked_at:
        return _WORKED
    state.looked_at = True
    if state.key:
        step.memory.new_tools[state.key] = state
    return tool_signal(step.memory.doing, tool, digest, repeats_max=step.repeats_max)


def _merge_tool(
    step: Step, key: str, tool: str, skill: str, *, called: bool = False, failed: bool = False,
    refused: bool = False, lines: tuple[int, int] = (0, 0),
) -> ToolState | None:  # fmt: skip
    """Count a tool call, or what this report adds to it; return None where it is settled."""
    memory = step.memory
    state = memory.tools.get(key) if key else None
    if state is None:
        if key and memory.is_settled("tool", key):
            return None
        state = ToolState(key, step.when_ms, step.project, step.agent, tool, skill)
        if key:
            memory.add_tool(state, step.counters)
    elif not (state.called or state.refused):
        state.when_ms = step.when_ms
    before = (state.dimensions(), state.amounts())
    state.belong(step.project, step.agent)
    state.tool = state.tool or tool
    state.skill = state.skill or skill
    state.called = state.called or called
    state.failed = state.failed or failed
    state.refused = state.refused or refused
    state.lines_added = max(state.lines_added, lines[0])
    state.lines_removed = max(state.lines_removed, lines[1])
    if key:
        memory.new_tools[key] = state
    place = step.place if state.when_ms == step.when_ms else step.place_at(state.when_ms)
    step.change(TOOL_COLUMNS, place, before, (state.dimensions(), state.amounts()))
    return state


def tool_signal(doing: Doing, tool: str, digest: str, *, repeats_max: int) -> Signal:
    """Take a tool call's input into account; say whether the session moves on or repeats itself."""
    if doing.loop_digest == digest and doing.loop_tool == tool:
        doing.loop_count += 1
        return Signal.REPEATED if doing.loop_count >= repeats_max else Signal.WORKED
    doing.loop_tool, doing.loop_digest, doing.loop_count = tool, digest, 1
    return Signal.MOVED_ON
