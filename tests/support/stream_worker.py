"""A worker in the test's own loop, over a real broker and a real store."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from aiokafka import AIOKafkaProducer

from analytics.contracts import cloudevents
from analytics.contracts.cloudevents import Record
from analytics.contracts.events import Event
from analytics.contracts.signatures import SignatureRules
from analytics.measures.prices import PriceTable
from apps.local import topics as broker_topics
from streams import agents
from streams.consumer import topology
from streams.consumer.stream import Job, Parts
from streams.consumer.worker import Worker
from streams.settings import StreamsSettings
from streams.store.checkpoint_postgres import open_checkpoint

WAIT_S: Final = 40.0
"""How long a condition is waited for: an embedded broker takes 6 s to give out partitions."""
LOOK_S: Final = 0.02


async def no_jobs() -> None:
    """Do nothing for the store."""


def settings(broker: str, store_url: str, **more: object) -> StreamsSettings:
    """Return settings with short waits."""
    given: dict[str, object] = {
        "broker": broker,
        "store_url": store_url,
        "partitions": 4,
        "retry_wait_ms": 50,
        "retry_wait_ms_max": 500,
        "outbox_wait_ms": 200,
        "tick_ms": 100,
        "rebalance_timeout_s": 1.5,
        "session_timeout_s": 6,
        "heartbeat_s": 0.5,
        "metrics_port": 0,
    }
    return StreamsSettings(**(given | more))  # type: ignore[arg-type] # pydantic checks what is given


@asynccontextmanager
async def running(
    told: StreamsSettings, *, keys: tuple[bytes, ...] = (), jobs: Job = no_jobs
) -> AsyncIterator[Worker]:
    """Run a worker, and stop it in the end as SIGTERM would; with keys it takes signed records."""
    url = told.store_url.get_secret_value()

    async def prepare() -> None:
        await broker_topics.ensure_topics(told.broker, partitions=told.partitions)

    async with open_checkpoint(url, clock=lambda: time.time_ns() // 1_000_000) as checkpoints:
        made = topology.recipes(PriceTable({}), topology.rules(told), topology.merge_rules(told))
        signatures = SignatureRules(keys=keys)
        parts = Parts(
            checkpoints=checkpoints,
            recipes=topology.signed(made, signatures),
            agents=agents.ALL,
            prepare=prepare,
            jobs=jobs,
            signatures=signatures,
        )
        worker = Worker(told, parts)
        stopping = asyncio.Event()
        task = asyncio.create_task(worker.run(stopping))
        try:
            yield worker
        finally:
            stopping.set()
            await asyncio.wait_for(task, WAIT_S)


async def publish(broker: str, made: Iterable[Event | Record]) -> None:
    """Publish events, or records as they are, and wait for the broker's acknowledgement."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=5)
    await producer.start()
    try:
        sent = []
        for one in made:
            record = one if isinstance(one, Record) else cloudevents.record(one)
            sent.append(
                await producer.send(
                    record.topic, record.value, key=record.key, headers=list(record.headers)
                )
            )
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def rows(store_url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return what the store answers to a query."""
    with psycopg.connect(store_url, autocommit=True) as db:
        return db.execute(query.encode(), values).fetchall()


def count(store_url: str, query: str, *values: object) -> int:
    """Return the one number that the store answers to a query."""
    [[number]] = rows(store_url, query, *values)
    return int(number or 0)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until `condition` holds, bounded."""
    end = time.monotonic() + WAIT_S
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < end, f"not within {WAIT_S:g} s: {condition}"
        await asyncio.sleep(LOOK_S)
