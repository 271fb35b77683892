"""The engines of the stream bench that need no peer's package, over a small log in Apache Kafka."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest

from analytics.contracts import topics
from apps.local.topics import ensure_topics
from tests.bench.engines import log as logs
from tests.bench.engines.log import Log
from tests.bench.engines.running import ran
from tests.bench.engines.task import Task
from tests.bench.streams import Compare
from tests.support.broker import started_kafka
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

pytestmark = [pytest.mark.kafka, pytest.mark.embedded]

EVENTS: Final = 6_000
PARTITIONS: Final = 2


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[str, Log]]:
    """Run a broker of one's own with a log in it: a worker reads the topics of the product."""
    before_ms = time.time_ns() // 1_000_000 - 600_000
    log = Log(
        topic=topics.CONNECTIONS.address,
        partitions=PARTITIONS,
        events=EVENTS,
        begin_ms=before_ms - before_ms % 10_000,
    )
    with started_kafka() as running:
        asyncio.run(ensure_topics(running.address, partitions=PARTITIONS))
        logs.send(running.address, log)
        yield running.address, log


@pytest.mark.parametrize(
    "engine",
    ["bare", "bare_copy", "mainstem_fold", "mainstem_once", "mainstem_store", "naive_faust"],
)
def test_an_engine_finds_every_window_there_is(
    engine: str, broker: tuple[str, Log], database_url: str
) -> None:
    address, log = broker
    task = Task(
        broker=address, topic=log.topic, partitions=PARTITIONS, events=log.records, warm=1_000,
        name="", folder="", store_url=database_url,
    )  # fmt: skip

    measured = ran(engine, task)

    assert Compare(logs.truth(log), horizon_ms=log.horizon_ms).complaint(measured.windows) == ""
    assert measured.cpu_s > 0
    assert measured.memory_mib > 10
