"""Bytewax: two fold_window steps over an event clock, on one keyed stream, one worker."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from analytics.measures.sketch import bucket_of
from tests.bench.engines.task import (
    LATENESS_MS,
    WIDTHS_MS,
    Meter,
    Tally,
    Task,
    Window,
    decode,
    window,
)

ABOUT: Final = "two fold_window over EventClock; batches of 10,000; no recovery store; one worker"
DURABILITY: Final = "keeps nothing"
BATCH: Final = 10_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Reading = tuple[datetime, int]
Placed = tuple[str, tuple[int, int, Tally]]
"""A key, and the width, number and content of its window."""


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with a dataflow."""
    found: list[Placed] = []

    def read(messages: list[Any]) -> list[tuple[str, Reading]]:
        meter.add(len(messages))
        read: list[tuple[str, Reading]] = []
        for message in messages:
            event = decode(message.value)
            at = EPOCH + timedelta(milliseconds=event.at_ms)
            read.append((event.connection_id, (at, event.duration_ms)))
        return read

    flow = Dataflow("windows")
    source = KafkaSource([task.broker], [task.topic], tail=False, batch_size=BATCH)
    keyed = op.flat_map_batch("read", op.input("kafka", flow, source), read)
    clock = win.EventClock(_when, wait_for_system_duration=timedelta(milliseconds=LATENESS_MS))
    for width_ms in WIDTHS_MS:
        windower = win.TumblingWindower(length=timedelta(milliseconds=width_ms), align_to=EPOCH)
        folded = win.fold_window(f"w{width_ms}", keyed, clock, windower, Tally, _add, _merge)
        out = op.map_value(f"of{width_ms}", folded.down, partial(_placed, width_ms))
        op.output(f"out{width_ms}", out, TestingSink(found))
    run_main(flow)
    meter.stop()
    return [
        window(key, width_ms, number * width_ms, tally) for key, (width_ms, number, tally) in found
    ]


def _placed(width_ms: int, numbered: tuple[int, Tally]) -> tuple[int, int, Tally]:
    return (width_ms, *numbered)


def _when(reading: Reading) -> datetime:
    return reading[0]


def _add(tally: Tally, reading: Reading) -> Tally:
    tally.count += 1
    bucket = bucket_of(reading[1])
    tally.buckets[bucket] = tally.buckets.get(bucket, 0) + 1
    return tally


def _merge(one: Tally, other: Tally) -> Tally:
    raise AssertionError("tumbling windows are never merged")
