"""Results on their topic after a run with faults: of every closed window, the last word is right.

At least once and in revisions: a window may be told of again, whole, and two records of one
revision must say the same. What it must say is what the store has on time for it, from all
partitions; rows apart are told of nowhere.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from analytics.contracts import events, topics
from analytics.contracts.result_events import WindowClosed
from apps.local.topics import reaches
from tests.support.faults_truth import (
    MEASURED,
    SHOWN_MAX,
    WIDTHS_MS,
    Windows,
    different,
    stored,
)

FIELDS: Final = (
    "project", "session_id", "agent", "model", "tool", "skill", "query_source", "kind",
)  # fmt: skip
FETCH_MS: Final = 500
UNSETTLED: Final = """
select (select count(*) from outbox)
     + (select count(*) from window_10s
         where not closed and start_at <= to_timestamp(%(before_ms)s / 1000.0 - 10))
     + (select count(*) from window_1m
         where not closed and start_at <= to_timestamp(%(before_ms)s / 1000.0 - 60))
"""

Window = tuple[tuple[str, ...], int, int]
"""Tenant, grain and dimensions; start; width."""


class Told(Struct, frozen=True, kw_only=True):
    """How the result topic compares with the store."""

    records: int
    windows: int
    """Windows that were told of."""
    revised: int
    """How many of them more than once, with more."""
    wrong: tuple[str, ...]


def is_settled(store_url: str, *, before_ms: int) -> bool:
    """Say whether windows that ended by then are closed, and all sent that is to be sent."""
    with psycopg.connect(store_url, autocommit=True) as db:
        return db.execute(UNSETTLED, {"before_ms": before_ms}).fetchone() == (0,)


async def told(broker: str) -> Mapping[Window, list[WindowClosed]]:
    """Return every window on the result topic, with what was said of it, in order."""
    said: dict[Window, list[WindowClosed]] = defaultdict(list)
    ends = {
        TopicPartition(reach.topic, reach.partition): reach.end
        for reach in await reaches(broker, [topics.METRICS.address])
    }
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(ends))
        await consumer.seek_to_beginning(*ends)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=FETCH_MS)).values():
                for record in batch:
                    event = events.decode(record.value)
                    assert isinstance(event, WindowClosed), event
                    said[_window(event)].append(event)
    finally:
        await consumer.stop()
    return said


def compare_told(
    said: Mapping[Window, list[WindowClosed]], store_url: str, *, before_ms: int
) -> Told:
    """Compare the last word on windows that ended by then with what the store has on time."""
    wrong = [line for window, words in said.items() for line in _contradictions(window, words)]
    told_of: Counter[tuple[object, ...]] = Counter()
    for (series, start_ms, width_ms), words in said.items():
        if series[1] in {"fleet", "session"} and start_ms + width_ms <= before_ms:
            whose = series[:-1]  # of no type of event
            for name, amount in _amounts(max(words, key=lambda one: one.revision)):
                told_of[whose, start_ms, width_ms, name] += amount
    kept: Counter[tuple[object, ...]] = Counter()
    with psycopg.connect(store_url, autocommit=True) as db:
        for table, width_ms in WIDTHS_MS.items():
            on_time = f"(select * from {table} where batch_offset = -1) as on_time"
            found: Windows = stored(db, on_time)
            for (whose, start_ms, what), amount in found.items():
                if isinstance(what, str) and start_ms + width_ms <= before_ms:
                    kept[whose, start_ms, width_ms, what] += amount
    wrong += (
        f"result {key}: the store has {kept[key]}, told was {told_of[key]}"
        for key in different(kept, told_of)
    )
    return Told(
        records=sum(map(len, said.values())),
        windows=len(said),
        revised=sum(any(one.revision for one in words) for words in said.values()),
        wrong=tuple(wrong[:SHOWN_MAX]),
    )


def _contradictions(window: Window, words: list[WindowClosed]) -> Iterator[str]:
    for revision in {one.revision for one in words}:
        same = [one for one in words if one.revision == revision]
        if any(one != same[0] for one in same):
            yield f"revision {revision} of {window} was told in {len(same)} ways"


def _amounts(event: WindowClosed) -> Iterator[tuple[str, int]]:
    for name in MEASURED:
        if amount := event.measures.get(name, 0):
            yield name, amount


def _window(event: WindowClosed) -> Window:
    dimensions = (event.dimensions.get(name, "") for name in FIELDS)
    return (event.tenant, event.grain, *dimensions), event.start_ms, event.width_ms
