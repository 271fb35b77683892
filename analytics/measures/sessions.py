"""What an agent is doing, as a table over its state and the signals that its events give.

Signals are taken in event time: one that is older than the state it would change says nothing. An
agent that waits for a person keeps waiting however long nobody comes, and a rate-limited one stays
so until a request succeeds; one that works or is stuck falls idle when it goes quiet.
"""

from enum import Enum, auto
from typing import Final

from analytics.measures.rows import SessionState


class SessionSignal(Enum):
    """What an event says about the state of its session."""

    __hash__ = object.__hash__  # each is one object; an enumeration's own is dear

    STARTED = auto()
    """The session began or was taken up again."""
    PROMPTED = auto()
    """A person asked for something."""
    WORKED = auto()
    """Anything that shows work going on."""
    ANSWERED = auto()
    """A model request succeeded."""
    MOVED_ON = auto()
    """A tool call unlike the one before."""
    REPEATED = auto()
    """The same tool call once too often."""
    LIMITED = auto()
    """A model request was refused for its rate."""
    ASKED = auto()
    """The agent needs a person's word."""
    REPLIED = auto()
    """A person gave the word that was asked for."""
    FINISHED = auto()
    """The agent's turn is over."""
    QUIET = auto()
    """Nothing happened for long."""
    ENDED = auto()
    """The session is over."""


_RUNNING: Final = SessionState.RUNNING
_WAITING: Final = SessionState.WAITING
_IDLE: Final = SessionState.IDLE
_STUCK: Final = SessionState.STUCK
_LIMITED: Final = SessionState.RATE_LIMITED
_ENDED: Final = SessionState.ENDED

INITIAL: Final = _IDLE
"""The state of a session before its first signal."""

TRANSITIONS: Final[dict[SessionState, dict[SessionSignal, SessionState]]] = {
    _RUNNING: {
        SessionSignal.STARTED: _RUNNING,
        SessionSignal.PROMPTED: _RUNNING,
        SessionSignal.WORKED: _RUNNING,
        SessionSignal.ANSWERED: _RUNNING,
        SessionSignal.MOVED_ON: _RUNNING,
        SessionSignal.REPEATED: _STUCK,
        SessionSignal.LIMITED: _LIMITED,
        SessionSignal.ASKED: _WAITING,
        SessionSignal.REPLIED: _RUNNING,
        SessionSignal.FINISHED: _IDLE,
        SessionSignal.QUIET: _IDLE,
        SessionSignal.ENDED: _ENDED,
    },
    _WAITING: {
        SessionSignal.STARTED: _IDLE,
        SessionSignal.PROMPTED: _RUNNING,
        SessionSignal.WORKED: _RUNNING,
        SessionSignal.ANSWERED: _RUNNING,
        SessionSignal.MOVED_ON: _RUNNING,
        SessionSignal.REPEATED: _STUCK,
        SessionSignal.LIMITED: _LIMITED,
        SessionSignal.ASKED: _WAITING,
        SessionSignal.REPLIED: _RUNNING,
        SessionSignal.FINISHED: _IDLE,
        SessionSignal.QUIET: _WAITING,
        SessionSignal.ENDED: _ENDED,
    },
    _IDLE: {
        SessionSignal.STARTED: _IDLE,
        SessionSignal.PROMPTED: _RUNNING,
        SessionSignal.WORKED: _RUNNING,
        SessionSignal.ANSWERED: _RUNNING,
        SessionSignal.MOVED_ON: _RUNNING,
        SessionSignal.REPEATED: _STUCK,
        SessionSignal.LIMITED: _LIMITED,
        SessionSignal.ASKED: _WAITING,
        SessionSignal.REPLIED: _IDLE,
        SessionSignal.FINISHED: _IDLE,
        SessionSignal.QUIET: _IDLE,
        SessionSignal.ENDED: _ENDED,
    },
    _STUCK: {
        SessionSignal.STARTED: _IDLE,
        SessionSignal.PROMPTED: _RUNNING,
        SessionSignal.WORKED: _STUCK,
        SessionSignal.ANSWERED: _STUCK,
        SessionSignal.MOVED_ON: _RUNNING,
        SessionSignal.REPEATED: _STUCK,
        SessionSignal.LIMITED: _LIMITED,
        SessionSignal.ASKED: _WAITING,
        SessionSignal.REPLIED: _STUCK,
        SessionSignal.FINISHED: _IDLE,
        SessionSignal.QUIET: _IDLE,
        SessionSignal.ENDED: _ENDED,
    },
    _LIMITED: {
        SessionSignal.STARTED: _LIMITED,
        SessionSignal.PROMPTED: _LIMITED,
        SessionSignal.WORKED: _LIMITED,
        SessionSignal.ANSWERED: _RUNNING,
        SessionSignal.MOVED_ON: _LIMITED,
        SessionSignal.REPEATED: _LIMITED,
        SessionSignal.LIMITED: _LIMITED,
        SessionSignal.ASKED: _WAITING,
        SessionSignal.REPLIED: _LIMITED,
        SessionSignal.FINISHED: _LIMITED,
        SessionSignal.QUIET: _LIMITED,
        SessionSignal.ENDED: _ENDED,
    },
    _ENDED: {
        SessionSignal.STARTED: _IDLE,
        SessionSignal.PROMPTED: _RUNNING,
        SessionSignal.WORKED: _ENDED,
        SessionSignal.ANSWERED: _ENDED,
        SessionSignal.MOVED_ON: _ENDED,
        SessionSignal.REPEATED: _ENDED,
        SessionSignal.LIMITED: _ENDED,
        SessionSignal.ASKED: _ENDED,
        SessionSignal.REPLIED: _ENDED,
        SessionSignal.FINISHED: _ENDED,
        SessionSignal.QUIET: _ENDED,
        SessionSignal.ENDED: _ENDED,
    },
}

