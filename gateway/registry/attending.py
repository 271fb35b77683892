"""A hub that notes who joins and leaves its channels, for the registry of gateways."""

from collections.abc import Mapping

from analytics.contracts.ids import TenantId
from gateway.auth import Grant
from gateway.channels.values import Hub, Joined, Past, Presence, Subscriber, TagFilter
from gateway.protocol.codes import Fault
from gateway.protocol.messages import ClientInfo, Position
from gateway.registry.journal import Journal
from gateway.registry.keeper import Keeper
from gateway.registry.registry import Member, Room


class AttendedHub:
    """Passes everything on to another hub, and notes attendance in a journal."""

    def __init__(self, hub: Hub, journal: Journal) -> None:
        self._hub = hub
        self._journal = journal
        self._rooms: dict[Subscriber, dict[str, TenantId]] = {}

    async def join(
        self,
        subscriber: Subscriber,
        channel: str,
        *,
        grant: Grant,
        since: Position | None,
        tags: TagFilter | None,
    ) -> Joined | Fault:
        """Enter a channel; what is published from here on waits until `live`."""
        self._rooms.setdefault(subscriber, {})[channel] = grant.tenant
        answer = await self._hub.join(subscriber, channel, grant=grant, since=since, tags=tags)
        if isinstance(answer, Fault):
            self._forget(subscriber, channel)
        return answer

    def live(self, subscriber: Subscriber, channel: str) -> None:
        """Deliver what waited, then everything as it comes."""
        tenant = self._rooms.get(subscriber, {}).get(channel)
        if tenant is not None:
            who = subscriber.who
            member = Member(client=who.client, user=who.user, info=who.connection)
            self._journal.joined(tenant, channel, member)
        self._hub.live(subscriber, channel)

    def leave(self, subscriber: Subscriber, channel: str) -> None:
        """Leave a channel, joined or still joining; nothing if it is not in it."""
        self._forget(subscriber, channel)
        self._hub.leave(subscriber, channel)

    def leave_all(self, subscriber: Subscriber) -> None:
        """Leave every channel."""
        for channel in list(self._rooms.get(subscriber, ())):
            self._forget(subscriber, channel)
        self._hub.leave_all(subscriber)

    async def publish(
        self, channel: str, data: bytes, *, grant: Grant, info: ClientInfo
    ) -> Fault | None:
        """Put data into a channel that clients may write; return once the log has it."""
        return await self._hub.publish(channel, data, grant=grant, info=info)

    async def history(
        self, channel: str, *, grant: Grant, limit: int, since: Position | None, reverse: bool
    ) -> Past | Fault:
        """Return entries of a channel: none with limit 0, all that is kept with -1."""
        return await self._hub.history(
            channel, grant=grant, limit=limit, since=since, reverse=reverse
        )

    async def presence(self, channel: str, *, grant: Grant) -> Presence | Fault:
        """Return who is in a channel."""
        return await self._hub.presence(channel, grant=grant)

    def _forget(self, subscriber: Subscriber, channel: str) -> None:
        rooms = self._rooms.get(subscriber, {})
        tenant = rooms.pop(channel, None)
        if not rooms:
            self._rooms.pop(subscriber, None)
        if tenant is not None:
            self._journal.left(tenant, channel, subscriber.who.client)


class OtherGateways:
    """Who is in channels, as the registry's keeper knows."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def present(self, tenant: TenantId, channel: str) -> Mapping[str, ClientInfo]:
        """Return who is in a channel, by connection."""
        members = await self._keeper.presence(Room(tenant, channel))
        return {
            member.client: ClientInfo(
                user=member.user, client=member.client, connection=member.info
            )
            for member in members
        }
