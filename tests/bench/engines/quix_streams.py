"""Quix Streams: two tumbling windows with an aggregator of its own, final results.

It groups windows by the record's key, which is the connection. Windows keep what an aggregator
returns as JSON in RocksDB.
"""

from collections.abc import Iterable
from typing import Any, Final

from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import BaseAggregator

from analytics.measures.sketch import bucket_of, to_bytes
from tests.bench.engines.task import LATENESS_MS, WIDTHS_MS, Meter, Task, Window, decode

ABOUT: Final = "two tumbling_window().agg().final(), RocksDB, no changelog topic, commits each 5 s"
DURABILITY: Final = "state on this disk, at least once"

State = list[Any]


class Sketch(BaseAggregator[State]):  # type: ignore[misc] # read as untyped
    """Counts events, and their durations by bucket."""

    @property
    def state_suffix(self) -> str:
        return "sketch"

    def initialize(self) -> State:
        return [0, {}]

    def agg(self, old: State, new: int, timestamp: int) -> State:
        buckets = old[1]
        bucket = str(bucket_of(new))
        buckets[bucket] = buckets.get(bucket, 0) + 1
        return [old[0] + 1, buckets]

    def result(self, value: State) -> State:
        return value


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with an application."""
    app = Application(
        broker_address=task.broker,
        consumer_group=task.name,
        auto_offset_reset="earliest",
        state_dir=task.folder,
        use_changelog_topics=False,
        auto_create_topics=False,
        loglevel="WARNING",
    )
    found: list[Window] = []
    topic = app.topic(
        task.topic,
        key_deserializer="str",
        value_deserializer="bytes",
        timestamp_extractor=_recorded,
    )

    def duration(payload: bytes) -> int:
        meter.add(1)
        if meter.count == task.events:
            app.stop()
        return decode(payload).duration_ms

    durations = app.dataframe(topic).apply(duration)
    for width_ms in WIDTHS_MS:
        windows = durations.tumbling_window(width_ms, grace_ms=LATENESS_MS, name=f"w{width_ms}")

        def keep(value: Any, key: Any, *_: object, width_ms: int = width_ms) -> None:
            count, buckets = value["sketch"]
            sketch = to_bytes({int(bucket): count for bucket, count in buckets.items()})
            found.append(Window(str(key), width_ms, value["start"], count, sketch))

        windows.agg(sketch=Sketch()).final().update(keep, metadata=True)
    app.run()
    meter.stop()
    return found


def _recorded(value: Any, headers: Any, timestamp: float, kind: Any) -> int:
    return int(timestamp)
