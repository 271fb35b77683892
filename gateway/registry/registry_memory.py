"""The registry of gateways in one process: the same promises, without anything to be away."""

from collections.abc import Callable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from analytics.contracts.errors import Fenced
from gateway.registry.registry import (
    Beat,
    KnownEventIds,
    Linked,
    Load,
    Member,
    NodeState,
    Seen,
    TenantChannel,
)

TOLD_MAX: int = 120
"""Tellings of ids that are kept for those who have not heard them."""


class _Life(Struct, kw_only=True):
    epoch: int
    beaten_ms: int
    load: Load = field(default_factory=Load)
    heard: int = 0
    connections: dict[str, Linked] = field(default_factory=dict)
    rooms: dict[TenantChannel, dict[str, Member]] = field(default_factory=dict)


class MemoryRegistry:
    """See the module."""

    def __init__(self, *, now_ms: Callable[[], int], dead_ms: int) -> None:
        self._now_ms = now_ms
        self._dead_ms = dead_ms
        self._epoch = 0
        self._lives: dict[str, _Life] = {}
        self._told: list[tuple[int, str, KnownEventIds]] = []
        self._told_count = 0

    async def enter(self, node: str) -> int:
        """Begin a life of `node`; return its epoch."""
        self._epoch += 1
        self._lives[node] = _Life(
            epoch=self._epoch, beaten_ms=self._now_ms(), heard=self._told_count
        )
        return self._epoch

    async def beat(self, beat: Beat) -> Seen:
        """Take what a node says; raise `Fenced` if its epoch is not the newest."""
        life = self._lives.get(beat.node)
        if life is None or life.epoch != beat.epoch:
            raise Fenced(f"node {beat.node!r} is not in its epoch {beat.epoch} any more")
        life.beaten_ms = self._now_ms()
        life.load = beat.load
        for connection_id, linked in beat.changes.connections.items():
            if linked is None:
                life.connections.pop(connection_id, None)
            else:
                life.connections[connection_id] = replace(linked, node=beat.node)
        for (room, client), member in beat.changes.members.items():
            members = life.rooms.setdefault(room, {})
            if member is None:
                members.pop(client, None)
            else:
                members[client] = member
            if not members:
                del life.rooms[room]
        heard = [
            told for count, node, told in self._told if count > life.heard and node != beat.node
        ]
        if beat.told is not None:
            self._told_count += 1
            self._told = [*self._told[-TOLD_MAX:], (self._told_count, beat.node, beat.told)]
        life.heard = self._told_count
        return Seen(nodes=await self.nodes(), told=heard)

    async def leave(self, node: str, epoch: int) -> None:
        """End a life of `node`, and all that it told."""
        life = self._lives.get(node)
        if life is not None and life.epoch == epoch:
            del self._lives[node]

    async def nodes(self) -> Sequence[NodeState]:
        """Return the nodes that live, by name."""
        return [
            NodeState(node=node, epoch=life.epoch, load=life.load)
            for node, life in sorted(self._living())
        ]

    async def find(self, connection_id: str) -> Linked | None:
        """Return a connection of a node that lives."""
        for _, life in self._living():
            if connection_id in life.connections:
                return life.connections[connection_id]
        return None

    async def connections(self, *, limit: int) -> Sequence[Linked]:
        """Return connections of nodes that live, about `limit` of them at most."""
        found = [linked for _, life in self._living() for linked in life.connections.values()]
        return found[:limit]

    async def presence(self, room: TenantChannel, *, limit: int) -> Sequence[Member]:
        """Return who is in a channel on nodes that live, about `limit` of them at most."""
        found = [
            member for _, life in self._living() for member in life.rooms.get(room, {}).values()
        ]
        return found[:limit]

    async def reap(self) -> Sequence[str]:
        """Clear away what dead nodes left; return the names of those found dead."""
        living = {node for node, _ in self._living()}
        dead = sorted(self._lives.keys() - living)
        for node in dead:
            del self._lives[node]
        return dead

    async def close(self) -> None:
        """Hold nothing open."""

    def _living(self) -> list[tuple[str, _Life]]:
        since_ms = self._now_ms() - self._dead_ms
        return [(node, life) for node, life in self._lives.items() if life.beaten_ms >= since_ms]
