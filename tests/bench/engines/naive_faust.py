"""Faust as its documentation has it: an agent, windowed tables, one event at a time."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import faust
from faust.types import StreamT

from analytics.measures.sketch import bucket_of, to_bytes
from tests.bench.engines.task import WIDTHS_MS, Meter, Task, Window, decode

ABOUT: Final = "agent and windowed tables as documented; raw values, decoded by msgspec"
DURABILITY: Final = "state in a changelog topic, at least once"
KEPT: Final = timedelta(days=1)

State = list[Any]
"""A count, and counts by bucket: a table holds what JSON can."""


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with an agent."""
    return asyncio.run(_run(task, meter))


async def _run(task: Task, meter: Meter) -> list[Window]:
    done = asyncio.Event()
    app = _app(task)
    tables = [
        app.Table(f"w{width_ms}", default=lambda: [0, {}], partitions=task.partitions)
        .tumbling(timedelta(milliseconds=width_ms), expires=KEPT)
        .relative_to_stream()
        for width_ms in WIDTHS_MS
    ]

    @app.agent(app.topic(task.topic, key_serializer="raw", value_serializer="raw"))
    async def count(stream: StreamT[bytes]) -> None:
        async for payload in stream:
            event = decode(payload)
            key, bucket = event.connection_id, str(bucket_of(event.duration_ms))
            for table in tables:
                state: State = table[key].current()
                state[0] += 1
                state[1][bucket] = state[1].get(bucket, 0) + 1
                table[key] = state
            meter.add(1)
            if meter.count == task.events:
                meter.stop()
                done.set()

    app.finalize()
    await app.start()
    await done.wait()
    found = [_window(place, state) for table in tables for place, state in table.table.data.items()]
    await app.stop()
    return found


def _app(task: Task) -> faust.App:
    return faust.App(
        task.name,
        broker=f"kafka://{task.broker}",
        datadir=task.folder,
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_partitions=task.partitions,
        topic_disable_leader=True,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
        broker_rebalance_timeout=6.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        consumer_auto_offset_reset="earliest",
    )


def _window(place: tuple[str, tuple[float, float]], state: State) -> Window:
    key, (start_s, end_s) = place
    start_ms, width_ms = round(start_s * 1_000), round((end_s - start_s) * 1_000)
    nearest_ms = min(WIDTHS_MS, key=lambda width: abs(width - width_ms))
    sketch = to_bytes({int(bucket): count for bucket, count in state[1].items()})
    return Window(key, nearest_ms, start_ms, state[0], sketch)
