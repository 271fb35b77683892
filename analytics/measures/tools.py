"""How tool calls are counted, and how a session is found to go in circles.

Reports of one tool call are merged as those of a request are. The inputs of calls are compared in
the order in which the calls are first heard of: the same tool with the same input again and again
is a loop.
"""

from typing import Final, assert_never

from analytics.contracts.agent_events import ToolDecided, ToolFinished, ToolStarted
from analytics.contracts.facts import AgentFact, Source
from analytics.measures.accounts import NO_LABELS, PLACES
from analytics.measures.accumulator_table import AMOUNT_MAX
from analytics.measures.activity import Activity
from analytics.measures.columns import LINES_ADDED
from analytics.measures.entries import CALL_COLUMNS
from analytics.measures.event_step import INHERITED, EventStep, Told
from analytics.measures.identities import TOOL
from analytics.measures.merging import (
    TOOL_COLUMNS,
    ToolState,
    begun_shape,
    call_shape,
    refusal_shape,
)
from analytics.measures.report_matching import (
    NamedReport,
    ingest_path_of,
    is_copy,
    meet,
    register,
    standing,
    taken_back,
)
from analytics.measures.reports import OWN, Shape
from analytics.measures.sessions import SessionSignal

_ADDED: Final = PLACES[LINES_ADDED]
_TRANSCRIPT: Final = Source.TRANSCRIPT
_WORKED: Final = SessionSignal.WORKED

ToolEvent = ToolDecided | ToolStarted | ToolFinished


def tool_decided(step: EventStep, event: AgentFact) -> Told:
    """Count a word on whether a tool may run."""
    assert isinstance(event, ToolDecided)
    tool, accepted = event.tool, event.accepted
    if not accepted:
        state, elsewhere = _met(step, event)
        if elsewhere and is_copy(event):
            return _inherited(step, event, state)
        _merge(step, event, state, elsewhere=elsewhere)
        step.doing.tools.pop(event.tool_use_id, None)
    delta = step.reach("", tool, "", "")
    return (delta, _WORKED, "", tool, event.waited_ms, None, not accepted)


def tool_started(step: EventStep, event: AgentFact) -> Told:
    """Look at a tool call that begins."""
    assert isinstance(event, ToolStarted)
    tool, key, digest = event.tool, event.tool_use_id, event.input_digest
    signal = _WORKED
    if key and digest:
        state, elsewhere = _met(step, event)
        if elsewhere and is_copy(event):
            return _inherited(step, event, state)
        if state is None and not step.memory.tools.is_settled(key):
            state = _new_state(step, event, elsewhere=elsewhere)
            step.memory.add_tool(state, step.counters)
        signal = _look_at(step, state, tool, digest)
    if key:
        _take_off(step, key)
    delta = step.reach("", tool, "", "")
    return (delta, signal, "", tool, None, None, False)


def tool_finished(step: EventStep, event: AgentFact) -> Told:
    """Count a tool call."""
    assert isinstance(event, ToolFinished)
    key, tools = event.tool_use_id, step.memory.tools
    if (
        key and tools.is_news(key)
        and not (event.source is _TRANSCRIPT or step.identities.is_watchful)
    ):  # fmt: skip
        return _first_told(step, event)
    state, elsewhere = _met(step, event)
    if elsewhere and is_copy(event):
        return _inherited(step, event, state)
    if not elsewhere and state is None and not tools.is_settled(key):
        return _first_told(step, event)
    tool, digest = event.tool, event.input_digest
    delta = step.reach("", tool, event.skill, "")
    if step.doing.tools:
        step.doing.tools.pop(key, None)
    state = _merge(step, event, state, elsewhere=elsewhere)
    signal = _look_at(step, state, tool, digest) if digest else _WORKED
    return (delta, signal, "", tool, event.duration_ms, None, not event.succeeded)


def _first_told(step: EventStep, event: ToolFinished) -> Told:
    """Count a call that nothing was known of."""
    memory, key, failed = step.memory, event.tool_use_id, not event.succeeded
    tool, skill, added, removed = event.tool, event.skill, event.lines_added, event.lines_removed
    delta, tools = step.reach("", tool, skill, ""), memory.tools
    state = ToolState(
        key or event.id, step.when_ms, memory.project, memory.agent, tool, skill,
        True, failed, False, added, removed, False, step.ingest_path, OWN if key else 0,  # noqa: FBT003
    )  # fmt: skip
    if key:
        step.identities.register((memory.owner, memory.key[0], TOOL, key))
        if step.doing.tools:
            step.doing.tools.pop(key, None)
    if tools.put_named(key, state) if key else tools.put(state):
        step.counters.merges_settled += 1
    if added or removed:
        added, removed = step.settle(_ADDED, NO_LABELS, (added, removed))
    if added + removed <= AMOUNT_MAX:
        step.entries.calls.append((delta, 1, failed, added, removed))
    else:
        step.entries.note(delta, CALL_COLUMNS, (1, failed, added, removed))
    digest = event.input_digest
    signal = _look_at(step, state, tool, digest) if digest else _WORKED
    return (delta, signal, "", tool, event.duration_ms, None, failed)


