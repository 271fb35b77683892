"""Whatever gateways and their Redis do, a read of the past is whole, or it is none."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels.history_cache import HistoryCache, PublicationRun
from gateway.channels.history_cache_redis import CacheBounds, RedisHistoryCache
from gateway.channels.history_writes import HistoryWriteOptions, Keeping
from gateway.registry.link_redis import connect
from tests.support.channels import PLACE, MemoryLog, note
from tests.support.gateway import Clock
from tests.support.history_cache_memory import MemoryHistoryCache
from tests.support.redis_kinds import Redises, redises

__all__ = ["redises"]

GATEWAYS: Final = 3
ROOM: Final = CacheBounds(
    records_max=10_000,
    bytes_max=1_000_000,
    age_ms=600_000,
    read_records_max=1_000,
    read_bytes_max=1_000_000,
)
numbers = st.integers(0, 12)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "forget", "lose", "copy", "back"]), numbers),
        st.tuples(st.sampled_from(["read", "crash", "put"]), st.integers(0, 3 * GATEWAYS * 5)),
        st.tuples(st.just("away"), st.integers(0, 1)),
    ),
    max_size=40,
)
pytestmark = pytest.mark.requirement("recovered-or-gap")


class Following:
    """A gateway that reads a log for itself and puts what it read on the history_cache."""

    def __init__(self, log: MemoryLog, history_cache: HistoryCache, clock: Clock) -> None:
        self._log = log
        self._cache = history_cache
        self._clock = clock
        self.crash(0)

    def crash(self, warm: int) -> None:
        """Lose what waits, and begin to follow again from a little before the end."""
        self._at = max(self._log.first, self._log.end - warm)
        options = HistoryWriteOptions(linger_s=0, bytes_max=3_000)
        self.keeping = Keeping(self._cache, options, now_ms=self._clock, chance=lambda: 0.5)

    def read(self, number: int) -> None:
        """Read the next records."""
        end = min(self._log.end, self._at + number)
        if end > self._at:
            lines = tuple(self._log.lines(self._at, end))
            epoch, first = self._log.epoch, self._at
            self.keeping.note(
                PublicationRun(place=PLACE, epoch=epoch, first=first, end=end, lines=lines)
            )
            self._at = end


class Mishaps:
    """What happens to a history_cache in memory, or to a stream of Redis."""

    def __init__(self, history_cache: HistoryCache) -> None:
        self.history_cache = history_cache
        self._copy: bytes | None = None

    async def happen(self, what: str, number: int) -> None:
        """Forget the oldest, lose the newest, or come back as it was."""
        if isinstance(self.history_cache, MemoryHistoryCache):
            self._in_memory(self.history_cache, what, number)
        elif isinstance(self.history_cache, RedisHistoryCache):
            await self._in_redis(self.history_cache, what, number)

    def _in_memory(self, history_cache: MemoryHistoryCache, what: str, number: int) -> None:
        if what == "forget":
            history_cache.forget(number)
        elif what in {"lose", "back"}:
            history_cache.lose(number)
        elif what == "away":
            history_cache.away = bool(number)

    async def _in_redis(self, history_cache: RedisHistoryCache, what: str, number: int) -> None:
        client, key = history_cache._client, history_cache._key("log-1")
        if what == "forget":
            await client.xtrim(key, maxlen=max(0, await client.xlen(key) - number))
        elif what == "lose":
            newest = await client.xrevrange(key, count=max(1, number))
            if newest:
                await client.xdel(key, *(entry for entry, _ in newest))
        elif what == "copy":
            self._copy = await client.dump(key)
        elif what == "back" and self._copy is not None:
            await client.restore(key, 0, self._copy, replace=True)


async def _play(history_cache: HistoryCache, happenings: Sequence[tuple[str, int]]) -> None:
    log, clock, mishaps = MemoryLog(), Clock(), Mishaps(history_cache)
    gateways = [Following(log, history_cache, clock) for _ in range(GATEWAYS)]
    for what, number in happenings:
        one = gateways[number % GATEWAYS]
        if what == "add":
            for _ in range(number):
                value = note("room", f'"{log.end}"') if log.end % 3 else b"no note"
                log.add(value)
        elif what == "read":
            one.read(number // GATEWAYS)
        elif what == "crash":
            one.crash(number // GATEWAYS)
        elif what == "put":
            clock.now_ms += 20_000
            await one.keeping.put_all()
        else:
            await mishaps.happen(what, number)
    await _look_everywhere(log, gateways[0].keeping, clock)


async def _look_everywhere(log: MemoryLog, keeping: Keeping, clock: Clock) -> None:
    for first in range(log.end):
        for end in {first + 1, (first + log.end + 1) // 2, log.end} - {first}:
            clock.now_ms += 20_000
            found = await keeping.read(PLACE, epoch=log.epoch, first=first, end=end)
            assert found is None or list(found.lines) == log.lines(first, end)


@settings(max_examples=150, deadline=None)
@given(happenings=steps)
def test_a_read_of_memory_is_whole_or_none(happenings: list[tuple[str, int]]) -> None:
    asyncio.run(_play(MemoryHistoryCache(records_max=30), happenings))


@pytest.mark.embedded
def test_a_read_of_redis_is_whole_or_none(redises: Redises) -> None:
    played = 0

    @settings(max_examples=60, deadline=None, database=None)
    @given(happenings=steps)
    def play(happenings: list[tuple[str, int]]) -> None:
        nonlocal played
        asyncio.run(_on_redis(redises, lambda history_cache: _play(history_cache, happenings)))
        played += 1

    play()
    assert played


async def _on_redis(redises: Redises, play: Callable[[HistoryCache], Awaitable[None]]) -> None:
    chosen = redises.at("redis")
    async with AsyncExitStack() as stack:
        history_cache = RedisHistoryCache(
            connect(chosen), ROOM, prefix=chosen.redis_prefix, timeout_s=30
        )
        stack.push_async_callback(history_cache.close)
        await play(history_cache)


async def test_a_shelf_that_is_away_is_left_alone_and_gets_what_waited_on_its_return() -> None:
    log, history_cache, clock = MemoryLog(), MemoryHistoryCache(), Clock()
    one = Following(log, history_cache, clock)
    for number in range(20):
        log.add(note("room", str(number)))
    history_cache.away = True
    one.read(3)
    await one.keeping.put_all()
    one.read(3)
    for _ in range(10):
        await one.keeping.put_all()
        assert await one.keeping.read(PLACE, epoch=log.epoch, first=0, end=3) is None

    asked = (history_cache.puts, history_cache.reads, one.keeping.up)
    history_cache.away = False
    clock.now_ms += 2_000
    await one.keeping.put_all()

    assert asked == (1, 0, False)
    found = await one.keeping.read(PLACE, epoch=log.epoch, first=0, end=6)
    assert found is not None
    assert list(found.lines) == log.lines(0, 6)


async def test_what_waits_for_a_shelf_is_bounded_and_what_was_dropped_is_a_hole() -> None:
    log, history_cache, clock = MemoryLog(), MemoryHistoryCache(), Clock()
    one = Following(log, history_cache, clock)
    for number in range(30):
        log.add(note("room", str(number)))
        one.read(1)
    await one.keeping.put_all()

    assert await one.keeping.read(PLACE, epoch=log.epoch, first=0, end=30) is None
    newest = await one.keeping.read(PLACE, epoch=log.epoch, first=28, end=30)
    assert newest is not None
    assert list(newest.lines) == log.lines(28, 30)
