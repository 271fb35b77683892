"""Channels over Kafka, and Redis where there is one: a hub, and what has to run for it."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from analytics.contracts.signatures import ANYBODYS, SignatureRules
from gateway.channels.archive_kafka import KafkaArchive, ReadBounds
from gateway.channels.follower import Follower, FollowerOptions
from gateway.channels.history_writes import HistoryWriteOptions as Keeps
from gateway.channels.history_writes import Keeping, KeptSource
from gateway.channels.hub import ChannelLimits, Clock, LiveHub
from gateway.channels.presence_registry import RegistryRoll
from gateway.channels.ring import RingBounds
from gateway.http.shutdown import end
from gateway.kafka.publisher import Publisher
from gateway.registry.link_redis import connect
from gateway.settings import GatewaySettings


class Channels(Struct, frozen=True):
    """The hub; `run` follows the log for it as long as it is awaited."""

    hub: LiveHub
    run: Callable[[], Awaitable[None]]


def channels_of(
    settings: GatewaySettings,
    *,
    publisher: Publisher,
    clock: Clock,
    roll: RegistryRoll | None = None,
    signatures: SignatureRules = ANYBODYS,
) -> Channels:
    """Return the channels that these settings ask for, not yet running.

    Without a `roll`, presence is that of this gateway alone.
    """
    options = FollowerOptions(
        warm_records=settings.channel_warm_records,
        linger_ms=int(settings.channel_linger_seconds * 1_000),
        fetch_bytes=settings.channel_fetch_bytes,
        generation=settings.log_generation,
        signatures=signatures,
    )
    reach = ReadBounds(
        records_max=settings.recovery_records_max,
        bytes_max=settings.recovery_bytes_max,
        seconds_max=settings.recovery_seconds_max,
        generation=settings.log_generation,
        signatures=signatures,
    )
    limits = ChannelLimits(
        ring=RingBounds(
            records_max=settings.channel_records_max,
            bytes_max=settings.channel_bytes_max,
            age_ms=int(settings.channel_seconds_max * 1_000),
        ),
        join_seconds_max=settings.join_seconds_max,
        ahead_seconds_max=settings.ahead_seconds_max,
        publications_max=settings.recovery_publications_max,
        recovery_bytes_max=settings.recovery_bytes_max,
        subscriptions_max=settings.subscriptions_max,
    )
    follower = Follower(settings.broker, options, now_ms=clock.now_ms)
    archive = KafkaArchive(settings.broker, reach)
    keeping = _keeping(settings, clock)

    async def run() -> None:
        beside = [] if keeping is None else [asyncio.create_task(keeping.run())]
        try:
            await follower.run()
        finally:
            await end(beside)
            await archive.stop()

    hub = LiveHub(
        follower if keeping is None else KeptSource(follower, keeping),
        [archive] if keeping is None else [keeping, archive],
        publisher=publisher,
        limits=limits,
        clock=clock,
        elsewhere=roll,
        roll=roll,
    )
    return Channels(hub, run)


def _keeping(settings: GatewaySettings, clock: Clock) -> Keeping | None:
    """Return what keeps the past in Redis, if there is one."""
    if settings.redis_url is None or not settings.redis_history:
        return None
    client = connect(settings)
    from gateway.channels.history_cache_redis import CacheBounds, RedisHistoryCache

    room = CacheBounds(
        records_max=settings.redis_history_records_max,
        bytes_max=settings.redis_history_bytes_max,
        age_ms=int(settings.redis_history_seconds_max * 1_000),
        read_records_max=settings.recovery_records_max,
        read_bytes_max=settings.recovery_bytes_max,
    )
    history_cache = RedisHistoryCache(
        client, room, prefix=settings.redis_prefix, timeout_s=settings.redis_timeout_seconds
    )
    options = Keeps(
        linger_s=settings.redis_history_linger_ms / 1_000,
        bytes_max=settings.redis_history_queue_bytes_max,
    )
    return Keeping(history_cache, options, now_ms=clock.now_ms, chance=random.random)
