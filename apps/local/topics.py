"""Topics on a broker: made when missing, and how far each partition reaches.

Topics are made from the declaration in `analytics.contracts.topics` by whoever starts first; a
topic that exists already, made by another process a moment ago too, is left as it is. A broker that
does not answer within `BROKER_WAIT_MS` is `BrokerAway`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from analytics.contracts import topics
from analytics.contracts.errors import BrokerAway
from analytics.contracts.topics import Topic

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient

BROKER_WAIT_MS: Final = 20_000
"""How long a broker that is still starting is waited for."""
RETRY_MS: Final = 100
REQUEST_MS: Final = 10_000
FETCH_WAIT_MS: Final = 5_000
"""How long the last records are waited for, to see where partitions end."""
EXISTS: Final = 36
"""Kafka's error code TOPIC_ALREADY_EXISTS."""
DAY_MS: Final = 86_400_000

log = logging.getLogger(__name__)


class PartitionRange(Struct, frozen=True, kw_only=True):
    """What one partition of a log holds: records from `first` up to, not including, `end`."""

    topic: str
    partition: int
    first: int
    end: int


async def ensure_topics(
    broker: str, *, partitions: int | None = None, replication: int = 1
) -> tuple[str, ...]:
    """Make the declared topics that `broker` lacks; return the addresses of those it made.

    `partitions` overrides the declared width of all but single-partition topics.
    """
    async with _admin(broker) as admin:
        there = set(await admin.list_topics())
        missing = [topic for topic in topics.ALL if topic.address not in there]
        if not missing:
            return ()
        return await _create(admin, missing, partitions=partitions, replication=replication)


async def cluster_id(broker: str) -> str:
    """Return the id of the broker's cluster: another id is another log."""
    async with _admin(broker) as admin:
        described = await admin.describe_cluster()
    return str(described["cluster_id"])


async def reaches(broker: str, addresses: Iterable[str] | None = None) -> list[PartitionRange]:
    """Return how far each partition of these topics reaches; missing topics are left out."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    wanted = set(addresses if addresses is not None else (t.address for t in topics.ALL))
    async with _admin(broker) as admin:
        there = sorted(wanted & set(await admin.list_topics()))
        described = await admin.describe_topics(there) if there else []
    pairs = [
        TopicPartition(topic["topic"], part["partition"])
        for topic in described
        for part in topic["partitions"]
    ]
    if not pairs:
        return []
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, request_timeout_ms=REQUEST_MS)
    await consumer.start()
    try:
        first = await consumer.beginning_offsets(pairs)
        end = await consumer.end_offsets(pairs)
        end |= await _fetched_ends(
            consumer, {pair for pair in pairs if end[pair] > first[pair]}, end
        )
    finally:
        await consumer.stop()
    return [
        PartitionRange(topic=pair.topic, partition=pair.partition, first=first[pair], end=end[pair])
        for pair in sorted(pairs)
    ]


async def _fetched_ends(
    consumer: "AIOKafkaConsumer", pairs: "set[TopicPartition]", listed: "dict[TopicPartition, int]"
) -> "dict[TopicPartition, int]":
    """Return where these partitions end by what a fetch of the last listed record says.

    Tansu lists an end that leaves out all but the first record of the last batch.
    """
    consumer.assign(list(pairs))
    for pair in pairs:
        consumer.seek(pair, listed[pair] - 1)
    until = time.monotonic() + FETCH_WAIT_MS / 1_000
    unknown = set(pairs)
    while unknown and time.monotonic() < until:
        await consumer.getmany(*unknown, timeout_ms=RETRY_MS)
        unknown = {pair for pair in unknown if consumer.highwater(pair) is None}
    return {pair: max(listed[pair], consumer.highwater(pair)) for pair in pairs - unknown}


async def _create(
    admin: "AIOKafkaAdminClient",
    missing: list[Topic],
    *,
    partitions: int | None,
    replication: int,
) -> tuple[str, ...]:
    from aiokafka.admin import NewTopic

    wanted = [
        NewTopic(
            name=topic.address,
            num_partitions=_width(topic, partitions),
            replication_factor=replication,
            topic_configs={"retention.ms": str(topic.retention_days * DAY_MS)},
        )
        for topic in missing
    ]
    answer = await admin.create_topics(wanted, timeout_ms=REQUEST_MS)
    made = []
    for address, code, *rest in answer.topic_errors:
        if code not in {0, EXISTS}:
            reason = rest[0] if rest else f"error {code}"
            raise BrokerAway(f"the broker did not make topic {address!r}: {reason}")
        if code == 0:
            made.append(address)
    return tuple(made)


def _width(topic: Topic, partitions: int | None) -> int:
    return topic.partitions if partitions is None or topic.partitions == 1 else partitions


@asynccontextmanager
async def _admin(broker: str) -> AsyncIterator["AIOKafkaAdminClient"]:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    until = time.monotonic() + BROKER_WAIT_MS / 1000
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker, request_timeout_ms=REQUEST_MS)
        try:
            await admin.start()
            break
        except (KafkaError, OSError) as error:
            await admin.close()
            if time.monotonic() >= until:
                message = f"no Kafka broker answers at {broker!r}; check the address, or start one"
                raise BrokerAway(message) from error
            await asyncio.sleep(RETRY_MS / 1000)
    try:
        yield admin
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"the broker at {broker!r} did not answer: {error!r}") from error
    finally:
        await admin.close()
