"""Windows of the whole fleet, over a real broker: many partitions, one result."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer

from analytics.contracts import events, topics
from analytics.contracts.events import WindowClosed
from tests.integration.streams.test_worker import requests_of
from tests.support.broker import RunningBroker, started_kafka, started_tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import WAIT_S, count, publish, running, settings, until

__all__ = ["database_url", "migrated_template", "postgres"]

REQUESTS: Final = 300


@pytest.fixture(params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Iterator[RunningBroker]:
    """Run a broker for one test alone."""
    with started_tansu() if request.param == "tansu" else started_kafka() as running_broker:
        yield running_broker


@pytest.mark.embedded
@pytest.mark.requirement("partials-merge")
@pytest.mark.requirement("results-published")
async def test_windows_that_partitions_share_become_one_result_each_over_two_workers(
    broker: RunningBroker, database_url: str
) -> None:
    told = settings(broker.address, database_url, idle_ms=2_000, lateness_ms=0)

    async with running(told), running(told):
        await publish(broker.address, requests_of(REQUESTS))
        await until(lambda: count(database_url, "select count(*) from events") == REQUESTS)
        results = await _results(broker.address)

    last: dict[tuple[object, ...], WindowClosed] = {}
    for one in results:
        window = (*sorted(one.dimensions.items()), one.width_ms, one.start_ms)
        if window not in last or last[window].revision < one.revision:
            last[window] = one
    assert len({one.id for one in results}) == len({(o.id, o.revision) for o in results})
    assert max(one.sources for one in last.values()) > 1
    calls: Counter[int] = Counter()
    for one in last.values():
        calls[one.width_ms] += one.measures["calls"]
    assert calls[10_000] == REQUESTS
    partitions = "select count(distinct partition) from window_10s where not closed"
    assert count(database_url, partitions) == 0


async def _results(broker: str) -> list[WindowClosed]:
    """Return the results of the fleet, once all of its 10-second windows were told of."""
    consumer = AIOKafkaConsumer(
        topics.METRICS.address,
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        metadata_max_age_ms=1_000,
    )
    await consumer.start()
    try:
        found: list[WindowClosed] = []
        async with asyncio.timeout(WAIT_S):
            while _calls(found) < REQUESTS:
                record = await consumer.getone()
                event = events.decode(record.value)
                assert isinstance(event, WindowClosed)
                if event.grain == "fleet":
                    found.append(event)
        return found
    finally:
        await consumer.stop()


def _calls(found: list[WindowClosed]) -> int:
    last = {
        (*sorted(one.dimensions.items()), one.start_ms): one.measures["calls"]
        for one in sorted(found, key=lambda one: one.revision)
        if one.width_ms == 10_000
    }
    return sum(last.values())
