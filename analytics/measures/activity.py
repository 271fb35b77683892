"""What the agents of a session are doing, and what that amounts to for the session.

Each agent (the main one, and every subagent by its id) has a state of its own, so what one does
says nothing of another. A session shows the state that asks most for a person: one that waits wins
over one that is stuck, rate-limited, at work, idle. An agent with a tool call in flight is at work
however long the call takes, up to `Pace.tool_ms_max`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from analytics.measures.rows import SessionState
from analytics.measures.sessions import INITIAL, falls_quiet

AGENTS_MAX: Final = 64
"""Subagents of a session that are told apart; the one first heard of is forgotten beyond it."""
TOOLS_MAX: Final = 64
"""Tool calls in flight that are remembered of an agent; the oldest is forgotten beyond it."""


class Pace(Struct, frozen=True, kw_only=True):
    """After how long an agent counts as idle, and a pause no longer as work."""

    idle_ms: int = 300_000
    active_gap_max_ms: int = 300_000
    tool_ms_max: int = 3_600_000
    """How long a tool call that does not come back counts as work."""

    @property
    def busy_ms(self) -> int:
        """For how long after a sign of work another one only goes on."""
        return 1 + min(self.idle_ms, self.active_gap_max_ms)


class Activity(Struct, array_like=True):
    """What an agent is doing; of the main one also when its session last worked."""

    state: SessionState = INITIAL
    since_ms: int = 0
    attention: str = ""
    working: bool = False
    """Whether time until the session's next event counts as active."""
    active_at_ms: int = 0
    """When the session last did something."""
    loop_tool: str = ""
    loop_digest: str = ""
    loop_count: int = 0
    heard_ms: int = 0
    """When the agent last did something."""
    is_over: bool = False
    """Whether its turn is over: what runs on the side from now on is no work."""
    over_prompt: str = ""
    """The prompt that the turn was about, where it is known."""
    over_source: str = ""
    """Who told that it is over."""
    asked_tool: str = ""
    """The tool that it waits to be allowed, where that is known."""
    tools: dict[str, int] = field(default_factory=dict)
    """Tool calls in flight, with their beginnings."""

    def begin_tool(self, key: str, at_ms: int) -> None:
        """Take note of a tool call that begins."""
        self.tools[key] = at_ms
        if len(self.tools) > TOOLS_MAX:
            del self.tools[next(iter(self.tools))]

    def quiet_ms(self, pace: Pace) -> int:
        """Return until when the agent counts as at work if nothing more is heard of it."""
        quiet_ms = self.heard_ms + pace.idle_ms
        if self.tools:
            return max(quiet_ms, max(self.tools.values()) + pace.tool_ms_max)
        return quiet_ms


class ShownActivity(Struct, frozen=True):
    """What a session shows."""

    state: SessionState
    since_ms: int
    attention: str


_RANKS: Final = {
    SessionState.WAITING: 0,
    SessionState.STUCK: 1,
    SessionState.RATE_LIMITED: 2,
    SessionState.RUNNING: 3,
    SessionState.IDLE: 4,
    SessionState.ENDED: 5,
}


def shown(main: Activity, agents: Mapping[str, Activity], pace: Pace, now_ms: int) -> ShownActivity:
    """Return what a session shows by the states of its agents."""
    own = _shown(main, pace, now_ms)
    if not agents or own.state is SessionState.ENDED:
        return own
    return _foremost([own, *(_shown(doing, pace, now_ms) for doing in agents.values())])


def _shown(doing: Activity, pace: Pace, now_ms: int) -> ShownActivity:
    """Return an agent's state as it stands now: one that does nothing for long is idle."""
    if falls_quiet(doing.state):
        quiet_ms = doing.quiet_ms(pace)
        if now_ms > quiet_ms:
            return ShownActivity(SessionState.IDLE, quiet_ms, "")
    return ShownActivity(doing.state, doing.since_ms, doing.attention)


def _foremost(every: Iterable[ShownActivity]) -> ShownActivity:
    """Return the state that asks most for a person: of several the longest, of idle the last."""

    def rank(one: ShownActivity) -> tuple[int, int]:
        since_ms = -one.since_ms if one.state is SessionState.IDLE else one.since_ms
        return _RANKS[one.state], since_ms

    return min(every, key=rank)
