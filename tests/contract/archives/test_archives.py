"""What every tier of recovery does: in memory, in Redis of every kind, in the log itself."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import pytest
from msgspec import Struct

from analytics.contracts.events import NotePublished
from analytics.contracts.ids import EventId, TenantId
from gateway.channels.archive_kafka import KafkaArchive, ReadBounds
from gateway.channels.follower import epoch_of
from gateway.channels.history_cache import HistoryCache, PublicationRun
from gateway.channels.history_cache_redis import CacheBounds, RedisHistoryCache
from gateway.channels.history_writes import HistoryWriteOptions, Keeping
from gateway.channels.records import StreamPublication, read
from gateway.channels.source import Archive
from gateway.kafka.log_consumer import LogConsumer, Place
from gateway.kafka.publisher import OutgoingEvent
from gateway.registry.link_redis import connect
from gateway.settings import GatewaySettings
from tests.support import redis_kinds
from tests.support.broker import RunningBroker, tansu
from tests.support.channels import NOTES, PLACE, note
from tests.support.gateway import NOW_MS, until
from tests.support.history_cache_memory import MemoryHistoryCache
from tests.support.publisher_kafka import publisher_on
from tests.support.redis_kinds import Redises, redises

__all__ = ["redises", "tansu"]

RECORDS: Final = 40
READY_S: Final = 30
REACH: Final = ReadBounds(records_max=1_000, bytes_max=1_000_000, seconds_max=READY_S)
ROOM: Final = CacheBounds(
    records_max=1_000,
    bytes_max=1_000_000,
    age_ms=600_000,
    read_records_max=1_000,
    read_bytes_max=1_000_000,
)
pytestmark = pytest.mark.requirement("recovered-or-gap")


class Tier(Struct, frozen=True):
    """A tier that has the records in `[first, end)`, the lines among them as a log has them."""

    archive: Archive
    place: Place
    epoch: str
    first: int
    end: int
    lines: Sequence[StreamPublication]


def _lines(first: int, end: int) -> list[StreamPublication]:
    """Return the lines of records that are notes, but for each third, which is none."""
    read_all = (
        read(NOTES, note("room", f'"{at}"'), offset=at) for at in range(first, end) if at % 3
    )
    return [line for line in read_all if line is not None]


def _run(first: int, end: int, *, epoch: str = "e") -> PublicationRun:
    return PublicationRun(
        place=PLACE, epoch=epoch, first=first, end=end, lines=tuple(_lines(first, end))
    )


def _kept(history_cache: HistoryCache) -> Keeping:
    now_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000  # noqa: E731
    return Keeping(
        history_cache,
        HistoryWriteOptions(linger_s=0.01, bytes_max=100_000),
        now_ms=now_ms,
        chance=_half,
    )


def _half() -> float:
    return 0.5


async def _filled(keeping: Keeping) -> Tier:
    keeping.note(_run(10, 17))
    keeping.note(_run(17, 17 + RECORDS))
    await keeping.put_all()
    end = 17 + RECORDS
    return Tier(keeping, PLACE, "e", 10, end, _lines(10, end))


async def _in_a_log(stack: AsyncExitStack, address: str) -> Tier:
    about, archive = f"acme/{uuid4().hex}", KafkaArchive(address, REACH)
    consumer = LogConsumer(address, wait_ms=100, fetch_bytes=100_000)
    stack.push_async_callback(archive.stop)
    async with publisher_on(address) as publisher:
        await until(lambda: publisher.ready, seconds_max=READY_S)
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        width = await consumer.width(NOTES)
        place = Place(NOTES, consumer.partition_of(about.encode(), width=width))
        first = (await consumer.spans([place]))[place].end
        for number in range(RECORDS):
            event = NotePublished(
                id=EventId(uuid4().hex), tenant=TenantId("acme"), at_ms=NOW_MS, channel=about,
                user="ada", data=str(number),
            )  # fmt: skip
            await publisher.publish([OutgoingEvent(event=event)])
    consumer.go_on({place: first})
    lines: list[StreamPublication] = []
    while len(lines) < RECORDS:
        for record in (await consumer.fetch(wait_ms=100, records_max=100)).get(place, ()):
            line = read(NOTES, record.value or b"", offset=record.offset)
            assert line is not None
            lines.append(line)
    epoch = epoch_of(consumer.log_id, "", place)
    return Tier(archive, place, epoch, lines[0].position - 1, lines[-1].position, lines)


@pytest.fixture(
    params=[
        "memory",
        "redis",
        *redis_kinds.EMBEDDED,
        pytest.param("log", marks=pytest.mark.embedded),
    ]
)
async def tier(request: pytest.FixtureRequest, redises: Redises) -> AsyncIterator[Tier]:
    """Give each kind of tier, filled."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield await _filled(_kept(MemoryHistoryCache()))
        elif request.param == "log":
            broker: RunningBroker = request.getfixturevalue("tansu")
            yield await _in_a_log(stack, broker.address)
        else:
            history_cache = await _redis(stack, redises.at(request.param))
            yield await _filled(_kept(history_cache))


