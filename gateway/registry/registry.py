"""What gateways tell each other, and the port through which they do.

A node enters under an epoch that is larger than any before, tells what changed once a second, and
counts as dead when it has not for a while; whatever it told is gone with it. A beat under an epoch
that is not the node's newest is `Fenced`: it was taken for dead, or its name is used twice, and it
has to enter again and tell everything anew. Nothing here is asked for a message: what others hold
is a hint, and without a registry every gateway goes on alone. `Unavailable` says that it is away.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from analytics.contracts.ids import TenantId


class Load(Struct, frozen=True, kw_only=True):
    """How a node is."""

    connections: int = 0
    lag_ms: float = 0
    draining: bool = False
    breakers: Mapping[str, str] = {}
    """The state of each circuit breaker that is not closed, by what it guards."""


class NodeState(Struct, frozen=True, kw_only=True):
    """A node that lives, as it last said."""

    node: str
    epoch: int
    load: Load


class Linked(Struct, frozen=True, kw_only=True, order=True):
    """A connection, and the node that holds it."""

    connection_id: str
    tenant: TenantId
    user: str
    node: str = ""


class Member(Struct, frozen=True, kw_only=True, order=True):
    """A client that is in a channel."""

    client: str
    user: str
    info: bytes = b""


class TenantChannel(Struct, frozen=True, order=True):
    """A channel of a tenant."""

    tenant: TenantId
    channel: str


class Changes(Struct, frozen=True, kw_only=True):
    """What became different at a node; nothing as a value says that it is gone."""

    connections: Mapping[str, Linked | None] = {}
    members: Mapping[tuple[TenantChannel, str], Member | None] = {}

    def __len__(self) -> int:
        """Return how many changes there are."""
        return len(self.connections) + len(self.members)


class KnownEventIds(Struct, frozen=True, kw_only=True):
    """Ids of events that a node's log has, 16 bytes each, joined."""

    log_id: str
    keys: bytes


class Beat(Struct, frozen=True, kw_only=True):
    """What a node says once a second."""

    node: str
    epoch: int
    load: Load
    changes: Changes = Changes()
    told: KnownEventIds | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """What a node hears back: who lives, and what others told since it last asked."""

    nodes: Sequence[NodeState]
    told: Sequence[KnownEventIds] = ()


class Registry(Protocol):
    """The port; adapters for memory and Redis are held to the same tests."""

    async def enter(self, node: str) -> int:
        """Begin a life of `node`; return its epoch."""
        ...

    async def beat(self, beat: Beat) -> Seen:
        """Take what a node says; raise `Fenced` if its epoch is not the newest."""
        ...

    async def leave(self, node: str, epoch: int) -> None:
        """End a life of `node`, and all that it told."""
        ...

    async def nodes(self) -> Sequence[NodeState]:
        """Return the nodes that live, by name."""
        ...

    async def find(self, connection_id: str) -> Linked | None:
        """Return a connection of a node that lives."""
        ...

    async def connections(self, *, limit: int) -> Sequence[Linked]:
        """Return connections of nodes that live, about `limit` of them at most."""
        ...

    async def presence(self, room: TenantChannel, *, limit: int) -> Sequence[Member]:
        """Return who is in a channel on nodes that live, about `limit` of them at most."""
        ...

    async def reap(self) -> Sequence[str]:
        """Clear away what dead nodes left; return the names of those found dead."""
        ...

    async def close(self) -> None:
        """Let go of what was held open."""
        ...
