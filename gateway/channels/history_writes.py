"""Everything a gateway reads of the log, put in the history cache, beside the work.

What was read waits in a queue, bounded in bytes, and leaves in batches a few times a second; nobody
waits for that. While the cache is away the queue keeps the newest of it, a breaker tries now and
then, and whoever asks for the past is sent on to the next tier at once. What was dropped is a hole
in the cache, which it knows of by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from analytics.contracts.errors import Unavailable
from analytics.pool.breaker import Breaker, BreakerLimits
from gateway import metrics
from gateway.channels.history_cache import HistoryCache, PublicationRun
from gateway.channels.records import StreamPublication
from gateway.channels.recovery import Slice
from gateway.channels.source import LogListener, Source
from gateway.kafka.log_consumer import Place

LINES_MAX: Final = 256
"""Lines put at a time: about a millisecond of the event loop."""
PATIENCE: Final = BreakerLimits(calls_min=1, probes=1, open_ms=1_000, open_ms_max=10_000)


class HistoryWriteOptions(Struct, frozen=True, kw_only=True):
    """How long what was read may wait, and how much of it."""

    linger_s: float
    bytes_max: int


class Keeping:
    """See the module; it is an `Archive`. `run` puts for as long as it is awaited."""

    def __init__(
        self,
        history_cache: HistoryCache,
        options: HistoryWriteOptions,
        *,
        now_ms: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self._cache = history_cache
        self._options = options
        self._now_ms = now_ms
        self._breaker = Breaker(PATIENCE, chance)
        self._waiting: deque[PublicationRun] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether the cache may be asked now."""
        return self._breaker.allows(self._now_ms())

    def note(self, run: PublicationRun) -> None:
        """Let a run wait to be put; what waited longest is dropped where it is too much."""
        self._waiting.append(run)
        self._bytes += run.size
        self._make_room()
        self._filled.set()

    async def run(self) -> None:
        """Put what waits until cancelled."""
        try:
            while True:
                await self._filled.wait()
                await asyncio.sleep(self._options.linger_s)
                await self.put_all()
        finally:
            await self._cache.close()

    async def put_all(self) -> None:
        """Put what waits, if the cache takes it."""
        while self._waiting and self.up:
            runs = self._take()
            permit, begun_ms = self._breaker.begin(self._now_ms()), self._now_ms()
            failed = True
            try:
                await self._cache.put(runs)
                failed = False
            except Unavailable:
                self._again(runs)
            finally:
                now_ms = self._now_ms()
                self._breaker.end(permit, now_ms=now_ms, failed=failed, took_ms=now_ms - begun_ms)
                metrics.HISTORY_CACHE_UP.set(not failed)
            if not failed:
                metrics.HISTORY_CACHE_PUT.inc(sum(len(run.lines) for run in runs))
        if not self._waiting:
            self._filled.clear()

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return all lines of the records in `[first, end)`; nothing if it does not have them."""
        if not self.up:
            metrics.PAST_READS.labels("redis", "away").inc()
            return None
        permit, begun_ms = self._breaker.begin(self._now_ms()), self._now_ms()
        failed, found = True, None
        try:
            found = await self._cache.read(place, epoch=epoch, first=first, end=end)
            failed = False
        except Unavailable:
            found = None
        except BaseException:
            self._breaker.cancel(permit)
            raise
        now_ms = self._now_ms()
        self._breaker.end(permit, now_ms=now_ms, failed=failed, took_ms=now_ms - begun_ms)
        outcome = "away" if failed else "miss" if found is None else "hit"
        metrics.PAST_READS.labels("redis", outcome).inc()
        return found

    def _take(self) -> list[PublicationRun]:
        runs: list[PublicationRun] = []
        room = LINES_MAX
        while self._waiting and room > 0:
            run = self._waiting.popleft()
            self._bytes -= run.size
            if len(run.lines) > room:
                run, rest = _cut(run, room)
                self._waiting.appendleft(rest)
                self._bytes += rest.size
            runs.append(run)
            room -= max(1, len(run.lines))
        return runs

    def _again(self, runs: Sequence[PublicationRun]) -> None:
        self._waiting.extendleft(reversed(runs))
        self._bytes += sum(run.size for run in runs)
        self._make_room()

    def _make_room(self) -> None:
        while self._bytes > self._options.bytes_max:
            dropped = self._waiting.popleft()
            self._bytes -= dropped.size
            metrics.HISTORY_CACHE_DROPPED.inc(len(dropped.lines))


class KeptSource:
    """A source whose hub is told first, and of all that it took the cache afterwards."""

    def __init__(self, source: Source, keeping: Keeping) -> None:
        self._source = source
        self._keeping = keeping

    @property
    def up(self) -> bool:
        """Whether the log answers."""
        return self._source.up

    def tell(self, told: LogListener) -> None:
        """Say who is told."""
        self._source.tell(_Both(told, self._keeping))

    async def place_of(self, address: str, key: bytes) -> Place:
        """Return where records with this key are; waits while nobody knows."""
        return await self._source.place_of(address, key)

    def watch(self, place: Place) -> None:
        """Follow a partition; once for each who watches."""
        self._source.watch(place)

    def release(self, place: Place) -> None:
        """Take one watch back; the last one lets the partition go after a while."""
        self._source.release(place)


class _Both:
    def __init__(self, told: LogListener, keeping: Keeping) -> None:
        self._told = told
        self._keeping = keeping
        self.known = told.known
        self.opened = told.opened
        self.reached = told.reached
        self.closed = told.closed

    def took(self, place: Place, lines: Sequence[StreamPublication], *, end: int) -> None:
        known = self._told.known(place)
        self._told.took(place, lines, end=end)
        if known is not None:
            epoch, first = known
            self._keeping.note(
                PublicationRun(place=place, epoch=epoch, first=first, end=end, lines=tuple(lines))
            )


def _cut(run: PublicationRun, lines: int) -> tuple[PublicationRun, PublicationRun]:
    """Return a run up to behind so many lines, and the rest of it."""
    at = run.lines[lines - 1].position
    return replace(run, end=at, lines=run.lines[:lines]), replace(
        run, first=at, lines=run.lines[lines:]
    )
