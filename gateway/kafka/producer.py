"""aiokafka's producer, fenced: nothing is sent before the broker behind a connection is ready.

A broker that keeps its log in memory comes back empty on the same port, and takes records for
topics it does not have, never to show them again. So every new connection is first prepared
(topics made, the log's identity read); until then the producer sees a node that is not ready and
tries again. Idempotence is used where the broker has it.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    OutOfOrderSequenceNumber,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import MainstemError

BATCH_BYTES: Final = 131_072
"""A batch that has a record takes no more past this; one record alone may be larger."""
KEYS_MAX: Final = 65_536
"""Keys of a topic whose partition is remembered."""

SPOILING: Final = (OutOfOrderSequenceNumber, UnknownProducerId)
"""What the broker says of a producer that lost count: aiokafka gives up a batch that waited too
long, and its number with it, so that every batch of that partition is refused from then on."""

Prepare = Callable[[], Awaitable[str]]
"""Makes sure that the broker has our topics; returns the id of its log (the cluster's)."""
Sign = Callable[[Record], Record]
"""Returns a record as it is put on its topic, with a signature where there is a key."""

log = logging.getLogger(__name__)


class Delivery(Protocol):
    """What sending gives back: done once the broker acknowledged, or failed."""

    def add_done_callback(self, callback: Callable[["Delivery"], object], /) -> None:
        """Call back once it is done."""
        ...

    def cancelled(self) -> bool:
        """Say whether it was given up."""
        ...

    def exception(self) -> BaseException | None:
        """Return what went wrong, if anything."""
        ...


class Partitions:
    """Where the keys of a topic go: by murmur2, as with every client of Kafka."""

    def __init__(self, there: list[int]) -> None:
        self.there = there
        self._known: dict[bytes, int] = {}

    def of(self, key: bytes) -> int:
        """Return the partition of a key."""
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KEYS_MAX:
                self._known.clear()
            known = self.there[(murmur2(key) & 0x7FFFFFFF) % len(self.there)]
            self._known[key] = known
        return known


class RecordBatch:
    """Records that leave together, to one partition."""

    def __init__(self, builder: BatchBuilder) -> None:
        self._builder = builder
        self._append = builder.append

    def add(self, record: Record) -> bool:
        """Add a record, and say whether it fits; the first one always does."""
        added = self._append(
            timestamp=None, key=record.key, value=record.value, headers=list(record.headers)
        )
        return added is not None

    def closed(self) -> BatchBuilder:
        """Return it with no more to come: it does not wait to be filled."""
        self._builder.close()
        return self._builder


class FencedProducer:
    """One producer from its first connection to its last."""

    def __init__(
        self,
        broker: str,
        *,
        prepare: Prepare,
        on_log: Callable[[str], None],
        request_timeout_ms: int,
        idempotent: bool,
    ) -> None:
        """`on_log` is told the id of the log each time a connection was prepared."""
        self._prepare = prepare
        self._on_log = on_log
        self._prepared: dict[object, AIOKafkaConnection] = {}
        self._spoiled = False
        self._partitions: dict[str, Partitions] = {}
        self._producer = AIOKafkaProducer(
            bootstrap_servers=broker,
            acks="all",
            enable_idempotence=idempotent,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=request_timeout_ms,
            retry_backoff_ms=100,
        )
        self._client = self._producer.client
        self._ready_unfenced = self._client.ready
        self._client.ready = self._ready

    async def start(self) -> None:
        """Connect; raise `KafkaError` or `Unavailable` if the broker is not ready."""
        await self._producer.start()
        if not await self.probe():
            raise KafkaConnectionError("the broker answers and is not ready")

    async def partitions(self, topic: str) -> "Partitions":
        """Return which key goes where; raise `KafkaError` if the broker does not say."""
        there = sorted(await self._producer.partitions_for(topic))
        known = self._partitions.get(topic)
        if known is None or known.there != there:
            known = self._partitions[topic] = Partitions(there)
        return known

    def batch(self) -> "RecordBatch":
        """Return a batch to be filled."""
        return RecordBatch(self._producer.create_batch())

    async def send(self, batch: "RecordBatch", topic: str, *, partition: int) -> Delivery:
        """Send a batch; what comes back is done once the broker acknowledged all of it."""
        if partition not in (await self.partitions(topic)).there:
            raise UnknownTopicOrPartitionError(f"{topic} has no partition {partition}")
        builder = batch.closed()
        delivery: Delivery = await self._producer.send_batch(builder, topic, partition=partition)
        return delivery

    async def probe(self) -> bool:
        """Say whether the broker answers and has our topics."""
        node = self._client.get_random_node()
        return (
            node is not None
            and await self._client.ready(node)
            and bool(await self._client.force_metadata_update())
        )

    def note(self, error: BaseException) -> None:
        """Take notice of why a record was not delivered; see `SPOILING`."""
        self._spoiled = self._spoiled or isinstance(error, SPOILING)

    @property
    def alive(self) -> bool:
        """Whether records still leave; one that was fenced off, or spoiled, does not recover."""
        sender = self._producer._sender.sender_task  # noqa: SLF001 - no public way to see it die
        return sender is not None and not (sender.done() or self._spoiled)

    async def stop(self) -> None:
        """Flush, as long as it takes, and disconnect."""
        await self._producer.stop()

    async def abandon(self) -> None:
        """Disconnect without waiting for what was sent."""
        await self._producer._sender.close()  # noqa: SLF001 - `stop` waits for the broker
        await self._client.close()

    async def _ready(self, node_id: object, **options: object) -> bool:
        if not await self._ready_unfenced(node_id, **options):
            return False
        held = self._connection(node_id)
        if held is None or self._prepared.get(node_id) is held:
            return held is not None
        try:
            log_id = await self._prepare()
        except (KafkaError, MainstemError, OSError) as error:
            log.warning("broker not prepared", extra={"reason": str(error)})
            return False
        if self._connection(node_id) is not held:
            return False
        self._prepared[node_id] = held
        self._on_log(log_id)
        return True

    def _connection(self, node_id: object) -> AIOKafkaConnection | None:
        for (node, _group), connection in self._client._conns.items():  # noqa: SLF001 - the fence
            if node == node_id and connection.connected():
                return connection
        return None
