"""What clients say to the pool and hear from it, on the wire.

Times are durations (`lasts_ms`), so that no two clocks have to agree. Tasks and answers are JSON
that passes through letter for letter. A message to an agent or holder has a `type`: `pool.work`
(do this), `pool.recall` (stop doing it), `pool.result` (this came of it), `pool.state` (where you
are now).
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from analytics.contracts.ids import ID_LENGTH_MAX
from analytics.pool.members import Member
from analytics.pool.skills import ANYBODY, AgentCard, Needs
from gateway.protocol.codes import ErrorReply

UNKNOWN_LEASE: Final = ErrorReply(430, "no such lease")
UNKNOWN_AGENT: Final = ErrorReply(431, "no such agent")
NOBODY: Final = ErrorReply(432, "nobody can take it now", temporary=True)
WAITED: Final = ErrorReply(433, "nobody came in time", temporary=True)
CROWDED: Final = ErrorReply(434, "too many wait already", temporary=True)
POOL_FULL: Final = ErrorReply(435, "the pool is full", temporary=True)
OUT_OF_TURN: Final = ErrorReply(436, "not in this state")
NOT_HERE: Final = ErrorReply(438, "no such lease here; its agent may come yet", temporary=True)
STOPPING: Final = ErrorReply(437, "the gateway is stopping; go to another", temporary=True)

NAMED_MAX: Final = 1_000
"""Agents or leases named in one call."""

Id = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Key = Annotated[str, Meta(max_length=ID_LENGTH_MAX)]
Millis = Annotated[int, Meta(ge=0, le=604_800_000)]
NULL: Final = Raw(b"null")


class HeldLease(Struct, frozen=True):
    """A lease that an agent brings along from another gateway."""

    lease: Id
    holder: Key
    lasts_ms: Millis


class Register(Struct, frozen=True):
    """An agent comes, comes back, or tells its skills anew."""

    card: AgentCard
    agent: Key = ""
    capacity: Annotated[int, Meta(ge=1, le=1_000)] = 1
    weight: Annotated[float, Meta(gt=0, le=1_000)] = 1.0
    upstreams: Annotated[tuple[Id, ...], Meta(max_length=8)] = ()
    ready: bool = True
    leases: Annotated[tuple[HeldLease, ...], Meta(max_length=NAMED_MAX)] = ()


class Registered(Struct, frozen=True):
    """What the agent is to the pool now."""

    agent: str
    state: str
    heartbeat_ms: int
    suspend_ms: int
    leases: list[str]
    """What it holds; work among it that it did not name is sent again."""


class Heartbeat(Struct, frozen=True):
    """Agents show themselves; nobody named means all of this connection."""

    agents: Annotated[tuple[Id, ...], Meta(max_length=NAMED_MAX)] = ()


class Beaten(Struct, frozen=True):
    """Who has to register first."""

    unknown: list[str]


class Acquire(Struct, frozen=True):
    """Somebody has work for an agent."""

    needs: Needs = ANYBODY
    affinity: Key = ""
    task: Raw = NULL
    lease_ms: Millis = 0
    wait_ms: Millis = 0


class Acquired(Struct, frozen=True):
    """The lease, and whose it is."""

    lease: str
    agent: str
    lasts_ms: int


class Renew(Struct, frozen=True):
    """Holder or agent wants a lease to last longer; the holder hears of it here from now on."""

    lease: Id
    lease_ms: Millis = 0


class Renewed(Struct, frozen=True):
    """How long it lasts."""

    lasts_ms: int


class Release(Struct, frozen=True):
    """The holder wants no answer any more."""

    lease: Id


class WorkResult(Struct, frozen=True):
    """The agent reports the outcome."""

    lease: Id
    ok: bool = True
    answer: Raw = NULL


class Named(Struct, frozen=True):
    """An agent that wants to drain, or to leave at once."""

    agent: Id


class Standing(Struct, frozen=True):
    """Where an agent is in its life."""

    state: str


class Work(Struct, frozen=True, tag_field="type", tag="pool.work"):
    """Do this."""

    agent: str
    lease: str
    holder: str
    lasts_ms: int
    task: Raw


class Recall(Struct, frozen=True, tag_field="type", tag="pool.recall"):
    """Stop doing it."""

    agent: str
    lease: str
    outcome: str


class Outcome(Struct, frozen=True, tag_field="type", tag="pool.result"):
    """The outcome."""

    lease: str
    agent: str
    outcome: str
    answer: Raw


class Moved(Struct, frozen=True, tag_field="type", tag="pool.state"):
    """Where you are now, and why."""

    agent: str
    state: str
    signal: str


class Shown(Struct, frozen=True, kw_only=True):
    """An agent, as an operator sees it."""

    id: str
    kind: str = "agent"
    state: str
    name: str
    user: str
    connection_id: str
    skills: list[str]
    capacity: int
    in_flight: int
    latency_ms: float
    breaker: str
    ejected: bool


def shown(member: Member, *, now_ms: int, ejected: bool) -> Shown:
    """Return what an operator sees of an agent."""
    return Shown(
        id=member.id,
        state=member.state,
        name=member.card.name,
        user=member.user,
        connection_id=member.connection_id,
        skills=[skill.id for skill in member.card.skills],
        capacity=member.capacity,
        in_flight=member.in_flight,
        latency_ms=round(member.latency_ms, 3),
        breaker=member.breaker.state(now_ms),
        ejected=ejected,
    )


encode: Final = msgspec.json.Encoder().encode
