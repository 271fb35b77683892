"""The thread of a worker that fetches: it makes batches of records and knows which log they are of.

It runs on a loop of its own, as Faust has it, so what it is told from outside is called over there.
What it promises is said in `streams.batches`; what it rests upon is named in `streams.internals`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams import ending, metrics
from streams.cutting import Batch, Cutter
from streams.marks import NO_MARK
from streams.parsed import spare_copies
from streams.places import Places

log = logging.getLogger(__name__)
faust_log = logging.getLogger("faust.batches")
"""Where Faust says that services start and stop: with Faust, not among what we say."""

ASK_WAIT_S: Final = 2.0
"""How long the broker has to say who it is, where it ends, or that it noted an offset."""

NOBODY: Final = TP("", -1)
"""Asked for beside the partitions that are wanted: with none at all, aiokafka gives all."""


class BatchThread(ending.EndingConsumerThread):
    """The thread that fetches; makes batches of records and knows which log they are from."""

    logger = faust_log
    cutter: Cutter
    fetch_wait_ms: int = 250
    fetch_bytes_max: int = 8 * 1024 * 1024
    log_suffix: str = ""
    diverged: Callable[[TP, str], None]
    """Told, on the loop of the worker, which partition is not what was stored of it, and why."""
    _log_id: str = ""
    _foreign: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._places = Places()
        self._known: set[object] = set()
        self._held: frozenset[TP] = frozenset()
        self._active: frozenset[TP] = frozenset()
        self._wanted: set[TP] = set()
        """What the fetch under way may hand on; it looks at this again whenever it wakes."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.fetch_wait_ms  # noqa: SLF001 (Faust fixes it at 1500)
        consumer._fetch_max_bytes = self.fetch_bytes_max  # noqa: SLF001 (Faust leaves it at 50 MiB)
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 (the signature is Faust's)
        max_records: int | None = None,
    ) -> Mapping[TP, list[Batch]]:
        if not active_partitions:
            return {}
        self._active = frozenset(active_partitions)
        self._wanted = wanted = {NOBODY, *(self._active - self._held)}
        spare_copies(consumer)
        found = await super()._fetch_records(
            consumer, wanted, timeout=timeout, max_records=max_records
        )
        if not found or not await self._same_log(consumer):
            return {}
        batches: dict[TP, list[Batch]] = {}
        for partition, records in found.items():
            tp = TP(partition.topic, partition.partition)
            fit = self._places.fit(tp, records)
            if fit is None:
                continue  # not placed yet: `move` will come back for these
            if fit.misfit:
                self._places.leave(tp)  # nothing is handed on until it is placed anew
                self.parent_loop.call_soon_threadsafe(self.diverged, tp, fit.misfit)
                continue
            if fit.misses:
                await self._look_for_loss(consumer, partition, fit.first_offset)
            if fit.records:
                cut = self.cutter.cut(self._log_id, tp, fit.first_offset, fit.records)
                batches[tp] = list(cut)
        return batches

    async def _look_for_loss(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, first: int
    ) -> None:
        """Say how many records were removed before they were read, if that is why some miss."""
        try:
            async with asyncio.timeout(ASK_WAIT_S):
                begins = await consumer.beginning_offsets([partition])
        except (KafkaError, TimeoutError) as error:
            log.warning("offsets are missing", extra={"tp": str(partition), "error": repr(error)})
            return
        lost = begins[partition] - first
        if lost > 0:
            metrics.LOST.labels(partition.topic).inc(lost)
            log.error("removed before they were read", extra={"tp": str(partition), "lost": lost})

    def hold(self, held: Collection[TP]) -> None:
        """Hand nothing more on of these partitions, and of all others again; returns at once."""
        with contextlib.suppress(RuntimeError):  # the thread has ended, and reads no further
            self.thread_loop.call_soon_threadsafe(self._hold, frozenset(held))

    def _hold(self, held: frozenset[TP]) -> None:
        goes_on = self._held - held
        self._held = held
        self._wanted -= held
        self._wanted |= goes_on & self._active
        if goes_on and self._consumer is not None:
            fetcher = self._consumer._fetcher  # noqa: SLF001 (see `internals`)
            for waiter in list(fetcher._fetch_waiters):  # noqa: SLF001 (see `internals`)
                fetcher._notify(waiter)  # noqa: SLF001 (see `internals`)

    async def _same_log(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether the connections still lead to the log that was last identified.

        A broker cannot be replaced without its connections breaking, so asking again only for a
        connection that is new is enough.
        """
        if self._foreign:
            return False
        if self._connections(consumer) <= self._known:
            return True
        known = self._log_id
        if await self._identify(consumer) == known:
            self._look_back(consumer)
            return False
        self._log_id = known
        metrics.LOGS_REPLACED.inc()
        self._distrust("the broker was replaced by another", None)
        return False

    def _look_back(self, consumer: AIOKafkaConsumer) -> None:
        """Go on where each partition is, with a look at the record before: it may be restored."""
        for tp, offset in self._places.again():
            with contextlib.suppress(IllegalStateError):
                consumer.seek(driver.ensure_aiokafka_TP(tp), offset)

    def _distrust(self, reason: str, tp: TP | None) -> None:
        log.warning("asking the store for positions anew", extra={"reason": reason, "tp": str(tp)})
        self._foreign = True
        asyncio.run_coroutine_threadsafe(self.consumer.perform_seek(), self.parent_loop)

    def _connections(self, consumer: AIOKafkaConsumer) -> set[object]:
        return set(consumer._client._conns.values())  # noqa: SLF001 (see `internals`)

    async def _identify(self, consumer: AIOKafkaConsumer) -> str:
        client = consumer._client  # noqa: SLF001 (see `internals`)
        node = client.get_random_node()
        if node is None:
            raise KafkaError("no broker is known")
        known = self._connections(consumer)
        async with asyncio.timeout(ASK_WAIT_S):
            answer = await client.send(node, MetadataRequest([]))
        self._known = known
        self._log_id = str(getattr(answer, "cluster_id", "") or "") + self.log_suffix
        return self._log_id

    def membership(self) -> "asyncio.Task[None] | None":
        """Return what keeps this consumer in its group; it ends with the consumer, or badly."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        task: asyncio.Task[None] | None = getattr(coordinator, "_coordination_task", None)
        return task

    async def identify(self) -> str:
        """Return the cluster id, asked of the broker now; batches are trusted again."""
        return str(await self.call_thread(self._identify_anew, self._ensure_consumer()))

    async def _identify_anew(self, consumer: AIOKafkaConsumer) -> str:
        before = self._log_id
        current = await self._identify(consumer)
        if before and current != before:
            consumer._fetcher._records.clear()  # noqa: SLF001 (see `internals`)
        self._places.clear()
        self._foreign = False
        return current

    async def move(self, tp: TP, offset: int, mark: int = NO_MARK) -> None:
        """Go on from `offset`, behind the record of that mark, if the partition is still ours."""
        await self.call_thread(self._move, self._ensure_consumer(), tp, offset, mark)

    async def _move(self, consumer: AIOKafkaConsumer, tp: TP, offset: int, mark: int) -> None:
        try:
            consumer.seek(driver.ensure_aiokafka_TP(tp), self._places.put(tp, offset, mark))
        except IllegalStateError:
            self._places.leave(tp)

    async def ends(self, partitions: Iterable[TP]) -> Mapping[TP, int]:
        """Ask the broker where these partitions end; raise what aiokafka does, or TimeoutError."""
        found = await self.call_thread(self._ends, self._ensure_consumer(), set(partitions))
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def _ends(
        self, consumer: AIOKafkaConsumer, partitions: set[TP]
    ) -> Mapping[TopicPartition, int]:
        async with asyncio.timeout(ASK_WAIT_S):
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets(partitions)
        return ends

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Tell Kafka how far the store is; for display only, so a failure is only said."""
        consumer = self._ensure_consumer()
        ours = self.assignment()
        known = {
            driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in ours
        }
        try:
            async with asyncio.timeout(ASK_WAIT_S):
                await consumer.commit(known)
        except (KafkaError, TimeoutError) as error:
            log.info("lag display not updated", extra={"error": repr(error)})
            return False
        return True
