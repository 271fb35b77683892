"""The timeline of a session: one lane an agent, subagents under whoever called them.

What happened is counted into slots in the store, so a lane has at most a few hundred marks however
many events there were. The picture is labelled as a whole; the events themselves are in the list
below it.
"""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final

from apps.dashboard import text
from apps.dashboard.text import Html, escaped, join
from streams.queries.session_events import AgentTimeline, Mark

TICKS: Final = 5
KINDS: Final = {
    "prompt": "Prompt", "call": "Model call", "tool": "Tool", "wait": "Waits for you",
    "error": "Error", "other": "Other",
}  # fmt: skip
"""The kinds of mark, by what the legend calls them."""


def ordered(lanes: Sequence[AgentTimeline]) -> list[tuple[int, AgentTimeline]]:
    """Return the lanes as a tree, depth first: how deep each is, and the lane."""
    known = {lane.agent_id for lane in lanes}
    below: dict[str, list[AgentTimeline]] = {}
    for lane in lanes:
        parent = lane.parent_agent_id
        if lane.agent_id:
            below.setdefault(
                parent if parent in known and parent != lane.agent_id else "", []
            ).append(lane)
    found: list[tuple[int, AgentTimeline]] = [(0, lane) for lane in lanes if not lane.agent_id]
    waiting = [(1, lane) for lane in reversed(below.pop("", []))]
    while waiting:
        depth, lane = waiting.pop()
        found.append((depth, lane))
        waiting += [(depth + 1, child) for child in reversed(below.pop(lane.agent_id, []))]
    # Agents that name each other as parents hang on to no root; they are shown at the first level.
    return found + [(1, lane) for rest in below.values() for lane in rest]


def name(lane: AgentTimeline) -> str:
    """Return what a lane is called."""
    if not lane.agent_id:
        return "Main agent"
    return f"{lane.agent_type} {lane.agent_id}".strip()


def drawn(
    lanes: Sequence[AgentTimeline], marks: Sequence[Mark], *, slots: int, from_ms: int,
    until_ms: int, zone: tzinfo,
) -> Html:  # fmt: skip
    """Return the picture: legend, lanes and the axis of time."""
    by_agent: dict[str, list[Mark]] = {}
    for mark in marks:
        by_agent.setdefault(mark.agent_id, []).append(mark)
    rows = "".join(
        _lane(depth, lane, by_agent.get(lane.agent_id, []), slots=slots, span_ms=until_ms - from_ms)
        for depth, lane in ordered(lanes)
    )
    said = (
        f"Timeline of {text.plural(len(lanes), 'agent')} over {text.duration(until_ms - from_ms)}"
    )
    return join(
        _legend(),
        Html(f'<div class="ms-lanes" role="img" aria-label="{escaped(said)}">{rows}</div>'),
        _axis(from_ms, until_ms, zone),
    )


def _lane(
    depth: int, lane: AgentTimeline, marks: Sequence[Mark], *, slots: int, span_ms: int
) -> str:
    order = list(KINDS)
    drawn_marks = "".join(
        _mark(mark, slots, span_ms)
        for mark in sorted(marks, key=lambda one: -order.index(one.kind))
    )
    shown = escaped(name(lane), most=40)
    return (
        f'<div class="ms-lane-name" style="padding-left:{min(depth, 6) * 0.8:.1f}rem" '
        f'title="{escaped(name(lane))}">{"└ " if depth else ""}{shown}</div>'
        f'<div class="ms-lane">{drawn_marks}</div>'
    )


def _mark(mark: Mark, slots: int, span_ms: int) -> str:
    slot_ms = span_ms / slots
    busy_ms = mark.busy_ms if mark.kind in {"call", "tool"} else 0
    wide = min(100.0, 100 * max(slot_ms, busy_ms) / span_ms)
    left = max(0.0, 100 * (mark.slot + 1) / slots - wide)
    size = f";width:{wide:.2f}%" if mark.kind in {"call", "tool", "other"} else ""
    return f'<span class="ms-mark ms-mark-{mark.kind}" style="left:{left:.2f}%{size}"></span>'


def _legend() -> Html:
    items = "".join(
        f'<span><span class="ms-swatch ms-mark-{kind}"></span>{escaped(label)}</span>'
        for kind, label in KINDS.items()
    )
    return Html(f'<div class="ms-legend">{items}</div>')


def _axis(from_ms: int, until_ms: int, zone: tzinfo) -> Html:
    step = (until_ms - from_ms) / (TICKS - 1)
    seconds = step < 120_000
    days = until_ms - from_ms > 86_400_000
    moments = (from_ms + n * step for n in range(TICKS))
    labels = (text.clock(at, zone, now_ms=None if days else at, seconds=seconds) for at in moments)
    shown = "".join(f"<span>{escaped(label)}</span>" for label in labels)
    return Html(f'<div class="ms-axis">{shown}</div>')
