"""A gateway whose Redis goes away and comes back: it goes on alone, and presence heals."""

from pathlib import Path
from typing import Final

import pytest

from analytics.contracts.ids import TenantId
from gateway.registry.journal import Journal
from gateway.registry.registry import KnownEventIds, Linked, Load, Member, TenantChannel
from gateway.registry.registry_keeper import RegistryKeeper, RegistryOptions, keys_of
from gateway.registry.registry_redis import RedisRegistry
from tests.support.redis_server import RedisServer

ACME: Final = TenantId("acme")
ROOM: Final = TenantChannel(ACME, "notes:plan")


def _keeper(server: RedisServer, node: str) -> RegistryKeeper:
    registry = RedisRegistry(server.client(), prefix="test", dead_ms=60_000, timeout_s=5)
    ways = RegistryOptions(beat_s=1, dead_s=60, members_max=100)
    journal = Journal(changes_max=100, told_max=10)
    return RegistryKeeper(registry, journal, ways, node=node, load=Load)


def _join(keeper: RegistryKeeper, client: str) -> None:
    keeper.journal.opened(Linked(connection_id=client, tenant=ACME, user="ada"))
    keeper.journal.joined(ACME, ROOM.channel, Member(client=client, user="ada"))


@pytest.mark.requirement("registry-heals")
async def test_redis_that_is_killed_costs_nobody_and_presence_heals(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    one, other = _keeper(server, "a"), _keeper(server, "b")
    _join(one, "c1")
    _join(other, "c2")
    await one.step()
    await other.step()
    together = {member.client for member in await one.presence(ROOM)}

    await server.kill()
    _join(one, "c3")
    one.journal.closed("c1")
    one.journal.left(ACME, ROOM.channel, "c1")
    await one.step()
    alone = ({member.client for member in await one.presence(ROOM)}, one.up, await one.find("c2"))
    await server.start()
    for keeper in (one, other, other):
        await keeper.step()
    healed = {member.client for member in await other.presence(ROOM)}

    assert together == {"c1", "c2"}
    assert alone == ({"c3"}, False, None)
    assert healed == {"c2", "c3"}
    assert one.up
    assert await other.find("c1") is None
    assert (await other.find("c3")) is not None
    for keeper in (one, other):
        await keeper.leave()
    await server.kill()


async def test_a_keeper_that_was_fenced_off_enters_again_and_tells_everything(
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    one, twin = _keeper(server, "a"), _keeper(server, "a")
    _join(one, "c1")
    await one.step()
    await twin.step()

    await one.step()
    fenced = one.up
    await one.step()

    assert not fenced
    assert one.up
    assert [member.client for member in await one.presence(ROOM)] == ["c1"]
    for keeper in (one, twin):
        await keeper.leave()
    await server.kill()


@pytest.mark.requirement("limits-have-names")
def test_a_journal_tells_no_more_than_its_limit_at_once_and_forgets_nothing() -> None:
    journal, told = Journal(changes_max=3, told_max=2), list[str]()
    for number in range(10):
        journal.opened(Linked(connection_id=f"c{number}", tenant=ACME, user=""))
        journal.accepted(bytes([number]) * 16)
    journal.again(journal.take())

    while journal.waiting:
        changes = journal.take()
        assert len(changes) <= 3
        told += changes.connections

    assert sorted(told) == [f"c{number}" for number in range(10)]
    assert keys_of(KnownEventIds(log_id="l", keys=journal.take_told())) == [b"\0" * 16, b"\1" * 16]
