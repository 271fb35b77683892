"""What every registry does, in memory and in Redis of every kind."""

import time
from collections.abc import AsyncIterator
from typing import Final

import pytest

from analytics.contracts.errors import Fenced
from analytics.contracts.ids import TenantId
from gateway.registry.link_redis import connect
from gateway.registry.registry import (
    Beat,
    Changes,
    KnownEventIds,
    Linked,
    Load,
    Member,
    Registry,
    TenantChannel,
)
from gateway.registry.registry_memory import MemoryRegistry
from gateway.registry.registry_redis import RedisRegistry
from tests.support import redis_kinds
from tests.support.redis_kinds import Redises, redises

__all__ = ["redises"]

DEAD_MS: Final = 300
"""Where a test waits for a death; elsewhere nobody dies however slow the machine is."""
ALIVE_MS: Final = 600_000
ACME: Final = TenantId("acme")
ROOM: Final = TenantChannel(ACME, "notes:plan")
WAIT_S: Final = 10

pytestmark = pytest.mark.requirement("registry-heals")


@pytest.fixture(params=["memory", "redis", *redis_kinds.EMBEDDED])
async def registries(
    request: pytest.FixtureRequest, redises: Redises
) -> AsyncIterator[tuple[Registry, Registry]]:
    """Give the registry as two nodes see it."""
    dead_ms = DEAD_MS if "silent" in request.node.name else ALIVE_MS
    if request.param == "memory":
        both = MemoryRegistry(now_ms=lambda: time.monotonic_ns() // 1_000_000, dead_ms=dead_ms)
        yield both, both
        return
    chosen = redises.at(request.param)
    one, other = (
        RedisRegistry(
            connect(chosen),
            prefix=chosen.redis_prefix,
            dead_ms=dead_ms,
            timeout_s=chosen.redis_timeout_seconds,
        )
        for _ in range(2)
    )
    yield one, other
    await one.close()
    await other.close()


def _beat(node: str, epoch: int, **told: object) -> Beat:
    fields: dict[str, object] = {"node": node, "epoch": epoch, "load": Load(), **told}
    return Beat(**fields)  # type: ignore[arg-type]  # the tests' own words


def _linked(connection_id: str) -> Linked:
    return Linked(connection_id=connection_id, tenant=ACME, user="ada")


def _member(client: str) -> Member:
    return Member(client=client, user="ada", info=b'{"a":1}')


async def test_a_node_that_beats_is_seen_by_others_with_its_load(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    load = Load(connections=7, lag_ms=1.5, draining=True, breakers={"broker": "open"})
    epoch = await one.enter("a")

    seen = await one.beat(_beat("a", epoch, load=load))

    assert [(state.node, state.epoch, state.load) for state in seen.nodes] == [("a", epoch, load)]
    assert list(await other.nodes()) == list(seen.nodes)


async def test_connections_are_found_wherever_they_are_until_they_are_gone(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    epoch = await one.enter("a")

    await one.beat(_beat("a", epoch, changes=Changes(connections={"c1": _linked("c1")})))
    found = await other.find("c1")
    listed = await other.connections(limit=10)
    await one.beat(_beat("a", epoch, changes=Changes(connections={"c1": None})))

    assert found is not None
    assert (found.node, found.user, found.tenant) == ("a", "ada", ACME)
    assert list(listed) == [found]
    assert await other.find("c1") is None


async def test_presence_is_what_all_nodes_together_hold(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    for node, registry in (("a", one), ("b", other)):
        epoch = await registry.enter(node)
        changes = Changes(members={(ROOM, f"client-{node}"): _member(f"client-{node}")})
        await registry.beat(_beat(node, epoch, changes=changes))

    everybody = sorted(await one.presence(ROOM, limit=10))
    elsewhere = await one.presence(TenantChannel(TenantId("umbrella"), ROOM.channel), limit=10)

    assert everybody == [_member("client-a"), _member("client-b")]
    assert list(elsewhere) == []
    assert len(await one.presence(ROOM, limit=1)) == 1


async def test_a_node_that_leaves_takes_all_it_told_along(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    epoch = await one.enter("a")
    changes = Changes(connections={"c1": _linked("c1")}, members={(ROOM, "c1"): _member("c1")})
    await one.beat(_beat("a", epoch, changes=changes))

    await one.leave("a", epoch)

    assert list(await other.nodes()) == []
    assert await other.find("c1") is None
    assert list(await other.presence(ROOM, limit=10)) == []


async def test_a_node_that_is_silent_is_dead_and_reaped_once(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    epoch = await one.enter("a")
    changes = Changes(members={(ROOM, "c1"): _member("c1")})
    await one.beat(_beat("a", epoch, changes=changes))

    dead: list[str] = []
    limit = time.monotonic() + WAIT_S
    while not dead and time.monotonic() < limit:
        dead = list(await other.reap())

    assert dead == ["a"]
    assert list(await other.reap()) == []
    assert list(await other.presence(ROOM, limit=10)) == []
    with pytest.raises(Fenced):
        await one.beat(_beat("a", epoch))


async def test_a_newer_life_of_the_same_name_fences_the_older_one_off(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    older = await one.enter("a")
    changes = Changes(connections={"c1": _linked("c1")})
    await one.beat(_beat("a", older, changes=changes))

    newer = await other.enter("a")
    await other.beat(_beat("a", newer))

    assert newer > older
    with pytest.raises(Fenced):
        await one.beat(_beat("a", older, changes=changes))
    await one.leave("a", older)
    assert [state.epoch for state in await other.nodes()] == [newer]
    assert await other.find("c1") is None


async def test_ids_that_one_node_tells_are_heard_once_by_the_others(
    registries: tuple[Registry, Registry],
) -> None:
    one, other = registries
    first, second = await one.enter("a"), await other.enter("b")
    await other.beat(_beat("b", second))
    told = KnownEventIds(log_id="log-1", keys=b"k" * 32)

    own = await one.beat(_beat("a", first, told=told))
    heard = await other.beat(_beat("b", second))
    again = await other.beat(_beat("b", second))

    assert list(heard.told) == [told]
    assert (list(own.told), list(again.told)) == ([], [])
