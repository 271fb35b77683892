"""The publisher on a real broker for tests, and what landed there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from apps.local.topics import cluster_id, ensure_topics, reaches
from gateway.kafka.publisher_kafka import Bounds, KafkaPublisher

PARTITIONS = 4


class Landed(Struct, frozen=True):
    """One record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    at_ms: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def bounds(**changed: int) -> Bounds:
    """Return limits that suit a test, with changes."""
    limits = {
        "records_max": 10_000,
        "bytes_max": 32_000_000,
        "event_bytes_max": 1_000_000,
        "recent_ids_max": 10_000,
        "ack_ms": 5_000,
        "linger_ms": 1,
        "drain_ms": 5_000,
    }
    return Bounds(**{**limits, **changed})


@asynccontextmanager
async def publisher_on(address: str, **changed: int) -> AsyncIterator[KafkaPublisher]:
    """Run a publisher on the broker at `address`."""

    async def prepare() -> str:
        await ensure_topics(address, partitions=PARTITIONS)
        return await cluster_id(address)

    publisher = KafkaPublisher(address, prepare=prepare, bounds=bounds(**changed))
    publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def landed(address: str) -> list[Landed]:
    """Return all records of our topics, oldest first; those of one partition in their order."""
    ends = {
        TopicPartition(reach.topic, reach.partition): reach.end
        for reach in await reaches(address)
        if reach.end
    }
    if not ends:
        return []
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(ends))
        await consumer.seek_to_beginning(*ends)
        found: list[Landed] = []
        while any([await consumer.position(pair) < end for pair, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                found += [
                    Landed(
                        one.topic, one.partition, one.offset, one.timestamp, one.key, one.value,
                        tuple(one.headers),
                    )
                    for one in batch
                ]  # fmt: skip
    finally:
        await consumer.stop()
    return sorted(found, key=lambda one: (one.at_ms, one.topic, one.partition, one.offset))
