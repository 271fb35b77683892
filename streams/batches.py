"""The seam into Faust: an agent is handed the records of one fetch as one item.

Faust costs about four asyncio tasks a record, whatever the codec. Here it keeps what it is good at
(membership, assignment, lifecycle, backpressure), and an item on its queues is a `Batch`: the
records of one partition's fetch, with the one range of offsets that they cover. Promises:

- the batches of a partition follow each other without a hole, from where `Positions` last said;
- a batch knows which log it came from: a broker replaced by another, whose log starts at 0 again,
  is noticed before its first record is handed on, and `Positions` is asked anew;
- a batch holds at most `records_max` records and, if it is more than one, `bytes_max` bytes;
- a partition that is held is not handed on: at most one fetch of it, `fetch_bytes_max`, waits here,
  and Kafka is not asked for more;
- the store says where a partition starts, never Kafka: what is committed to Kafka shows the lag to
  whoever looks there, and failing to commit it harms nothing.

Every internal of Faust and aiokafka that this rests on is named in `streams.internals`, for the
version that it holds for; a test fails when one of them reads differently.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, Final, Protocol

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message
from msgspec import Struct
from yarl import URL

from streams import ending, metrics
from streams.cutting import Batch, Cutter
from streams.parsed import spare_copies

log = logging.getLogger(__name__)
faust_log = logging.getLogger("faust.batches")
"""Where Faust says that services start and stop: with Faust, not among what we say."""

POSITION_WAIT_S: Final = 3.0
"""How long a rebalance waits for the store to say where to start; then it goes on behind."""

ASK_WAIT_S: Final = 2.0
"""How long the broker has to say who it is, where it ends, or that it noted an offset."""

NOBODY: Final = TP("", -1)
"""Asked for beside the partitions that are wanted: with none at all, aiokafka gives all."""


class Positions(Protocol):
    """Who says where partitions start: what the drive of a worker is to this module."""

    async def assigned(self, partitions: Iterable[TP], *, log_id: str, generation: int) -> None:
        """Take these partitions, and have each placed as soon as the store says where it starts."""
        ...

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Let these partitions go at once; nothing more is written for them."""
        ...

    def reached(self) -> Mapping[TP, int]:
        """Return the next offset of each partition, as far as the store has it."""
        ...


class BatchThread(ending.EndingConsumerThread):
    """The thread that fetches; makes batches of records and knows which log they are from."""

    logger = faust_log
    cutter: Cutter
    fetch_wait_ms: int = 250
    fetch_bytes_max: int = 8 * 1024 * 1024
    _log_id: str = ""
    _foreign: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._next: dict[TP, int] = {}
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
            first = self._next.get(tp)
            if first is None:
                continue  # not placed yet: `move` will come back for these
            if records[0].offset < first:
                self._distrust("a partition went back without having been asked to", tp)
                return {}
            batches[tp] = list(self.cutter.cut(self._log_id, tp, first, records))
            self._next[tp] = records[-1].offset + 1
        return batches

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
            return True
        self._log_id = known
        metrics.LOGS_REPLACED.inc()
        self._distrust("the broker was replaced by another", None)
        return False

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
        self._log_id = str(getattr(answer, "cluster_id", "") or "")
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
        self._next.clear()
        self._foreign = False
        return current

    async def move(self, offsets: Mapping[TP, int]) -> None:
        """Go on from these offsets; partitions that are not ours any more are passed over."""
        await self.call_thread(self._move, self._ensure_consumer(), offsets)

    async def _move(self, consumer: AIOKafkaConsumer, offsets: Mapping[TP, int]) -> None:
        for tp, offset in offsets.items():
            try:
                consumer.seek(driver.ensure_aiokafka_TP(tp), offset)
            except IllegalStateError:
                continue
            self._next[tp] = offset

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