async def _redis(
    stack: AsyncExitStack, chosen: GatewaySettings, *, room: CacheBounds = ROOM
) -> RedisHistoryCache:
    history_cache = RedisHistoryCache(
        connect(chosen), room, prefix=chosen.redis_prefix, timeout_s=READY_S
    )
    stack.push_async_callback(history_cache.close)
    return history_cache


async def _read(
    tier: Tier, first: int, end: int, *, epoch: str = ""
) -> list[StreamPublication] | None:
    found = await tier.archive.read(tier.place, epoch=epoch or tier.epoch, first=first, end=end)
    assert found is None or (found.first, found.end) == (first, end)
    return None if found is None else list(found.lines)


async def test_what_a_tier_has_is_read_line_by_line_whole(tier: Tier) -> None:
    for first, end in [(tier.first, tier.end), (tier.first + 5, tier.end - 5)]:
        wanted = [line for line in tier.lines if first < line.position <= end]

        assert await _read(tier, first, end) == wanted


async def test_before_its_beginning_and_in_another_log_a_tier_has_nothing(tier: Tier) -> None:
    assert await _read(tier, -1, tier.end) is None
    assert await _read(tier, tier.first, tier.end, epoch="0000") is None


async def test_more_records_than_a_read_may_have_are_not_read(tier: Tier) -> None:
    assert await _read(tier, tier.first, tier.first + 1_001) is None


@pytest.mark.parametrize("kind", ["memory", "redis", *redis_kinds.EMBEDDED])
async def test_two_gateways_put_the_same_once_and_a_hole_is_never_whole(
    kind: str, redises: Redises
) -> None:
    async with AsyncExitStack() as stack:
        history_cache: HistoryCache = (
            MemoryHistoryCache() if kind == "memory" else await _redis(stack, redises.at(kind))
        )
        await history_cache.put([_run(0, 5), _run(5, 12)])
        await history_cache.put([_run(3, 9), _run(9, 20), _run(0, 4, epoch="other")])
        await history_cache.put([_run(25, 30)])

        whole = await history_cache.read(PLACE, epoch="e", first=0, end=20)
        assert whole is not None
        assert list(whole.lines) == _lines(0, 20)
        assert await history_cache.read(PLACE, epoch="e", first=0, end=21) is None
        assert await history_cache.read(PLACE, epoch="e", first=22, end=30) is None
        assert await history_cache.read(PLACE, epoch="e", first=25, end=30) is not None


@pytest.mark.parametrize("kind", ["memory", "redis", *redis_kinds.EMBEDDED])
async def test_a_log_that_went_back_begins_its_stream_anew(kind: str, redises: Redises) -> None:
    async with AsyncExitStack() as stack:
        history_cache: HistoryCache = (
            MemoryHistoryCache() if kind == "memory" else await _redis(stack, redises.at(kind))
        )
        await history_cache.put([_run(0, 20)])
        line = read(NOTES, note("room", '"another"'), offset=5)
        assert line is not None

        await history_cache.put(
            [PublicationRun(place=PLACE, epoch="e", first=5, end=6, lines=(line,))]
        )

        assert await history_cache.read(PLACE, epoch="e", first=0, end=6) is None
        found = await history_cache.read(PLACE, epoch="e", first=5, end=6)
        assert found is not None
        assert found.lines == (line,)


@pytest.mark.parametrize("bound", ["records_max", "bytes_max", "age_ms"])
async def test_a_stream_is_bounded_in_number_bytes_and_age(bound: str, redises: Redises) -> None:
    small = {"records_max": 100, "bytes_max": 50_000, "age_ms": 20}[bound]
    fields = {name: getattr(ROOM, name) for name in CacheBounds.__struct_fields__} | {bound: small}
    async with AsyncExitStack() as stack:
        history_cache = await _redis(stack, redises.at("redis"), room=CacheBounds(**fields))
        for first in range(0, 3_000, 200):
            await history_cache.put([_run(first, first + 200)])

        async def forgotten() -> bool:
            return await history_cache.read(PLACE, epoch="e", first=0, end=200) is None

        limit = time.monotonic() + READY_S
        while not await forgotten() and time.monotonic() < limit:
            await history_cache.put([_run(2_999, 3_000)])
        assert await forgotten()
        if bound != "age_ms":
            assert await history_cache.read(PLACE, epoch="e", first=2_950, end=3_000) is not None
            assert await history_cache._client.xlen(history_cache._key("e")) <= 300
