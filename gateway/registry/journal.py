"""What this node holds, and what of it others have not been told yet.

Whoever opens and closes things says so here, at the cost of a dictionary's entry; once a second the
keeper takes up to `changes_max` of what changed and hands it on. What could not be told stays to be
told, as it is by then. Local questions are answered from here, whether the registry is away or not.
"""

from collections.abc import Mapping, Sequence

from analytics.contracts.ids import TenantId
from gateway.registry.registry import Changes, Linked, Member, TenantChannel

Name = str | tuple[TenantChannel, str]


class Journal:
    """See the module."""

    def __init__(self, *, changes_max: int, told_max: int) -> None:
        """`told_max` is how many event ids are told in one exchange; the rest is not."""
        self._changes_max = changes_max
        self._told_max = told_max
        self._connections: dict[str, Linked] = {}
        self._rooms: dict[TenantChannel, dict[str, Member]] = {}
        self._changed: dict[Name, None] = {}
        self._told: list[bytes] = []

    @property
    def waiting(self) -> int:
        """How many changes have not been told."""
        return len(self._changed)

    def opened(self, linked: Linked) -> None:
        """Note a connection."""
        self._connections[linked.connection_id] = linked
        self._changed[linked.connection_id] = None

    def closed(self, connection_id: str) -> None:
        """Note that a connection is gone."""
        if self._connections.pop(connection_id, None) is not None:
            self._changed[connection_id] = None

    def joined(self, tenant: TenantId, channel: str, member: Member) -> None:
        """Note that a client is in a channel."""
        room = TenantChannel(tenant, channel)
        self._rooms.setdefault(room, {})[member.client] = member
        self._changed[room, member.client] = None

    def left(self, tenant: TenantId, channel: str, client: str) -> None:
        """Note that a client is in a channel no more."""
        room = TenantChannel(tenant, channel)
        members = self._rooms.get(room, {})
        if members.pop(client, None) is None:
            return
        if not members:
            del self._rooms[room]
        self._changed[room, client] = None

    def accepted(self, key: bytes) -> None:
        """Note an event id that the log has, as long as there is room for it."""
        if len(self._told) < self._told_max:
            self._told.append(key)

    def find(self, connection_id: str) -> Linked | None:
        """Return a connection of this node."""
        return self._connections.get(connection_id)

    def connections(self, *, limit: int) -> Sequence[Linked]:
        """Return connections of this node."""
        return list(self._connections.values())[:limit]

    def presence(self, room: TenantChannel, *, limit: int) -> Sequence[Member]:
        """Return who is in a channel on this node."""
        return list(self._rooms.get(room, {}).values())[:limit]

    def take(self) -> Changes:
        """Return what to tell next; hand it to `again` if it could not be told."""
        names = list(self._changed)[: self._changes_max]
        for name in names:
            del self._changed[name]
        connections = {name: self._connections.get(name) for name in names if isinstance(name, str)}
        members: Mapping[tuple[TenantChannel, str], Member | None] = {
            name: self._rooms.get(name[0], {}).get(name[1])
            for name in names
            if not isinstance(name, str)
        }
        return Changes(connections=connections, members=members)

    def take_told(self) -> bytes:
        """Return the event ids to tell next."""
        told, self._told = b"".join(self._told), []
        return told

    def again(self, changes: Changes) -> None:
        """Keep what could not be told."""
        names: list[Name] = [*changes.connections, *changes.members]
        self._changed = {**dict.fromkeys(names), **self._changed}

    def anew(self) -> None:
        """Tell all that is held, and nothing of what is gone."""
        self._changed = {
            **dict.fromkeys(self._connections),
            **{(room, client): None for room, members in self._rooms.items() for client in members},
        }
