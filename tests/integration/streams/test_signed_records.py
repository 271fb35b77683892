"""What somebody else puts on the embedded broker is no event of anybody's: with a real one."""

import time
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer

from analytics.contracts import cloudevents, dead_letters, topics
from analytics.contracts.cloudevents import Record
from analytics.contracts.ids import TenantId
from analytics.contracts.signatures import Seal, seal_of, signed
from tests.support import facts
from tests.support.broker import started_tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import count, publish, rows, running, settings, until

__all__ = ["database_url", "migrated_template", "postgres"]

KEY: Final = b"k" * 32
STRANGER: Final = b"s" * 32


def _request(name: str) -> Record:
    return cloudevents.record(
        facts.request(name, id=name, session_id=f"s-{name}", at_ms=time.time_ns() // 1_000_000)
    )


@pytest.mark.embedded
@pytest.mark.requirement("unsigned-is-nobodys")
async def test_what_another_producer_puts_on_the_broker_is_counted_for_no_tenant(
    database_url: str,
) -> None:
    with started_tansu() as broker:
        told = settings(broker.address, database_url, partitions=1)
        forged = dead_letters.record(b"{", reason="r", origin="o", tenant=TenantId("local"))
        parcel = Record(topic=topics.PARTIALS.address, key=b"k", value=b"{}", headers=())
        async with running(told, keys=(KEY,)):
            await publish(
                broker.address,
                [
                    signed(_request("ours-1"), KEY), _request("theirs-1"),
                    signed(_request("theirs-2"), STRANGER), signed(_request("ours-2"), KEY),
                    forged, parcel,
                ],
            )  # fmt: skip
            await until(lambda: count(database_url, "select count(*) from dead_letters") == 4)
            await until(lambda: count(database_url, "select count(*) from events") == 2)
        results = await _results(broker.address)

    assert {name for (name,) in rows(database_url, "select id from events")} == {
        "ours-1", "ours-2",
    }  # fmt: skip
    assert sorted(
        (topic, tenant, reason.split(":")[0])
        for topic, tenant, reason in rows(
            database_url, "select topic, tenant, reason from dead_letters"
        )
    ) == [
        (topics.AGENTS.address, "", "signature missing"),
        (topics.AGENTS.address, "", "signature wrong"),
        (topics.DEAD_LETTERS.address, "", "signature missing"),
        (topics.PARTIALS.address, "", "signature missing"),
    ]
    assert {seal for _, seal in results} <= {Seal.VALID}


async def _results(broker: str) -> list[tuple[str, Seal]]:
    """Return what a worker of ours put on its topics, and whether it is signed."""
    consumer = AIOKafkaConsumer(
        topics.METRICS.address, bootstrap_servers=broker, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        found = await consumer.getmany(timeout_ms=2_000)
    finally:
        await consumer.stop()
    return [
        (record.topic, seal_of(record.topic, record.value or b"", record.headers, keys=(KEY,)))
        for records in found.values()
        for record in records
    ]
