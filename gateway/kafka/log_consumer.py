"""aiokafka's consumer as it suits channels: no group, partitions by hand, and one known log.

It is started against one log and says by `same` whether its connections still lead to that one: a
broker cannot be replaced without its connections breaking, so asking again for a new connection is
enough. Nothing is committed. Where a position is gone, fetching raises instead of going elsewhere.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition
from msgspec import Struct

from analytics.contracts.signatures import SignatureRules
from gateway.http.shutdown import bounded

ASK_MS: Final = 3_000
"""How long the broker has to say who it is, or how far a partition reaches."""
STOP_MS: Final = 3_000
RETRY_MS: Final = 100
METADATA_AGE_MS: Final = 30_000
"""How long it may take until partitions that were added are seen."""


class Place(Struct, frozen=True, order=True):
    """One partition of a log."""

    address: str
    partition: int


class OffsetRange(Struct, frozen=True):
    """What the broker lists of a partition: records in `[first, end)`.

    Tansu's `end` may leave out all but the first record of the last batch.
    """

    first: int
    end: int


class LogConsumer:
    """One consumer from `start` to `stop`."""

    def __init__(self, broker: str, *, wait_ms: int, fetch_bytes: int) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=wait_ms,
            max_partition_fetch_bytes=fetch_bytes,
            metadata_max_age_ms=METADATA_AGE_MS,
            request_timeout_ms=max(10_000, wait_ms * 2),
            retry_backoff_ms=RETRY_MS,
        )
        self._known: set[object] = set()
        self._partitioner = DefaultPartitioner()
        self.log_id = ""

    async def start(self) -> None:
        """Connect and ask which log this is; raise `KafkaError` or `TimeoutError`."""
        await self._consumer.start()
        self.log_id = await self._identify()

    async def same(self) -> bool:
        """Say whether the connections still lead to the log that was found at the start."""
        connections = self._connections()
        if connections <= self._known:
            return True
        return await self._identify() == self.log_id

    def reconnected(self) -> bool:
        """Say whether there are connections that were not asked yet."""
        return not self._connections() <= self._known

    async def width(self, address: str) -> int:
        """Return how many partitions a topic has; raise `KafkaError` if it is not there."""
        client = self._consumer._client  # noqa: SLF001 - the public ways know followed topics only
        async with asyncio.timeout(ASK_MS / 1_000):
            cluster = await client.fetch_all_metadata()
        found = cluster.partitions_for_topic(address)
        if not found:
            raise KafkaError(f"there is no topic {address!r}")
        return len(found)

    def width_known(self, address: str) -> int | None:
        """Return how many partitions a topic has by what was heard last."""
        found = self._consumer.partitions_for_topic(address)
        return len(found) if found else None

    def partition_of(self, key: bytes, *, width: int) -> int:
        """Return the partition that producers put records with this key into."""
        everyone = list(range(width))
        return int(self._partitioner(key, everyone, everyone))

    async def spans(self, places: Iterable[Place]) -> dict[Place, OffsetRange]:
        """Return what the broker lists of partitions."""
        pairs = {_pair(place): place for place in places}
        async with asyncio.timeout(ASK_MS / 1_000):
            first = await self._consumer.beginning_offsets(pairs)
            end = await self._consumer.end_offsets(pairs)
        return {place: OffsetRange(first[pair], end[pair]) for pair, place in pairs.items()}

    def go_on(self, positions: Mapping[Place, int]) -> None:
        """Fetch these partitions, each from its position, and no others."""
        self._consumer.assign([_pair(place) for place in positions])
        for place, offset in positions.items():
            self._consumer.seek(_pair(place), offset)

    async def fetch(self, *, wait_ms: int, records_max: int) -> dict[Place, list[ConsumerRecord]]:
        """Return records that came, in order; raise `OffsetOutOfRangeError` where none can."""
        found = await self._consumer.getmany(timeout_ms=wait_ms, max_records=records_max)
        return {Place(pair.topic, pair.partition): records for pair, records in found.items()}

    def end_of(self, place: Place) -> int | None:
        """Return where a partition ended when it was last fetched."""
        end: int | None = self._consumer.highwater(_pair(place))
        return end

    async def stop(self) -> None:
        """Disconnect, within a limit, also where aiokafka's own stop fails half way."""
        try:
            await bounded(self._consumer.stop(), within_ms=STOP_MS)
        finally:
            client = self._consumer._client  # noqa: SLF001 - only a whole `stop` closes it
            await bounded(client.close(), within_ms=STOP_MS)

    async def _identify(self) -> str:
        client = self._consumer._client  # noqa: SLF001 - no public way to ask for the cluster's id
        node = client.get_random_node()
        if node is None:
            raise KafkaError("no broker is known")
        known = self._connections()
        async with asyncio.timeout(ASK_MS / 1_000):
            answer = await client.send(node, MetadataRequest([]))
        self._known = known | self._connections()
        return str(getattr(answer, "cluster_id", "") or "")

    def _connections(self) -> set[object]:
        client = self._consumer._client  # noqa: SLF001 - the connections are what is watched
        return set(client._conns.values())  # noqa: SLF001


def line_values(
    records: Sequence[ConsumerRecord], signatures: SignatureRules
) -> Iterable[tuple[int, bytes]]:
    """Return offset and value of records; of one that is not ours there is no value."""
    for record in records:
        value = record.value or b""
        is_ours = not signatures.refused(record.topic, value, record.headers)
        yield record.offset, value if is_ours else b""


def _pair(place: Place) -> TopicPartition:
    return TopicPartition(place.address, place.partition)