class BatchConsumer(driver.Consumer):
    """A Faust consumer whose messages are batches and whose positions come from `Positions`."""

    logger = faust_log
    positions: Positions
    thread_class: type[BatchThread] = BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (Faust fills them in)
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread()
        self._shown: dict[TP, int] = {}

    def _new_consumer_thread(self) -> BatchThread:
        return self.thread_class(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Batch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            topic=record.topic,
            partition=record.partition,
            offset=record.next_offset - 1,
            timestamp=last.timestamp / 1000,
            timestamp_type=0,
            headers=None,
            key=b"",
            value=record,  # type: ignore[arg-type] # the raw codec passes it through as it is
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Hold every partition until the store has said where it starts."""
        partitions = self.assignment()
        self.pause_partitions(partitions)
        generation = self.app.consumer_generation_id
        try:
            current = await self._batch_thread.identify()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("the broker does not say who it is", extra={"error": repr(error)})
            asyncio.get_running_loop().call_later(1.0, self._seek_again, generation)
            return
        placing = self._keep(
            self.positions.assigned(partitions, log_id=current, generation=generation)
        )
        await asyncio.wait({placing}, timeout=POSITION_WAIT_S)

    def _seek_again(self, generation: int) -> None:
        if not self.should_stop and self.app.consumer_generation_id == generation:
            self._keep(self.perform_seek())

    def _keep(self, work: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        return self.add_future(work)

    async def place(self, tp: TP, offset: int) -> None:
        """Go on with one partition from `offset`."""
        await self._batch_thread.move({tp: offset})
        if tp in self.assignment():
            self.resume_partitions({tp})

    def hold(self, held: Collection[TP]) -> None:
        """Read no further for these partitions, and again for all others."""
        self._batch_thread.hold(held)

    @property
    def left(self) -> bool:
        """Whether the group is not taken part in any more, for a fatal error."""
        task = self._batch_thread.membership()
        return task is not None and task.done()

    def end(self, tp: TP) -> int | None:
        """Return where the partition ended when it was last fetched, if that is known."""
        try:
            return self.highwater(tp)
        except (IllegalStateError, AssertionError):
            return None

    async def ends(self, partitions: set[TP]) -> Mapping[TP, int]:
        """Ask the broker where these partitions end."""
        if not partitions:
            return {}
        return await self._batch_thread.ends(partitions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go before Faust does."""
        self.positions.revoked(revoked)
        self._shown.clear()
        await super().on_partitions_revoked(revoked)

    def ack(self, message: Message) -> bool:
        """Forget the message: what is done is in the store, and `commit` reads it there."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 (the signature is Faust's)
        """Show Kafka how far the store is."""
        reached = self.positions.reached()
        news = {tp: offset for tp, offset in reached.items() if self._shown.get(tp) != offset}
        if not news or not await self._commit(news):
            return False
        self._shown.update(news)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: liveness is told by offsets against lag."""

    @property
    def _batch_thread(self) -> BatchThread:
        thread = self._thread
        assert isinstance(thread, BatchThread)
        return thread


class _Unread(dict[TP, int | None]):
    """What Faust knows as read already: nothing, since `place` may go back."""

    def __missing__(self, key: TP) -> None:
        return None

    def __setitem__(self, key: TP, value: int | None) -> None:
        """Keep nothing."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a batch may hold, and how long a fetch may wait for its first record."""

    records_max: int
    bytes_max: int
    fetch_wait_ms: int
    fetch_bytes_max: int
    """Bytes that one fetch asks for, over all partitions."""


def install(app: faust.App, positions: Positions, limits: Limits) -> None:
    """Make `app` work on batches; call it before anything asks for the app's consumer."""

    class Thread(BatchThread):
        logger = faust_log
        cutter = Cutter(records_max=limits.records_max, bytes_max=limits.bytes_max)
        fetch_wait_ms = limits.fetch_wait_ms
        fetch_bytes_max = limits.fetch_bytes_max

    class Consumer(BatchConsumer):
        logger = faust_log
        thread_class = Thread

    class Transport(driver.Transport):
        pass

    Consumer.positions = positions
    Transport.Consumer = Consumer
    app.transport = Transport([URL(str(url)) for url in app.conf.broker], app)
