"""What a pool wants told: values that the edge turns into answers, messages and counts."""

from enum import StrEnum

from msgspec import Struct

from analytics.pool.leases import Ask, Lease, LeaseOutcome
from analytics.pool.lifecycle import AgentSignal, AgentState
from analytics.pool.members import Member


class NoAgentReason(StrEnum):
    """Why nobody was found."""

    NOBODY = "nobody"
    """Nobody can take it now, and the ask did not want to wait."""
    TIMED_OUT = "timed_out"
    FULL = "full"
    """Too many wait already."""
    LEFT = "left"
    """Whoever asked is gone, or the gateway is."""


class Granted(Struct, frozen=True):
    """Tell the holder of its lease, and the member of its work."""

    ask: Ask
    lease: Lease


class Unserved(Struct, frozen=True):
    """Tell who asked that there is nobody."""

    ask: Ask
    why: NoAgentReason


class LeaseEnded(Struct, frozen=True):
    """Tell the holder, and the member unless it said so itself, that a lease is over."""

    lease: Lease
    outcome: LeaseOutcome
    answer: bytes


class Moved(Struct, frozen=True):
    """A member is in another state."""

    member: Member
    signal: AgentSignal
    state: AgentState
    before: AgentState | None
    """The state that it was in; none where it has just come."""


Notice = Granted | Unserved | LeaseEnded | Moved
