"""Faust's consumer for record batches: an agent is handed the records of one fetch as one item.

Faust costs about four asyncio tasks a record, whatever the codec. Here it keeps what it is good at
(membership, assignment, lifecycle, backpressure), and an item on its queues is a `Batch`: the
records of one partition's fetch, with the one range of offsets that they cover. Promises:

- the batches of a partition follow each other without a hole, from where `Positions` last said;
- a batch knows which log it came from: a broker replaced by another, whose log starts at 0 again,
  is noticed before its first record is handed on, and `Positions` is asked again;
- a log that was restored or cut off is noticed too: the record before the first is read once more,
  where a partition is placed and after each new connection, and has to be the one that was stored
  (see `fingerprints`); records that were removed before they were read are counted and said;
- a batch holds at most `records_max` records and, if it is more than one, `bytes_max` bytes;
- a partition that is held is not handed on: at most one fetch of it, `fetch_bytes_max`, waits here,
  and Kafka is not asked for more;
- the store says where a partition starts, never Kafka: what is committed to Kafka shows the lag to
  whoever looks there, and failing to commit it harms nothing.

It is written on Faust's abstract consumer: what is defined here is what that class leaves open, and
`commit`. aiokafka's consumer runs on the same event loop. What little this rests on inside the two
libraries is named in `streams.consumer.internals`; a test fails when one of them reads differently.
"""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.exceptions import ImproperlyConfigured
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from msgspec import Struct

from streams.consumer import shutdown
from streams.consumer.fetcher import ASK_WAIT_S, BatchFetcher
from streams.consumer.fingerprints import NO_MARK
from streams.consumer.record_batches import Batch, BatchSplitter
from streams.consumer.records import spare_copies

log = logging.getLogger(__name__)
faust_log = logging.getLogger("faust.batches")
"""Where Faust says that services start and stop: with Faust, not among what we say."""

SCHEME: Final = "batch+kafka"
"""The name of this transport in the URL of an app's broker."""
POSITION_WAIT_S: Final = 3.0
"""How long a rebalance waits for the store to say where to start; then it goes on behind."""
IDENTIFY_AGAIN_S: Final = 1.0
LEAVE_WAIT_S: Final = 2.0
"""How long a consumer has to say goodbye to its broker."""


