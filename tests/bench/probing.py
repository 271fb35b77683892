"""How long an event takes from its acknowledgement to its row, while a load goes by.

Each probe is the first prompt of a session of its own. It is sent and acknowledged; meanwhile a
connection to the store asks for the rows of all that are on their way, every few milliseconds. Both
moments are of this machine's one clock; the times include what asking costs.
"""

import asyncio
import time
import uuid
from typing import Final

import psycopg
from aiokafka import AIOKafkaProducer

from analytics.contracts import cloudevents
from analytics.contracts.agent_events import PromptSubmitted
from tests.support import facts

EVERY_S: Final = 0.05
ASK_S: Final = 0.005
LAST_S: Final = 30.0
"""How long the last probes are waited for."""
_ROWS: Final = "select session_id from events where tenant = 'local' and session_id = any(%s)"


async def probed(broker: str, store_url: str, *, seconds: float) -> list[float]:
    """Send a probe every so often; return the milliseconds that each took."""
    flying: dict[str, float] = {}
    took_ms: list[float] = []
    ended = asyncio.Event()
    watching = asyncio.ensure_future(_watch(store_url, flying, took_ms, ended))
    producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", linger_ms=0)
    await producer.start()
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await _send(producer, flying)
            await asyncio.sleep(EVERY_S)
    finally:
        await producer.stop()
        ended.set()
    await watching
    return took_ms


async def _send(producer: AIOKafkaProducer, flying: dict[str, float]) -> None:
    name = f"probe-{uuid.uuid4().hex}"
    probe = facts.fact(
        PromptSubmitted, id=name, session_id=name, at_ms=time.time_ns() // 1_000_000, text="probe"
    )
    record = cloudevents.record(probe)
    await producer.send_and_wait(
        record.topic, record.value, key=record.key, headers=list(record.headers)
    )
    flying[name] = time.monotonic()


async def _watch(
    store_url: str, flying: dict[str, float], took_ms: list[float], ended: asyncio.Event
) -> None:
    limit_s = float("inf")
    async with await psycopg.AsyncConnection.connect(store_url, autocommit=True) as db:
        while time.monotonic() < limit_s:
            if ended.is_set() and not flying:
                return
            if ended.is_set() and limit_s == float("inf"):
                limit_s = time.monotonic() + LAST_S
            asked = list(flying)
            rows = await (await db.execute(_ROWS, [asked])).fetchall() if asked else []
            now = time.monotonic()
            took_ms.extend((now - flying.pop(name)) * 1_000 for (name,) in rows)
            await asyncio.sleep(ASK_S)
    raise TimeoutError(f"{len(flying)} probes did not reach the store within {LAST_S:g} s")
