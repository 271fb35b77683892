"""Two gateways of one log: an event that one has is a duplicate at the other, by way of Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from analytics.contracts.agent_events import SessionStarted
from analytics.contracts.facts import Source
from analytics.contracts.ids import EventId, SessionId
from apps.cli.gateway import share_ids
from gateway.kafka.publisher import OutgoingEvent, Status
from gateway.kafka.publisher_kafka import KafkaPublisher
from gateway.registry.journal import Journal
from gateway.registry.registry import Load
from gateway.registry.registry_keeper import RegistryKeeper, RegistryOptions
from gateway.registry.registry_redis import RedisRegistry
from tests.support.broker import RunningBroker
from tests.support.gateway import TENANT, until
from tests.support.publisher_kafka import landed, publisher_on
from tests.support.redis_server import RedisServer

READY_S = 20


@asynccontextmanager
async def _node(
    tansu: RunningBroker, redis: RedisServer, name: str
) -> AsyncIterator[tuple[KafkaPublisher, RegistryKeeper]]:
    registry = RedisRegistry(redis.client(), prefix="test", dead_ms=60_000, timeout_s=5)
    ways = RegistryOptions(beat_s=1, dead_s=60, members_max=10)
    keeper = RegistryKeeper(
        registry, Journal(changes_max=10, told_max=100), ways, node=name, load=Load
    )
    async with publisher_on(tansu.address) as publisher:
        share_ids(publisher, keeper)
        await until(lambda: publisher.ready, seconds_max=READY_S)
        await keeper.step()
        yield publisher, keeper
        await keeper.leave()


def _event(name: str) -> OutgoingEvent:
    event = SessionStarted(
        id=EventId(name),
        tenant=TENANT,
        at_ms=1,
        source=Source.HOOK,
        session_id=SessionId("shared-ids"),
    )
    return OutgoingEvent(event=event)


@pytest.mark.embedded
@pytest.mark.requirement("ids-shared")
async def test_an_event_that_one_gateway_has_is_a_duplicate_at_the_other(
    tansu: RunningBroker, tmp_path: Path
) -> None:
    redis = RedisServer(tmp_path)
    await redis.start()
    async with _node(tansu, redis, "a") as (one, here), _node(tansu, redis, "b") as (two, there):
        await here.step()
        [first] = await one.publish([_event("shared-1")])
        await here.step()
        await there.step()
        [again] = await two.publish([_event("shared-1")])
        two.log_id = "another log"
        [other] = await one.publish([_event("shared-2")])
        await here.step()
        await there.step()
        [alone] = await two.publish([_event("shared-2")])
    await redis.kill()

    assert (first.status, again.status) == (Status.ACCEPTED, Status.DUPLICATE)
    assert (other.status, alone.status) == (Status.ACCEPTED, Status.ACCEPTED)
    found = [one for one in await landed(tansu.address) if b"shared-1" in one.value]
    assert len(found) == 1
