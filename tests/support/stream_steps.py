"""Batches, recipes and steps for tests of the worker without Faust."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from analytics.contracts import cloudevents, topics
from analytics.contracts.events import Event
from analytics.measures.fold import Arrival, FoldRules
from analytics.measures.prices import PriceTable
from streams.consumer.deserialising import ConsumedRecord
from streams.consumer.partition_processor import PartitionStep, Stored, TopicSource
from streams.consumer.topology import recipes
from tests.support import facts
from tests.support.checkpoint_memory import MemoryCheckpoint

LOG: Final = "cluster-a"
TURNS_MAX: Final = 100_000
RULES: Final = FoldRules(lateness_ms=5_000, idle_ms=8_000)
RECIPES: Final = recipes(PriceTable({}), RULES)
AGENTS: Final = RECIPES[topics.AGENTS.address]


class Written(Struct, frozen=True):
    """A record as a consumer hands it over."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes = b""
    headers: tuple[tuple[str, bytes], ...] = ()


class Item(Struct, frozen=True):
    """A batch as the assignment takes it."""

    log_id: str
    topic: str
    partition: int
    first_offset: int
    next_offset: int
    records: Sequence[ConsumedRecord]
    size: int = 1


def written(made: Sequence[Event | bytes], *, first_offset: int = 0) -> list[Written]:
    """Return events, or bytes that are none, as records one after the other."""
    records = []
    for number, one in enumerate(made):
        if isinstance(one, bytes):
            records.append(Written(first_offset + number, facts.T0_MS, one))
            continue
        record = cloudevents.record(one)
        records.append(
            Written(first_offset + number, one.at_ms, record.value, record.key, record.headers)
        )
    return records


def item(
    made: Sequence[Event | bytes],
    *,
    first_offset: int = 0,
    partition: int = 0,
    topic: str = topics.AGENTS.address,
    log_id: str = LOG,
) -> Item:
    """Return a batch of these events."""
    records = written(made, first_offset=first_offset)
    return Item(log_id, topic, partition, first_offset, first_offset + len(records), records)


def step(
    checkpoints: MemoryCheckpoint,
    *,
    recipe: TopicSource[Arrival] = AGENTS,
    log_id: str = LOG,
    stored: Callable[[Stored], None] = lambda _: None,
) -> PartitionStep:
    """Return the step of partition 0."""
    return PartitionStep(
        recipe, checkpoints, log_id=log_id, partition=0, stored=stored, stopwatch=lambda: 0.0
    )


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds, bounded."""
    for _ in range(TURNS_MAX):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never held")
