"""Presence across gateways: what one hub tells its keeper is what another finds."""

from analytics.contracts.ids import TenantId
from gateway.channels.presence_registry import RegistryRoll
from gateway.channels.values import ClientInfo
from gateway.registry.journal import Journal
from gateway.registry.registry import Load
from gateway.registry.registry_keeper import RegistryKeeper, RegistryOptions
from gateway.registry.registry_memory import MemoryRegistry

ACME = TenantId("acme")


async def test_who_is_in_a_channel_on_one_gateway_is_found_on_another() -> None:
    registry = MemoryRegistry(now_ms=lambda: 0, dead_ms=60_000)
    ways = RegistryOptions(beat_s=1, dead_s=60, members_max=10)
    keepers = [
        RegistryKeeper(registry, Journal(changes_max=10, told_max=10), ways, node=name, load=Load)
        for name in ("a", "b")
    ]
    here, there = map(RegistryRoll, keepers)
    ada = ClientInfo(user="ada", client="c1", connection=b"{}")

    here.entered(ACME, "notes:room", ada)
    for keeper in keepers:
        await keeper.step()

    assert await there.present(ACME, "notes:room") == {"c1": ada}
    assert await there.present(TenantId("evil"), "notes:room") == {}
