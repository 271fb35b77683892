"""Follows partitions of Kafka's topics for this gateway, each from when somebody watches it.

Each partition is told in the order of the log, nothing left out and nothing twice, over any number
of reconnects. Where that cannot be (records were removed before they were read, the log went back,
another log is at the same address) the partition is opened again, which its hub makes known. While
the broker is away nothing is told; the follower tries on, and goes on from where it was.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Final

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from msgspec import Struct

from analytics.contracts.errors import BrokerAway, MainstemError
from analytics.contracts.signatures import ANYBODYS, SignatureRules
from gateway import metrics
from gateway.channels.records import StreamPublication, read
from gateway.channels.source import LogListener
from gateway.http.shutdown import end
from gateway.kafka.log_consumer import LogConsumer, Place, line_values

WAIT_MS: Final = 250
"""How long a fetch waits for records; the log is looked at again after it."""
RECORDS_MAX: Final = 2_000
"""Records handled before others get their turn."""
BACKOFF_MS: Final = (100, 200, 400, 800, 1_500)
RETRY_S: Final = 0.1
FAILING: Final = (KafkaError, MainstemError, OSError, TimeoutError)

log = logging.getLogger(__name__)


class FollowerOptions(Struct, frozen=True, kw_only=True):
    """How partitions are followed."""

    warm_records: int
    """Records before the end that a partition is opened with, so that memory can answer."""
    linger_ms: int
    """How long a partition is followed on after the last one who watched it has gone."""
    fetch_bytes: int
    generation: str = ""
    """Told apart by this, one log follows another under the same cluster id."""
    signatures: SignatureRules = ANYBODYS
    """Whose records are shown."""


class LogReplaced(BrokerAway):
    """Another log answers at the same address."""


class Follower:
    """See the module; `start` and `stop` frame its life."""

    def __init__(self, broker: str, options: FollowerOptions, *, now_ms: Callable[[], int]) -> None:
        self._broker = broker
        self._options = options
        self._now_ms = now_ms
        self._told: LogListener | None = None
        self._watches: dict[Place, int] = {}
        self._idle: dict[Place, int] = {}
        self._open: dict[Place, int | None] = {}
        """What is fetched, and where it ended when it was opened, until that was reached."""
        self._widths: dict[str, int] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        """Of all who wait for a topic's width one asks."""
        self._consumer: LogConsumer | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether the log answers."""
        return self._consumer is not None

    def tell(self, told: LogListener) -> None:
        """Say who is told."""
        self._told = told

    def start(self) -> None:
        """Begin to follow; return at once."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Follow nothing more."""
        if self._task is not None:
            await end([self._task])

    async def run(self) -> None:
        """Follow for as long as this is awaited; raise what ended it, if anything did."""
        self.start()
        task = self._task
        assert task is not None, "it was just started"
        try:
            await asyncio.wait({task})
            task.result()
        finally:
            await self.stop()

    async def place_of(self, address: str, key: bytes) -> Place:
        """Return where records with this key are; waits while nobody knows."""
        while True:
            consumer = self._consumer
            width = self._widths.get(address)
            if consumer is not None and width is not None:
                return Place(address, consumer.partition_of(key, width=width))
            if consumer is None:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with self._asking.setdefault(address, asyncio.Lock()):
                    if address not in self._widths:
                        self._widths[address] = await consumer.width(address)
            except FAILING as error:
                log.info("a topic was not found", extra={"topic": address, "reason": repr(error)})
                await asyncio.sleep(RETRY_S)

    def watch(self, place: Place) -> None:
        """Follow a partition; once for each who watches."""
        self._watches[place] = self._watches.get(place, 0) + 1
        self._idle.pop(place, None)
        if place not in self._open:
            self._changed.set()

    def release(self, place: Place) -> None:
        """Take one watch back; the last one lets the partition go after a while."""
        self._watches[place] -= 1
        if not self._watches[place]:
            self._idle[place] = self._now_ms() + self._options.linger_ms

    async def _run(self) -> None:
        failures = 0
        while True:
            consumer = LogConsumer(
                self._broker, wait_ms=WAIT_MS, fetch_bytes=self._options.fetch_bytes
            )
            try:
                await consumer.start()
                log.info("following the log", extra={"log_id": consumer.log_id})
                failures = 0
                await self._follow(consumer)
            except FAILING as error:
                if not failures:
                    log.warning("the log is not followed", extra={"reason": repr(error)})
            finally:
                self._consumer = None
                metrics.CHANNEL_LOG_UP.set(0)
                await _stopped(consumer)
            await asyncio.sleep(BACKOFF_MS[min(failures, len(BACKOFF_MS) - 1)] / 1_000)
            failures += 1

    async def _follow(self, consumer: LogConsumer) -> None:
        self._open.clear()
        self._widths.clear()
        self._changed.set()
        self._consumer = consumer
        metrics.CHANNEL_LOG_UP.set(1)
        fetching: asyncio.Task[dict[Place, list[ConsumerRecord]]] | None = None
        try:
            while True:
                if self._changed.is_set():
                    self._changed.clear()
                    await self._open_all(consumer)
                fetching = fetching or asyncio.create_task(self._fetched(consumer))
                await self._either(fetching)
                if fetching.done():
                    done, fetching = fetching, None
                    await self._take(consumer, done)
                    self._look_around(consumer)
        finally:
            if fetching is not None:
                await end([fetching])

    async def _fetched(self, consumer: LogConsumer) -> dict[Place, list[ConsumerRecord]]:
        if not self._open:
            await asyncio.sleep(WAIT_MS / 1_000)
            return {}
        return await consumer.fetch(wait_ms=WAIT_MS, records_max=RECORDS_MAX)

    async def _either(self, fetching: "asyncio.Task[dict[Place, list[ConsumerRecord]]]") -> None:
        changing = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({fetching, changing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()

    async def _open_all(self, consumer: LogConsumer) -> None:
        wanted = [place for place in self._watches if place not in self._open]
        spans = await consumer.spans(wanted) if wanted else {}
        if not await consumer.same():
            raise LogReplaced("another log answers; it is opened again")
        told = self._to()
        for place, span in spans.items():
            epoch = self._epoch(consumer.log_id, place)
            known = told.known(place)
            if known is not None and known[0] == epoch and known[1] >= span.first:
                self._open[place] = None
                continue
            first = max(span.first, span.end - max(1, self._options.warm_records))
            told.opened(place, epoch=epoch, first=first)
            metrics.CHANNEL_OPENED.inc()
            is_empty = span.first == span.end
            self._open[place] = None if is_empty else span.end
            if is_empty:
                told.reached(place)
        self._go_on(consumer)

    def _go_on(self, consumer: LogConsumer) -> None:
        told = self._to()
        ends = {place: told.known(place) for place in self._open}
        consumer.go_on({place: known[1] for place, known in ends.items() if known is not None})
        metrics.CHANNEL_PARTITIONS.set(len(self._open))

    async def _take(
        self,
        consumer: LogConsumer,
        done: "asyncio.Task[dict[Place, list[ConsumerRecord]]]",
    ) -> None:
        try:
            found = done.result()
        except OffsetOutOfRangeError as error:
            gone = [
                place for place in self._open if any(_is(place, pair) for pair in error.args[0])
            ]
            self._reopen(gone, "its position is out of range")
            return
        if consumer.reconnected():
            if not await consumer.same():
                raise LogReplaced("another log answers; it is opened again")
            self._go_on(consumer)
            return
        for place, records in found.items():
            await self._hand_on(consumer, place, records)

    async def _hand_on(
        self, consumer: LogConsumer, place: Place, records: list[ConsumerRecord]
    ) -> None:
        known = self._to().known(place)
        if known is None or place not in self._open:
            return
        at = known[1]
        fresh = [record for record in records if record.offset >= at]
        if not fresh:
            return
        if fresh[0].offset > at:
            span = (await consumer.spans([place]))[place]
            if span.first > at:
                self._reopen([place], "records were removed before they were read")
                return
        lines: list[StreamPublication] = []
        for offset, value in line_values(fresh, self._options.signatures):
            line = read(place.address, value, offset=offset)
            if line is None:
                metrics.CHANNEL_UNREAD.inc()
            else:
                lines.append(line)
        self._to().took(place, lines, end=fresh[-1].offset + 1)

    def _look_around(self, consumer: LogConsumer) -> None:
        """See which partitions were caught up with, went back, moved or are let go."""
        told = self._to()
        for place, goal in [*self._open.items()]:
            known, there = told.known(place), consumer.end_of(place)
            if known is None or there is None:
                continue
            if there < known[1]:
                self._reopen([place], "the log went back")
            elif goal is not None and known[1] >= max(goal, 0) and known[1] >= there:
                self._open[place] = None
                told.reached(place)
        for address, width in [*self._widths.items()]:
            if (consumer.width_known(address) or width) != width:
                self._widths.pop(address)
                moved = [place for place in self._open if place.address == address]
                self._reopen(moved, "its topic has another number of partitions")
        now_ms = self._now_ms()
        for place in [place for place, due_ms in self._idle.items() if due_ms <= now_ms]:
            self._let_go(place)

    def _reopen(self, places: list[Place], reason: str) -> None:
        for place in places:
            log.warning("a partition is opened again", extra={"place": place, "reason": reason})
            metrics.CHANNEL_GAPS.inc()
            self._open.pop(place, None)
            self._to().closed(place)
        self._changed.set()

    def _let_go(self, place: Place) -> None:
        del self._idle[place]
        del self._watches[place]
        self._open.pop(place, None)
        self._to().closed(place)
        self._changed.set()

    def _epoch(self, log_id: str, place: Place) -> str:
        return epoch_of(log_id, self._options.generation, place)

    def _to(self) -> LogListener:
        assert self._told is not None, "somebody is told before anything is watched"
        return self._told


def epoch_of(log_id: str, generation: str, place: Place) -> str:
    """Return the name of a partition of a log: 64 bits of BLAKE2b over what it is made of."""
    named = "\0".join((log_id, generation, place.address, str(place.partition)))
    return hashlib.blake2b(named.encode(), digest_size=8).hexdigest()


def _is(place: Place, pair: tuple[str, int]) -> bool:
    return (place.address, place.partition) == tuple(pair)


async def _stopped(consumer: LogConsumer) -> None:
    try:
        await consumer.stop()
    except FAILING as error:
        log.info("a consumer did not stop", extra={"reason": repr(error)})
