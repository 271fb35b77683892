"""Windows of the whole fleet, over a real broker: many partitions, one result."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer

from analytics.contracts import events, topics
from analytics.contracts.agent_events import RequestFinished
from analytics.contracts.result_events import WindowClosed
from analytics.measures import sketch
from analytics.measures.rows import WIDTHS_MS
from tests.support import facts
from tests.support.broker import RunningBroker, started_kafka, started_tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import WAIT_S, count, publish, running, settings, until

__all__ = ["database_url", "migrated_template", "postgres"]

REQUESTS: Final = 300
SPAN_MS: Final = 90_000
Window = tuple[str, int, int]
"""Model, width and start."""
Counted = tuple[int, int, bytes]
"""Calls, tokens and the sketch of durations."""


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
    requests = _requests()
    truth = _truth(requests)

    async with running(told), running(told):
        await publish(broker.address, requests)
        await until(lambda: count(database_url, "select count(*) from events") == REQUESTS)
        results: list[WindowClosed] = []
        async with asyncio.timeout(WAIT_S):
            async for result in _results(broker.address):
                results.append(result)
                if _last(results) == truth:
                    break

    ids = {(one.id, one.revision, len(one.measures)) for one in results}
    assert len(ids) == len({one.id for one in results})
    assert max(one.sources for one in results) > 1
    assert count(database_url, "select count(*) from window_10s where not closed") == 0
    assert count(database_url, "select count(distinct partition) from window_10s") > 1


def _requests() -> list[RequestFinished]:
    """Return requests of two models and 13 sessions, in order, whose windows are all over."""
    newest_ms = time.time_ns() // 60_000_000_000 * 60_000
    return [
        facts.fact(
            RequestFinished,
            id=f"e{n}",
            request_id=f"r{n}",
            session_id=f"s{n % 13}",
            at_ms=newest_ms - SPAN_MS + n * SPAN_MS // REQUESTS,
            model=f"m{n % 2}",
            input_tokens=n,
            duration_ms=n * 10,
        )
        for n in range(REQUESTS)
    ]


def _truth(requests: Sequence[RequestFinished]) -> dict[Window, Counted]:
    """Count them one by one, without partitions, batches or watermarks."""
    found: dict[Window, tuple[int, int, sketch.Counts]] = {}
    for one in requests:
        for width_ms in WIDTHS_MS:
            window = (one.model, width_ms, one.at_ms - one.at_ms % width_ms)
            calls, tokens, durations = found.get(window, (0, 0, {}))
            sketch.add(durations, one.duration_ms or 0)
            found[window] = (calls + 1, tokens + one.input_tokens, durations)
    return {
        window: (calls, tokens, sketch.to_bytes(durations))
        for window, (calls, tokens, durations) in found.items()
    }


def _last(results: Sequence[WindowClosed]) -> dict[Window, Counted]:
    """Return what the last revision of each window says."""
    return {
        (one.dimensions["model"], one.width_ms, one.start_ms): (
            one.measures["calls"],
            one.measures.get("input_tokens", 0),
            one.latency,
        )
        for one in sorted(results, key=lambda one: one.revision)
    }


async def _results(broker: str) -> AsyncIterator[WindowClosed]:
    """Give the results of the whole fleet as they come."""
    consumer = AIOKafkaConsumer(
        topics.METRICS.address,
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        metadata_max_age_ms=1_000,
    )
    await consumer.start()
    try:
        async for record in consumer:
            event = events.decode(record.value)
            assert isinstance(event, WindowClosed)
            if event.grain == "fleet":
                yield event
    finally:
        await consumer.stop()