class Positions(Protocol):
    """Who says where partitions start: what the assignment of a worker is to this module."""

    async def assigned(self, partitions: Iterable[TP], *, log_id: str, generation: int) -> None:
        """Take these partitions, and have each placed as soon as the store says where it starts."""
        ...

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Let these partitions go at once; nothing more is written for them."""
        ...

    def diverged(self, tp: TP, reason: str) -> None:
        """Leave a partition: what the broker has is not what the store has of it."""
        ...

    def reached(self) -> Mapping[TP, int]:
        """Return the next offset of each partition, as far as the store has it."""
        ...


class FetchLimits(Struct, frozen=True, kw_only=True):
    """What a batch may hold, and how long a fetch may wait for its first record."""

    records_max: int
    bytes_max: int
    fetch_wait_ms: int
    fetch_bytes_max: int
    """Bytes that one fetch asks for, over all partitions."""
    log_generation: int = 0
    """Set to a number it had not, the log counts as another."""


class Intake(Struct, frozen=True):
    """Who says where partitions start, and how much is taken at once."""

    positions: Positions
    limits: FetchLimits


class BatchConsumer(Consumer):
    """A Faust consumer whose messages are batches and whose positions come from `Positions`."""

    logger = faust_log
    consumer_stopped_errors = (ConsumerStoppedError,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (Faust fills them in)
        super().__init__(*args, **kwargs)
        self._kafka: AIOKafkaConsumer | None = None
        self._batches: BatchFetcher | None = None
        self._shown: dict[TP, int] = {}

    @property
    def intake(self) -> Intake:
        """Who says where partitions start, as the app's transport was told."""
        intake: Intake | None = getattr(self.transport, "intake", None)
        if intake is None:
            raise ImproperlyConfigured(
                f"an app on {SCHEME}:// has to be told where its partitions start; call "
                "streams.consumer.transport.bind before it starts"
            )
        return intake

    async def on_start(self) -> None:
        """Connect to the broker."""
        kafka = _kafka_consumer(self, self.intake.limits)
        try:
            await kafka.start()
        except BaseException:
            await kafka.stop()
            raise
        spare_copies(kafka)
        self._kafka, self._batches = kafka, self._fetcher_of(kafka)

    async def on_stop(self) -> None:
        """Show Kafka how far the store is, and leave the group."""
        await super().on_stop()
        kafka, self._kafka, self._batches = self._kafka, None, None
        if kafka is not None:
            await _leave(kafka)

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Take part in the group for these topics."""
        self._connected.subscribe(topics=set(topics), listener=_Rebalances(self))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Hold every partition until the store has said where it starts; Kafka is not asked."""
        partitions = self.assignment()
        self.pause_partitions(partitions)
        generation = self.app.consumer_generation_id
        try:
            log_id = await self._fetches.identify()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("the broker does not say who it is", extra={"error": repr(error)})
            asyncio.get_running_loop().call_later(IDENTIFY_AGAIN_S, self._seek_again, generation)
            return {}
        placing = self.add_future(
            self.intake.positions.assigned(partitions, log_id=log_id, generation=generation)
        )
        await asyncio.wait({placing}, timeout=POSITION_WAIT_S)
        return {}

    async def place(self, tp: TP, offset: int, *, mark: int = NO_MARK) -> None:
        """Go on with one partition from `offset`, behind the record of that mark."""
        await self.seek(tp, offset)  # Faust forgets how far it has read
        self._fetches.move(tp, offset, mark)
        if tp in self.assignment():
            self.resume_partitions({tp})

    def hold(self, held: Collection[TP]) -> None:
        """Read no further for these partitions, and again for all others."""
        if self._batches is not None:
            self._batches.hold(held)

    def end(self, tp: TP) -> int | None:
        """Return where the partition ended when it was last fetched, if that is known."""
        try:
            end: int | None = self._connected.highwater(TopicPartition(*tp))
        except (IllegalStateError, ConsumerStoppedError, AssertionError):
            return None
        return end

    async def ends(self, partitions: set[TP]) -> Mapping[TP, int]:
        """Ask the broker where these partitions end; raise what aiokafka does, or TimeoutError."""
        return await self.highwaters(*partitions)

    async def commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:  # noqa: FBT001, FBT002 (the signature is Faust's)
        """Show Kafka how far the store is."""
        if self._kafka is None:
            return False
        reached = self.intake.positions.reached()
        news = {tp: offset for tp, offset in reached.items() if self._shown.get(tp) != offset}
        if not news or not await self._commit(news):
            return False
        self._shown.update(news)
        return True

    def revoked(self, partitions: set[TP]) -> None:
        """Let these partitions go, before Faust does."""
        self.intake.positions.revoked(partitions)
        self._shown.clear()

    def assignment(self) -> set[TP]:
        """Return the partitions that the group says are ours."""
        kafka = self._kafka
        return set() if kafka is None else {TP(*tp) for tp in kafka.assignment()}

    def highwater(self, tp: TP) -> int:
        """Return where the partition ended when it was last fetched."""
        return self.end(tp) or 0

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where these partitions end."""
        if not partitions:
            return {}
        asked = [TopicPartition(*tp) for tp in partitions]
        async with asyncio.timeout(ASK_WAIT_S):
            ends = await self._connected.end_offsets(asked)
        return {TP(*tp): offset for tp, offset in ends.items()}

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Ask the broker where these partitions begin."""
        asked = [TopicPartition(*tp) for tp in partitions]
        begins = await self._connected.beginning_offsets(asked)
        return {TP(*tp): offset for tp, offset in begins.items()}

    async def position(self, tp: TP) -> int | None:
        """Return the offset that is read next."""
        position: int = await self._connected.position(TopicPartition(*tp))
        return position

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go on with these partitions from these offsets."""
        for tp, offset in partitions.items():
            await self.seek(tp, offset)

    def topic_partitions(self, topic: str) -> int | None:
        """Return how many partitions a topic has, if that is known."""
        known = None if self._kafka is None else self._kafka.partitions_for_topic(topic)
        return len(known) if known else None

    def key_partition(
        self, topic: str, key: bytes | None, partition: int | None = None
    ) -> int | None:
        """Return the partition of a key."""
        known = sorted(self._connected.partitions_for_topic(topic) or ())
        if partition is not None or not known:
            return partition
        chosen: int = DefaultPartitioner()(key, known, known)
        return chosen

    async def create_topic(self, *_: object, **__: object) -> None:
        """Do nothing: topics are made before the app starts, with their own settings."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Tell Kafka how far the store is; for display only, so a failure is only said."""
        ours = self.assignment()
        known = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in ours
        }
        if not known:
            return False
        try:
            async with asyncio.timeout(ASK_WAIT_S):
                await self._connected.commit(known)
        except (KafkaError, TimeoutError) as error:
            log.info("lag display not updated", extra={"error": repr(error)})
            return False
        return True

    async def _seek(self, partition: TP, offset: int) -> None:
        self._fetches.move(partition, offset)

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 (the signature is Faust's)
    ) -> dict[TP, list[Batch]]:
        return await self._fetches.fetch(active_partitions or (), within_s=timeout)

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    def _to_message(self, tp: TP, record: Batch) -> ConsumerMessage:
        last = record.records[-1]
        return ConsumerMessage(
            topic=record.topic,
            partition=record.partition,
            offset=record.next_offset - 1,
            timestamp=last.timestamp / 1000,
            timestamp_type=0,
            headers=None,
            key=None,
            value=record,  # type: ignore[arg-type] # `BatchSchema` passes it through as it is
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def _seek_again(self, generation: int) -> None:
        if not self.should_stop and self.app.consumer_generation_id == generation:
            self._ask_anew()

    def _ask_anew(self) -> None:
        self.add_future(self.perform_seek())

    def _fetcher_of(self, kafka: AIOKafkaConsumer) -> BatchFetcher:
        limits = self.intake.limits
        return BatchFetcher(
            kafka,
            BatchSplitter(records_max=limits.records_max, bytes_max=limits.bytes_max),
            log_suffix=f"#{limits.log_generation}" if limits.log_generation else "",
            diverged=self.intake.positions.diverged,
            distrusted=self._ask_anew,
        )

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._kafka is None:
            raise ConsumerStoppedError
        return self._kafka

    @property
    def _fetches(self) -> BatchFetcher:
        if self._batches is None:
            raise ConsumerStoppedError
        return self._batches


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Tells Faust, and `Positions` before it, what the group gives and takes."""

    def __init__(self, consumer: BatchConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let go of partitions."""
        partitions = {TP(*tp) for tp in revoked}
        self._consumer.revoked(partitions)
        self._consumer.app.on_rebalance_start()
        await self._consumer.on_partitions_revoked(partitions)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take partitions over."""
        app = self._consumer.app
        app.consumer_generation_id += 1
        partitions = {TP(*tp) for tp in assigned}
        await self._consumer.on_partitions_assigned(partitions, app.consumer_generation_id)


def _kafka_consumer(consumer: BatchConsumer, limits: FetchLimits) -> AIOKafkaConsumer:
    conf, transport = consumer.app.conf, consumer.transport
    return AIOKafkaConsumer(
        client_id=conf.broker_client_id,
        group_id=conf.id,
        group_instance_id=conf.consumer_group_instance_id,
        bootstrap_servers=driver.server_list(transport.url, driver.Transport.default_port),
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset=conf.consumer_auto_offset_reset,
        max_poll_records=limits.records_max,
        max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1_000),
        max_partition_fetch_bytes=conf.consumer_max_fetch_size,
        fetch_max_bytes=limits.fetch_bytes_max,
        fetch_max_wait_ms=limits.fetch_wait_ms,
        request_timeout_ms=int(conf.broker_request_timeout * 1_000),
        check_crcs=conf.broker_check_crcs,
        session_timeout_ms=int(conf.broker_session_timeout * 1_000),
        rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1_000),
        heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1_000),
        metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
        **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
    )


async def _leave(kafka: AIOKafkaConsumer) -> None:
    """Leave, also when the broker is away, where aiokafka's own stop fails half way.

    A member with a name would not say that it leaves, and keep its partitions from the others
    until its session runs out; one that stops by itself says so.
    """
    coordinator, fetcher, client = kafka._coordinator, kafka._fetcher, kafka._client  # noqa: SLF001 (see `internals`)
    coordinator._group_instance_id = None  # noqa: SLF001 (see `internals`)
    try:
        await shutdown.bounded(kafka.stop(), within_s=LEAVE_WAIT_S)
    except (KafkaError, OSError, TimeoutError) as error:
        log.info("left without the broker's word", extra={"error": repr(error)})
        for close in (
            coordinator._stop_heartbeat_task,  # noqa: SLF001 (see `internals`)
            coordinator._stop_commit_offsets_refresh_task,  # noqa: SLF001 (see `internals`)
            fetcher.close,
            client.close,
        ):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await shutdown.bounded(close(), within_s=LEAVE_WAIT_S)
