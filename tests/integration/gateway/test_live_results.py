"""Results and sessions as they come over a real broker, and their past out of Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import random
from uuid import uuid4

import msgspec
import pytest

from analytics.contracts.agent_events import PromptSubmitted
from analytics.contracts.events import Event
from analytics.contracts.ids import EventId, SessionId, TenantId
from analytics.contracts.result_events import WindowClosed
from apps.cli.gateway_channels import channels_of
from gateway import metrics
from gateway.channels.hub import LiveHub
from gateway.channels.values import Joined, Position
from gateway.http.clocks import Clocks
from gateway.http.shutdown import end
from gateway.kafka.publisher import OutgoingEvent, Status
from gateway.kafka.publisher_kafka import KafkaPublisher
from tests.support.broker import RunningBroker, tansu
from tests.support.channels import Watcher, grant
from tests.support.gateway import NOW_MS, settings, until
from tests.support.publisher_kafka import publisher_on
from tests.support.redis_kinds import Redises, redises

__all__ = ["redises", "tansu"]

READY_S = 30
pytestmark = pytest.mark.embedded


@asynccontextmanager
async def _gateway(publisher: KafkaPublisher, **changed: object) -> AsyncIterator[LiveHub]:
    clocks = Clocks(
        now_ms=lambda: time.monotonic_ns() // 1_000_000,
        wall_ms=lambda: time.time_ns() // 1_000_000,
        jitter=random,
        new_id=lambda: uuid4().hex,
    )
    chosen = settings(**{"join_seconds_max": READY_S, **changed})
    channels = channels_of(chosen, publisher=publisher, clock=clocks)
    following = asyncio.ensure_future(channels.run())
    try:
        yield channels.hub
    finally:
        await end([following])


async def _enter(
    hub: LiveHub, watcher: Watcher, channel: str, *, tenant: str, since: Position | None = None
) -> Joined:
    joined = await hub.join(watcher, channel, grant=grant(tenant), since=since, tags=None)
    assert isinstance(joined, Joined)
    hub.live(watcher, channel)
    return joined


async def _publish(publisher: KafkaPublisher, *events: Event) -> None:
    verdicts = await publisher.publish([OutgoingEvent(event=event) for event in events])
    assert [one.status for one in verdicts] == [Status.ACCEPTED] * len(events)


def _window(tenant: str, model: str, start_ms: int) -> WindowClosed:
    return WindowClosed(
        id=EventId(uuid4().hex),
        tenant=TenantId(tenant),
        at_ms=start_ms + 60_000,
        start_ms=start_ms,
        width_ms=60_000,
        grain="fleet",
        dimensions={"model": model},
        measures={"requests": 1},
    )


def _prompt(tenant: str, session: str) -> PromptSubmitted:
    return PromptSubmitted(
        id=EventId(uuid4().hex),
        tenant=TenantId(tenant),
        at_ms=NOW_MS,
        session_id=SessionId(session),
        length=1,
    )


async def test_windows_are_told_to_who_watches_their_series_and_tenant(
    tansu: RunningBroker,
) -> None:
    tenant = uuid4().hex
    everything, narrow, theirs = Watcher("c1"), Watcher("c2"), Watcher("c3")
    windows = [
        _window(tenant, model, NOW_MS + number * 60_000)
        for number, model in enumerate(["opus", "haiku", "opus"])
    ]
    async with publisher_on(tansu.address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        async with _gateway(publisher, broker=tansu.address) as hub:
            await _enter(hub, everything, "metrics:fleet", tenant=tenant)
            await _enter(hub, narrow, "metrics:fleet;model=opus", tenant=tenant)
            await _enter(hub, theirs, "metrics:fleet", tenant=uuid4().hex)
            await _publish(publisher, *windows)
            await until(lambda: len(everything.heard) == 3, seconds_max=READY_S)

    told = [msgspec.json.decode(one.data)["id"] for one in everything.heard]
    assert told == [window.id for window in windows]
    assert narrow.heard == [everything.heard[0], everything.heard[2]]
    assert theirs.heard == []


@pytest.mark.requirement("recovered-on-another-gateway")
async def test_a_session_is_recovered_on_another_gateway_from_redis_before_the_log(
    tansu: RunningBroker, redises: Redises
) -> None:
    tenant, session = uuid4().hex, uuid4().hex
    channel, first, again = f"sessions:{session}", Watcher("c1"), Watcher("c2")
    prompts = [_prompt(tenant, session) for _ in range(30)]
    shared = {
        name: getattr(redises.at("redis"), name)
        for name in ("redis_url", "redis_prefix", "redis_timeout_seconds")
    }
    read = metrics.PAST_READS.labels("redis", "hit")
    async with publisher_on(tansu.address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        async with _gateway(publisher, broker=tansu.address, **shared) as hub:
            joined = await _enter(hub, first, channel, tenant=tenant)
            put = metrics.HISTORY_CACHE_PUT._value.get()
            for prompt in prompts:
                await _publish(publisher, prompt)
            await until(lambda: len(first.heard) == 30, seconds_max=READY_S)
            await until(
                lambda: metrics.HISTORY_CACHE_PUT._value.get() >= put + 30, seconds_max=READY_S
            )
        hits = read._value.get()
        async with _gateway(
            publisher, broker=tansu.address, channel_warm_records=1, **shared
        ) as hub:
            since = Position(joined.epoch, first.heard[4].offset)
            resumed = await _enter(hub, again, channel, tenant=tenant, since=since)

    assert resumed.recovered
    assert list(resumed.publications) == first.heard[5:]
    assert read._value.get() == hits + 1
