"""A log that went back under the same cluster id: said, not read on, and read anew when told to."""

import time
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from analytics.contracts import topics
from apps.local.topics import ensure_topics
from tests.integration.streams.test_worker import EVENTS, requests_of
from tests.support.broker import RunningBroker, started_kafka
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import WAIT_S, count, publish, running, settings, until

__all__ = ["database_url", "migrated_template", "postgres"]

PARTITIONS = 2


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    """Run a broker for one test alone."""
    with started_kafka() as running_broker:
        yield running_broker


async def _made_anew(address: str) -> None:
    """Delete the topic of agents and make it again: a log that begins at offset 0 once more."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.delete_topics([topics.AGENTS.address])
        end = time.monotonic() + WAIT_S
        while topics.AGENTS.address in await admin.list_topics():
            assert time.monotonic() < end, "the topic was not deleted"
    finally:
        await admin.close()
    await ensure_topics(address, partitions=PARTITIONS)


@pytest.mark.kafka
@pytest.mark.requirement("log-that-went-back")
@pytest.mark.parametrize("again", [40, 400], ids=["shorter", "longer"])
async def test_a_log_made_anew_under_the_same_cluster_is_said_and_read_when_told_to(
    broker: RunningBroker, database_url: str, again: int
) -> None:
    told = settings(broker.address, database_url, partitions=PARTITIONS)
    await ensure_topics(broker.address, partitions=PARTITIONS)
    async with running(told):
        await publish(broker.address, requests_of(200))
        await until(lambda: count(database_url, EVENTS) == 200)
    await _made_anew(broker.address)
    await publish(broker.address, requests_of(again, prefix="new"))

    async with running(told) as worker:
        await until(lambda: "log:" in worker.progress.waiting)
        said, standing = worker.progress.waiting, worker.progress.standing()
    stored = count(database_url, EVENTS)
    anew = settings(broker.address, database_url, partitions=PARTITIONS, log_generation=1)
    async with running(anew):
        await until(lambda: count(database_url, EVENTS) == 200 + again)

    assert "MAINSTEM_STREAMS_LOG_GENERATION" in said
    assert (standing.live, standing.ready) == (True, False)
    assert stored == 200
    assert count(database_url, "select count(distinct id) from events") == 200 + again
