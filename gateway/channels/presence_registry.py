"""Who is in channels on other gateways, by way of the registry that gateways share."""

from collections.abc import Mapping

from analytics.contracts.ids import TenantId
from gateway.channels.values import ClientInfo
from gateway.registry.registry import Member, TenantChannel
from gateway.registry.registry_keeper import RegistryKeeper


class RegistryRoll:
    """Tells the registry's keeper who is here, and asks it who is anywhere."""

    def __init__(self, keeper: RegistryKeeper) -> None:
        self._keeper = keeper

    def entered(self, tenant: TenantId, channel: str, who: ClientInfo) -> None:
        """Note that a client is in a channel."""
        member = Member(client=who.client, user=who.user, info=who.connection)
        self._keeper.journal.joined(tenant, channel, member)

    def left(self, tenant: TenantId, channel: str, client: str) -> None:
        """Note that a client is in a channel no more."""
        self._keeper.journal.left(tenant, channel, client)

    async def present(self, tenant: TenantId, channel: str) -> Mapping[str, ClientInfo]:
        """Return who is in a channel, by connection."""
        members = await self._keeper.presence(TenantChannel(tenant, channel))
        return {
            one.client: ClientInfo(user=one.user, client=one.client, connection=one.info)
            for one in members
        }
