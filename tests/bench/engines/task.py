"""What every engine is asked to do, and how it is measured: the same for all.

Count events and sketch their durations by connection, in tumbling windows of `WIDTHS_MS` of event
time, over one log in Kafka. Every engine decodes the same fields with the same decoder, unless it
says otherwise, counts durations in the same buckets, and hands its windows over to be compared.

CPU-seconds are those of the whole process, user and system, all threads. The clock starts when the
first part of the log, `warm`, has been worked on, so that imports, joining a group and opening a
database are left out, and stops when all of the log has been.
"""

import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from analytics.contracts.events import ConnectionClosed
from analytics.measures.sketch import Counts, bucket_of, to_bytes

WIDTHS_MS: Final = (1_000, 10_000)
LATENESS_MS: Final = 5_000

decode: Final = msgspec.json.Decoder(ConnectionClosed).decode
"""Reads an event, all of its fields, and checks them."""


class Task(Struct, frozen=True, kw_only=True):
    """One run of one engine."""

    broker: str
    topic: str
    partitions: int
    events: int
    """How many records there are, those that close the last windows included."""
    warm: int
    """The clock starts after so many."""
    name: str
    """A name for groups and such, different for every run."""
    folder: str
    """Where the engine may keep files."""
    store_url: str = ""


class Window(Struct, frozen=True, array_like=True):
    """What an engine says of one connection over one window."""

    key: str
    width_ms: int
    start_ms: int
    count: int
    sketch: bytes


class Measured(Struct, frozen=True, kw_only=True):
    """What a run of an engine cost."""

    events: int
    """Those worked on while the clock ran."""
    cpu_s: float
    wall_s: float
    memory_mib: float
    """The largest resident memory of the process."""
    windows: list[Window]
    about: str = ""
    durability: str = ""

    @property
    def rate(self) -> float:
        """Events a CPU-second."""
        return self.events / self.cpu_s


class Meter:
    """The clock of a run."""

    def __init__(self, task: Task) -> None:
        self.count = 0
        self._warm = task.warm
        self._begun: tuple[int, float, float] | None = None
        self._ended: tuple[int, float, float] | None = None

    def add(self, count: int) -> None:
        """Say that so many more records have been worked on."""
        self.count += count
        if self._begun is None and self.count >= self._warm:
            self._begun = self._now()

    def stop(self) -> None:
        """Say that all of the log has been worked on."""
        self._ended = self._now()

    def measured(self, windows: Iterable[Window]) -> Measured:
        """Return what the run cost, once it is over."""
        assert self._begun is not None, "too few records for the clock to start"
        assert self._ended is not None, "the clock was not stopped"
        count, cpu_s, wall_s = (
            ended - begun for begun, ended in zip(self._begun, self._ended, strict=True)
        )
        return Measured(
            events=int(count),
            cpu_s=cpu_s,
            wall_s=wall_s,
            memory_mib=_memory_mib(),
            windows=list(windows),
        )

    def _now(self) -> tuple[int, float, float]:
        return (self.count, time.process_time(), time.monotonic())


class Engine(Protocol):
    """What a module of an engine offers."""

    ABOUT: str
    """What it is, with its settings."""
    DURABILITY: str
    """What of its results is kept, and how, when it dies."""

    def run(self, task: Task, meter: Meter) -> Iterable[Window]:
        """Work on all of the log; return the windows."""
        ...


class Tally:
    """One connection's window in a plain loop."""

    __slots__ = ("buckets", "count")

    def __init__(self) -> None:
        self.count = 0
        self.buckets: Counts = {}

    def add(self, duration_ms: int) -> None:
        """Count one event."""
        self.count += 1
        bucket = bucket_of(duration_ms)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1


def window(key: str, width_ms: int, start_ms: int, tally: Tally) -> Window:
    """Return a window to compare."""
    return Window(key, width_ms, start_ms, tally.count, to_bytes(tally.buckets))


def _memory_mib() -> float:
    """Return the peak of this process alone: Linux's `ru_maxrss` begins with its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
