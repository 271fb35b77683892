"""A worker over a real broker and a real store."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer

from analytics.contracts import dead_letters, events, topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.events import Event
from analytics.contracts.ids import TenantId
from analytics.contracts.result_events import WindowClosed
from apps.local.topics import ensure_topics
from tests.support import facts
from tests.support.broker import RunningBroker, kafka, started_kafka, started_tansu, tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import WAIT_S, count, publish, rows, running, settings, until

__all__ = ["database_url", "kafka", "migrated_template", "postgres", "tansu"]

EVENTS: Final = "select count(*) from events"
CALLS: Final = """
select sum(calls) from window_1m join series using (series_id) where grain = 'fleet'
"""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def requests_of(number: int, *, prefix: str = "e", tokens: int = 10) -> list[Event]:
    """Return requests that happen about now, over seven sessions."""
    at_ms = _now_ms()
    return [
        facts.request(
            f"{prefix}r{n}",
            id=f"{prefix}{n}",
            session_id=f"{prefix}s{n % 7}",
            at_ms=at_ms + n % 50,
            input_tokens=tokens,
        )
        for n in range(number)
    ]


@pytest.fixture(params=["tansu", pytest.param("kafka", marks=pytest.mark.kafka)])
def fresh_broker(request: pytest.FixtureRequest) -> Iterator[RunningBroker]:
    """Run a broker for one test alone."""
    with started_tansu() if request.param == "tansu" else started_kafka() as broker:
        yield broker


@pytest.mark.embedded
@pytest.mark.requirement("counted-once-by-id")
@pytest.mark.requirement("counted-once-on-replay")
async def test_events_of_every_topic_are_stored_once_across_a_restart(
    fresh_broker: RunningBroker, database_url: str
) -> None:
    told = settings(fresh_broker.address, database_url)
    first, second = requests_of(300), requests_of(50, prefix="later")
    others: list[Event] = [
        facts.fact(events.ConnectionOpened, id="c1", at_ms=_now_ms()),
        facts.fact(events.ReviewRequested, id="v1", at_ms=_now_ms()),
    ]

    async with running(told):
        await publish(fresh_broker.address, [*first, *others])
        await until(lambda: count(database_url, EVENTS) == 302)
    await publish(fresh_broker.address, [*first[:100], *second])
    async with running(told):
        await until(lambda: count(database_url, EVENTS) == 352)
        await until(
            lambda: count(database_url, "select sum(duplicate_count) from checkpoints") == 100
        )

    assert count(database_url, "select count(distinct id) from events") == 352
    assert count(database_url, CALLS) == 350
    assert count(database_url, "select sum(calls) from sessions") == 350
    assert count(database_url, "select sum(input_tokens) from sessions") == 3_500


@pytest.mark.embedded
@pytest.mark.requirement("unreadable-dead-letter")
async def test_what_cannot_be_read_becomes_a_dead_letter_and_the_partition_goes_on(
    fresh_broker: RunningBroker, database_url: str
) -> None:
    told = settings(fresh_broker.address, database_url)
    address = topics.AGENTS.address
    source = (("ce_source", b"/tenants/acme/hook"),)
    bad = Record(topic=address, key=b"k", value=b"\xff{", headers=source)
    astray = facts.fact(events.ConnectionOpened, id="astray", at_ms=_now_ms())
    wrong = Record(topic=address, key=b"k", value=events.encode(astray), headers=())
    good = facts.request("r", id="good", session_id="k", at_ms=_now_ms())
    refused = dead_letters.record(
        b"nope", reason="no JSON", origin="hooks", tenant=TenantId("acme")
    )

    async with running(told):
        await publish(fresh_broker.address, [bad, wrong, good, refused])
        await until(lambda: count(database_url, EVENTS) == 1)
        await until(lambda: count(database_url, "select count(*) from dead_letters") == 3)

    stored = rows(
        database_url,
        "select topic, tenant, origin, reason, payload from dead_letters"
        " order by topic, log_offset",
    )
    assert stored[0][:3] == (address, "acme", "worker")
    assert bytes(stored[0][4]) == b"\xff{"
    assert "belongs on mainstem.connections.v1" in str(stored[1][3])
    assert stored[2][:4] == (topics.DEAD_LETTERS.address, "acme", "hooks", "no JSON")


@pytest.mark.embedded
@pytest.mark.requirement("new-log-starts-anew")
@pytest.mark.requirement("acknowledged-kept")
async def test_a_broker_that_comes_back_as_a_new_log_loses_and_hides_nothing(
    database_url: str,
) -> None:
    with started_tansu() as before:
        port = int(before.address.rsplit(":", 1)[1])
        told = settings(before.address, database_url)
        async with running(told):
            await publish(before.address, requests_of(200))
            await until(lambda: count(database_url, EVENTS) == 200)
            before.process.kill()
            before.process.wait()
            with started_tansu(port) as after:
                await ensure_topics(after.address, partitions=4)
                await publish(after.address, requests_of(500, prefix="new"))
                await until(lambda: count(database_url, EVENTS) == 700)
                await publish(after.address, requests_of(20))
                await until(
                    lambda: (
                        count(database_url, "select sum(duplicate_count) from checkpoints") == 20
                    )
                )

    assert count(database_url, "select count(distinct id) from events") == 700
    assert count(database_url, CALLS) == 700
    agents = "select count(distinct cluster_id) from logs where topic = %s"
    assert count(database_url, agents, topics.AGENTS.address) == 2


@pytest.mark.embedded
async def test_a_worker_whose_broker_is_gone_stops_and_leaves_nothing_running(
    database_url: str,
) -> None:
    with started_tansu() as broker:
        before = asyncio.all_tasks()
        async with running(settings(broker.address, database_url)):
            await publish(broker.address, requests_of(200))
            await until(lambda: count(database_url, EVENTS) == 200)
            broker.process.kill()
            broker.process.wait()

        left = [repr(task.get_coro()) for task in asyncio.all_tasks() - before]
        # aiokafka's accumulator waits, and does nothing.
        assert [one for one in left if "MessageAccumulator.close" not in one] == []


@pytest.mark.embedded
@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_two_workers_share_the_partitions_and_one_takes_over_when_the_other_leaves(
    fresh_broker: RunningBroker, database_url: str
) -> None:
    told = settings(fresh_broker.address, database_url)

    async with running(told):
        async with running(told):
            await publish(fresh_broker.address, requests_of(200))
            await until(lambda: count(database_url, EVENTS) == 200)
            await publish(fresh_broker.address, requests_of(200, prefix="b"))
        await publish(fresh_broker.address, requests_of(200, prefix="c"))
        await until(lambda: count(database_url, EVENTS) == 600)

    assert count(database_url, "select count(distinct id) from events") == 600
    assert count(database_url, CALLS) == 600


@pytest.mark.embedded
async def test_a_store_that_is_away_is_waited_for_without_a_restart(
    tansu: RunningBroker, database_url: str, postgres: str
) -> None:
    told = settings(tansu.address, database_url, group="store-away")
    name = database_url.rsplit("/", 1)[1]
    before = count(database_url, EVENTS)

    async with running(told) as worker:
        await publish(tansu.address, requests_of(20, prefix="x"))
        await until(lambda: count(database_url, EVENTS) >= before + 20)
        _shut(postgres, name)
        await publish(tansu.address, requests_of(20, prefix="y"))
        await until(lambda: worker.progress.standing().waiting != "")
        assert worker.progress.standing().live
        _open(postgres, name)
        await until(lambda: count(database_url, EVENTS) >= before + 40)
        await until(lambda: worker.progress.standing().ready)


def _shut(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f"alter database {name} with allow_connections false".encode())
        db.execute(
            b"select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
        )


def _open(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(f"alter database {name} with allow_connections true".encode())


@pytest.mark.embedded
@pytest.mark.requirement("results-published")
async def test_closed_windows_are_published_with_ids_that_a_repeat_keeps(
    fresh_broker: RunningBroker, database_url: str
) -> None:
    told = settings(fresh_broker.address, database_url, idle_ms=1_000, lateness_ms=0)
    old = [
        facts.request(f"r{n}", id=f"e{n}", session_id="s", at_ms=_now_ms() - 30_000)
        for n in range(5)
    ]
    async with running(told):
        await publish(fresh_broker.address, old)
        consumer = AIOKafkaConsumer(
            topics.METRICS.address,
            bootstrap_servers=fresh_broker.address,
            auto_offset_reset="earliest",
            metadata_max_age_ms=1_000,
        )
        await consumer.start()
        try:
            first = await asyncio.wait_for(consumer.getone(), WAIT_S)
            await until(lambda: count(database_url, "select count(*) from outbox") == 0)
        finally:
            await consumer.stop()

    event = events.decode(first.value)
    assert isinstance(event, WindowClosed)
    assert event.width_ms == 10_000
    assert event.measures["calls"] == 5