REPLIED_REASONS: Final = frozenset({"elicitation_complete", "elicitation_response"})
"""Reasons of `attention.needed` that say that a person has come."""

IDLE_REASONS: Final = frozenset({"idle", "idle_prompt"})
"""Reasons of `attention.needed` that only say the turn is over."""

PERMISSIONS: Final = frozenset({"permission", "permission_prompt"})
"""Reasons of `attention.needed` that ask for a tool to be allowed."""

ASKING_REASONS: Final = frozenset(
    {*PERMISSIONS, "input", "agent_needs_input", "question", "elicitation", "elicitation_dialog"}
)  # fmt: skip
"""Reasons of `attention.needed` for which a session waits."""


RECORDS: Final = {"hook.ElicitationResult": SessionSignal.REPLIED}
"""Records without an event of their own that say something of their agent."""

AUXILIARY: Final = "auxiliary"
ON_THE_SIDE: Final = frozenset(
    {AUXILIARY, "advisor_message", "compaction", "prompt_suggestion", "away_summary", "compact",
     "session_memory", "session_search", "session_title", "generate_session_title", "title",
     "summary"}
)  # fmt: skip
"""The query sources of requests that are not the session's own work."""
SIDE_ENDINGS: Final = ("_suggestion", "_summary", "_title")
"""How further query sources end that are not its own work either."""
SUBAGENTS: Final = ("subagent", "agent:")
"""How the query sources of subagents begin."""


def is_on_the_side(query_source: str) -> bool:
    """Say whether a request is not its session's own work."""
    return query_source in ON_THE_SIDE or query_source.endswith(SIDE_ENDINGS)


def is_of_subagent(query_source: str) -> bool:
    """Say whether a request is a subagent's."""
    return query_source.startswith(SUBAGENTS)


def next_state(state: SessionState, signal: SessionSignal) -> SessionState:
    """Return the state after `signal`."""
    return TRANSITIONS[state][signal]


def signal_of_attention(reason: str) -> SessionSignal | None:
    """Return what a call for attention says about the session, if anything."""
    if reason in ASKING_REASONS:
        return SessionSignal.ASKED
    if reason in REPLIED_REASONS:
        return SessionSignal.REPLIED
    return SessionSignal.FINISHED if reason in IDLE_REASONS else None


def signal_of_record(name: str) -> SessionSignal | None:
    """Return what a record that is kept as it came says about its agent, if anything."""
    return RECORDS.get(name)


def falls_quiet(state: SessionState) -> bool:
    """Say whether a session in `state` falls idle by doing nothing."""
    return TRANSITIONS[state][SessionSignal.QUIET] is not state
