"""Lanes are a tree, whatever agents say of their parents."""

from datetime import UTC

from apps.dashboard import timeline
from streams.queries.session_events import AgentTimeline, Mark


def _lane(agent_id: str, parent: str = "") -> AgentTimeline:
    return AgentTimeline(
        agent_id=agent_id, parent_agent_id=parent, agent_type="", first_ms=0, last_ms=1, events=1,
        tool_calls=0, failures=0,
    )  # fmt: skip


def test_subagents_stand_under_whoever_called_them() -> None:
    lanes = [_lane(""), _lane("a"), _lane("b"), _lane("a1", "a"), _lane("a2", "a1")]

    found = [(depth, lane.agent_id) for depth, lane in timeline.ordered(lanes)]

    assert found == [(0, ""), (1, "a"), (2, "a1"), (3, "a2"), (1, "b")]


def test_agents_that_name_each_other_or_nobody_known_are_all_shown_once() -> None:
    lanes = [_lane(""), _lane("a", "b"), _lane("b", "a"), _lane("c", "gone"), _lane("d", "d")]

    found = [lane.agent_id for _, lane in timeline.ordered(lanes)]

    assert sorted(found) == ["", "a", "b", "c", "d"]


def test_a_hostile_agent_name_is_escaped_and_a_mark_stays_within_its_lane() -> None:
    marks = [Mark(agent_id="<b>", kind="tool", slot=9, number=1, busy_ms=10**12)]

    drawn = timeline.drawn(
        [_lane("<b>")], marks, slots=10, from_ms=0, until_ms=60_000, zone=UTC
    )  # fmt: skip

    assert "<b>" not in drawn
    assert "left:0.00%;width:100.00%" in drawn
