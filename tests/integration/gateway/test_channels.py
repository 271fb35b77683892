"""Channels over real brokers: a gateway dies, another goes on; a broker goes, and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import random
from uuid import uuid4

import pytest
from msgspec import Struct

from apps.cli.gateway_channels import channels_of
from gateway.channels.hub import LiveHub
from gateway.channels.values import Joined, Position
from gateway.http.clocks import Clocks
from gateway.http.shutdown import end
from gateway.kafka.publisher_kafka import KafkaPublisher
from tests.support.broker import RunningBroker, kafka, started_tansu, tansu
from tests.support.channels import Watcher, grant
from tests.support.gateway import settings, until
from tests.support.publisher_kafka import publisher_on

__all__ = ["kafka", "tansu"]

READY_S = 30
BROKERS = [
    pytest.param("tansu", marks=pytest.mark.embedded),
    pytest.param("kafka", marks=pytest.mark.kafka),
]


class Running(Struct, frozen=True):
    """The channels of one gateway that runs."""

    hub: LiveHub
    kill: "asyncio.Task[None]"


@asynccontextmanager
async def _gateway(
    address: str, publisher: KafkaPublisher, **changed: object
) -> AsyncIterator[Running]:
    clocks = Clocks(
        now_ms=lambda: time.monotonic_ns() // 1_000_000,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        jitter=random,
        new_id=lambda: uuid4().hex,
    )
    chosen = settings(broker=address, **{"join_seconds_max": READY_S, **changed})
    channels = channels_of(chosen, publisher=publisher, clock=clocks)
    task = asyncio.create_task(_forever(channels.run))
    try:
        yield Running(channels.hub, task)
    finally:
        await end([task])


async def _forever(run: object) -> None:
    assert callable(run)
    await run()


@pytest.fixture(params=BROKERS)
def address(request: pytest.FixtureRequest) -> str:
    running: RunningBroker = request.getfixturevalue(request.param)
    return running.address


async def _enter(
    hub: LiveHub, watcher: Watcher, channel: str, since: Position | None = None
) -> Joined:
    joined = await hub.join(watcher, channel, grant=grant(), since=since, tags=None)
    assert isinstance(joined, Joined)
    hub.live(watcher, channel)
    return joined


async def _publish(hub: LiveHub, channel: str, numbers: range) -> None:
    who = Watcher().who
    for number in numbers:
        assert await hub.publish(channel, str(number).encode(), grant=grant(), info=who) is None


@pytest.mark.requirement("recovered-on-another-gateway")
async def test_a_gateway_dies_and_another_recovers_from_the_log(address: str) -> None:
    channel, watcher = f"notes:{uuid4().hex}", Watcher()
    async with publisher_on(address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        async with _gateway(address, publisher) as first:
            joined = await _enter(first.hub, watcher, channel)
            await _publish(first.hub, channel, range(20))
            await until(lambda: len(watcher.heard) == 20, seconds_max=READY_S)
        since = Position(joined.epoch, watcher.heard[9].offset)
        async with _gateway(address, publisher, channel_warm_records=1) as second:
            await _publish(second.hub, channel, range(20, 40))
            again = Watcher("c2")
            resumed = await _enter(second.hub, again, channel, since)
            await _publish(second.hub, channel, range(40, 45))
            await until(lambda: len(again.heard) == 5, seconds_max=READY_S)

    assert resumed.recovered
    assert resumed.epoch == joined.epoch
    told = [one.data for one in resumed.publications] + [one.data for one in again.heard]
    assert told == [str(number).encode() for number in range(10, 45)]


async def test_two_gateways_tell_the_same_under_the_same_positions(address: str) -> None:
    channel, one, other = f"notes:{uuid4().hex}", Watcher("c1"), Watcher("c2")
    async with publisher_on(address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        async with (
            _gateway(address, publisher) as here,
            _gateway(address, publisher) as there,
        ):
            await _enter(here.hub, one, channel)
            await _enter(there.hub, other, channel)
            await _publish(here.hub, channel, range(10))
            await until(lambda: len(one.heard) == len(other.heard) == 10, seconds_max=READY_S)

    assert one.heard == other.heard


@pytest.mark.requirement("channels-tenant-safe")
async def test_another_tenant_hears_nothing_over_a_broker(address: str) -> None:
    channel, ours, theirs = f"notes:{uuid4().hex}", Watcher("c1"), Watcher("c2")
    async with publisher_on(address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        async with _gateway(address, publisher) as running:
            await _enter(running.hub, ours, channel)
            await running.hub.join(
                theirs, channel, grant=grant("evil"), since=Position("", 0), tags=None
            )
            running.hub.live(theirs, channel)
            await _publish(running.hub, channel, range(3))
            await until(lambda: len(ours.heard) == 3, seconds_max=READY_S)

    assert theirs.heard == []


@pytest.mark.embedded
async def test_a_broker_that_comes_back_empty_is_another_log() -> None:
    channel, watcher = f"notes:{uuid4().hex}", Watcher()
    with started_tansu() as broker:
        address = broker.address
        async with publisher_on(address) as publisher:
            await until(lambda: publisher.ready, seconds_max=READY_S)
            async with _gateway(address, publisher) as running:
                before = await _enter(running.hub, watcher, channel)
                await _publish(running.hub, channel, range(3))
                await until(lambda: len(watcher.heard) == 3, seconds_max=READY_S)
                since = Position(before.epoch, watcher.heard[-1].offset)
                broker.process.kill()
                broker.process.wait()
                with started_tansu(int(address.rpartition(":")[2])):
                    await until(lambda: bool(watcher.cuts), seconds_max=READY_S)
                    again = Watcher("c2")
                    after = await _enter(running.hub, again, channel, since)
                    await until(lambda: publisher.ready, seconds_max=READY_S)
                    await _publish(running.hub, channel, range(7, 9))
                    await until(lambda: len(again.heard) == 2, seconds_max=READY_S)

    assert watcher.cuts == [(channel, 2500)]
    assert after.was_recovering
    assert not after.recovered
    assert after.epoch != before.epoch
    assert again.data == ["7", "8"]
