"""The limit: a plain loop over aiokafka, with dictionaries of counts and of sketch buckets."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from analytics.measures.sketch import bucket_of
from tests.bench.engines.task import (
    LATENESS_MS,
    WIDTHS_MS,
    Meter,
    Tally,
    Task,
    Window,
    decode,
    window,
)

ABOUT: Final = "aiokafka getmany, msgspec, dict"
DURABILITY: Final = "keeps nothing"
WAIT_MS: Final = 1_000

Key = tuple[str, int, int]
Got = Mapping[TopicPartition, Sequence[Any]]
Take = Callable[[Got], None]


class Windows:
    """Open windows by connection, width and start; each partition closes its own."""

    def __init__(self) -> None:
        self.closed: list[Window] = []
        self._open: dict[int, dict[Key, Tally]] = {}
        self._newest_ms: dict[int, int] = {}

    def add(self, partition: int, records: Sequence[Any]) -> None:
        """Count the records of one partition, and close what is over."""
        tallies = self._open.setdefault(partition, {})
        newest_ms = self._newest_ms.get(partition, 0)
        for record in records:
            event = decode(record.value)
            at_ms = event.at_ms
            newest_ms = max(newest_ms, at_ms)
            bucket = bucket_of(event.duration_ms)
            for width_ms in WIDTHS_MS:
                key = (event.connection_id, width_ms, at_ms - at_ms % width_ms)
                tally = tallies.get(key)
                if tally is None:
                    tally = tallies[key] = Tally()
                tally.count += 1
                buckets = tally.buckets
                buckets[bucket] = buckets.get(bucket, 0) + 1
        self._newest_ms[partition] = newest_ms
        over = [key for key in tallies if key[1] + key[2] <= newest_ms - LATENESS_MS]
        self.closed += [window(*key, tallies.pop(key)) for key in over]


async def consume(task: Task, meter: Meter, take: Take) -> None:
    """Hand all of the log to `take`, as it comes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=task.broker, enable_auto_commit=False)
    partitions = [TopicPartition(task.topic, number) for number in range(task.partitions)]
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while meter.count < task.events:
            got = await consumer.getmany(timeout_ms=WAIT_MS)
            take(got)
            meter.add(sum(map(len, got.values())))
        meter.stop()
    finally:
        await consumer.stop()


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count in a loop."""
    windows = Windows()

    def take(got: Got) -> None:
        for partition, records in got.items():
            windows.add(partition.partition, records)

    asyncio.run(consume(task, meter, take))
    return windows.closed