def _take_off(step: EventStep, key: str) -> None:
    """Note that a call is in flight, unless its end was told already."""
    calls = step.memory.tools
    state = calls.named(key)
    if not calls.is_settled(key) and (state is None or not (state.called or state.refused)):
        step.doing.begin_tool(key, step.told_ms)


def _look_at(step: EventStep, state: ToolState | None, tool: str, digest: str) -> SessionSignal:
    """Compare a call's input with the one before, once a call."""
    if state is None or state.looked_at:
        return _WORKED
    state.looked_at = True
    step.memory.tools.new[state.key] = state
    return tool_signal(step.doing, tool, digest, repeats_max=step.repeats_max)


def _met(step: EventStep, event: ToolEvent) -> tuple[ToolState | None, bool]:
    """Return the call that a report is of, if it is known, and whether it is another session's."""
    key, reports = event.tool_use_id, step.memory.tools
    if key:
        state = reports.known.get(key)
        if state is not None:
            return state, state.elsewhere
        if not (
            reports.vague_count or reports.names or is_copy(event) or step.identities.is_watchful
        ):
            return None, False
    named = NamedReport(TOOL, key, OWN if key else 0, key)
    return meet(
        step, reports, event, named, shapes=_shapes_of(event), ingest_path=ingest_path_of(event)
    )


def _shapes_of(event: ToolEvent) -> tuple[Shape, ...]:
    """Return what a report has in common with calls that it may be of, the likeliest first."""
    tool = event.tool
    match event:
        case ToolFinished():
            return (call_shape(tool, failed=not event.succeeded), begun_shape(tool))
        case ToolDecided():
            return (refusal_shape(tool), begun_shape(tool))
        case ToolStarted():
            return ()
        case _:
            assert_never(event)


def _new_state(step: EventStep, event: ToolEvent, *, elsewhere: bool) -> ToolState:
    """Return a call that is heard of for the first time."""
    key = event.tool_use_id
    state = ToolState(key or event.id, step.when_ms, step.project, step.agent, event.tool, "")
    state.kinds = OWN if key else 0
    state.elsewhere = elsewhere
    if key and not elsewhere:
        register(step, TOOL, key)
    return state


def _inherited(step: EventStep, event: ToolEvent, state: ToolState | None) -> Told:
    """Remember what another session told of before."""
    _merge(step, event, state, elsewhere=True)
    return INHERITED


def _take(state: ToolState, event: ToolEvent) -> None:
    """Take what a report says."""
    state.tool = state.tool or event.tool
    if isinstance(event, ToolStarted):
        return
    state.ingest_paths |= ingest_path_of(event)
    if isinstance(event, ToolDecided):
        state.refused = state.refused or not event.accepted
        return
    state.skill = state.skill or event.skill
    state.called = True
    state.failed = state.failed or not event.succeeded
    state.lines_added = max(state.lines_added, event.lines_added)
    state.lines_removed = max(state.lines_removed, event.lines_removed)


def _merge(
    step: EventStep, event: ToolEvent, state: ToolState | None, *, elsewhere: bool
) -> ToolState | None:
    """Count a tool call, or what this report adds to it; return None where it is settled."""
    memory, reports = step.memory, step.memory.tools
    if state is None:
        if event.tool_use_id and reports.is_settled(event.tool_use_id):
            return None
        state = _new_state(step, event, elsewhere=elsewhere)
        memory.add_tool(state, step.counters)
    elif not (state.called or state.refused):
        state.when_ms = step.when_ms
    before, shape = standing(step, state), reports.shape_of(state)
    state.elsewhere = elsewhere
    state.belong(step.project, step.agent)
    _take(state, event)
    may_be_another = reports.changed(state, shape)
    place = step.place if state.when_ms == step.when_ms else step.place_at(state.when_ms)
    step.change(TOOL_COLUMNS, place, before, standing(step, state))
    if may_be_another:
        gone = taken_back(step, reports, state, TOOL_COLUMNS)
        if gone is not None:
            _join(step, state, gone)
    return state


def _join(step: EventStep, state: ToolState, gone: ToolState) -> None:
    """Let two calls that turned out to be one be one; what `gone` counted was taken back."""
    before, shape = standing(step, state), state.shape()
    reports = step.memory.tools
    reports.merge(state, gone)
    state.elsewhere = state.elsewhere or gone.elsewhere
    state.complete(gone)
    reports.changed(state, shape)
    after = standing(step, state)
    step.change(TOOL_COLUMNS, step.place_at(state.when_ms), before, after)


def tool_signal(doing: Activity, tool: str, digest: str, *, repeats_max: int) -> SessionSignal:
    """Take a tool call's input into account; say whether the session moves on or repeats itself."""
    if doing.loop_digest == digest and doing.loop_tool == tool:
        doing.loop_count += 1
        return SessionSignal.REPEATED if doing.loop_count >= repeats_max else SessionSignal.WORKED
    doing.loop_tool, doing.loop_digest, doing.loop_count = tool, digest, 1
    return SessionSignal.MOVED_ON
