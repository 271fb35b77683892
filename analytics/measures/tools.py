"""How tool calls are counted, and how a session is found to go in circles.

Reports of one `tool_use_id` are merged as those of a request are; a call without one counts by its
event. The inputs of calls are compared in the order in which the calls are first heard of: the same
tool with the same input again and again is a loop.
"""

from analytics.contracts.agent_events import ToolDecided, ToolFinished, ToolStarted
from analytics.contracts.facts import AgentFact
from analytics.measures.memory import Doing
from analytics.measures.merging import TOOL_COLUMNS, ToolState
from analytics.measures.sessions import Signal
from analytics.measures.step import Shown, Step


def tool_decided(step: Step, event: AgentFact) -> Shown:
    """Count a word on whether a tool may run."""
    assert isinstance(event, ToolDecided)
    step.events("", event.tool, "", "")
    step.signal = Signal.WORKED
    if not event.accepted:
        _merge_tool(step, event.tool_use_id, event.tool, "", refused=True)
    return ("", event.tool, event.waited_ms, None, not event.accepted)


def tool_started(step: Step, event: AgentFact) -> Shown:
    """Look at a tool call that begins."""
    assert isinstance(event, ToolStarted)
    memory = step.memory
    step.events("", event.tool, "", "")
    step.signal = Signal.WORKED
    if event.tool_use_id and event.input_digest:
        state = memory.tools.get(event.tool_use_id)
        if state is None and not memory.is_settled("tool", event.tool_use_id):
            state = ToolState(
                event.tool_use_id, step.when_ms, step.project, step.agent, event.tool, ""
            )
            memory.add_tool(state, step.counters)
        _look_at(step, state, event.tool, event.input_digest)
    return ("", event.tool, None, None, False)


def tool_finished(step: Step, event: AgentFact) -> Shown:
    """Count a tool call."""
    assert isinstance(event, ToolFinished)
    sums = step.events("", event.tool, event.skill, "")
    step.signal = Signal.WORKED
    failed = not event.succeeded
    shown = ("", event.tool, event.duration_ms, None, failed)
    memory = step.memory
    key = event.tool_use_id
    if key and (key in memory.tools or memory.is_settled("tool", key)):
        state = _merge_tool(
            step, key, event.tool, event.skill, called=True,
            failed=failed, lines=(event.lines_added, event.lines_removed),
        )  # fmt: skip
    else:
        state = ToolState(
            key, step.when_ms, step.project, step.agent, event.tool, event.skill,
            True, failed, False, event.lines_added, event.lines_removed,  # noqa: FBT003
        )  # fmt: skip
        if key:
            memory.add_tool(state, step.counters)
        for column, amount in zip(TOOL_COLUMNS, state.amounts(), strict=True):
            if amount:
                sums[column] += amount
    if event.input_digest:
        _look_at(step, state, event.tool, event.input_digest)
    return shown


def _look_at(step: Step, state: ToolState | None, tool: str, digest: str) -> None:
    """Compare a call's input with the one before, once a call."""
    if state is None or state.looked_at:
        return
    state.looked_at = True
    if state.key:
        step.memory.new_tools[state.key] = state
    step.signal = tool_signal(step.memory.doing, tool, digest, repeats_max=step.repeats_max)


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
