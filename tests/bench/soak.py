"""Hours at half of what the machine can do: whether memory grows, lag grows, sums stay true.

First the capacity of the plant is measured (a preloaded log is drained), then a sender keeps half
of it going through Kafka and the workers into PostgreSQL, with the store's jobs running. Every few
seconds memory of every process, lag, the outbox and errors are noted; in the end all must be in the
store, counted once. Runs for `MAINSTEM_SOAK_SECONDS`, an hour if that is not set, with
`MAINSTEM_SOAK_WORKERS` workers, and writes all it noted to artifacts/soak.json.
"""

import os
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

import msgspec
import psutil
from msgspec import Struct

from apps.bench.report import ARTIFACTS, BenchReport, Figure, percentile, report
from tests.bench.pacing import Paced, pacing
from tests.bench.plant import MIB, ROWS, Plant, started_plant, until
from tests.bench.preload import Load, send
from tests.support.stack import ROOT

REQUIREMENTS = ("soak",)
SECONDS: Final = int(os.environ.get("MAINSTEM_SOAK_SECONDS", "3600"))
WORKERS: Final = int(os.environ.get("MAINSTEM_SOAK_WORKERS", "2"))
PARTITIONS: Final = 4
CAPACITY_EVENTS: Final = 300_000
"""Events drained to measure the capacity."""
EVENTS_PER_SECOND_MAX: Final = 100_000
LOOK_S: Final = 10.0 if SECONDS >= 600 else 2.0
WARM_SHARE: Final = 1 / 6
"""How much of the time memory may take to reach its level."""
QUARTERS: Final = 4
GROWTH_GOAL: Final = 0.05
LAG_SECONDS_GOAL: Final = 10.0
"""How many seconds of the load may wait at most."""
DRAIN_S: Final = 180.0
CALLS: Final = """
select coalesce(sum(calls), 0) from window_1m join series using (series_id) where grain = 'fleet'
"""
SESSION_CALLS: Final = "select coalesce(sum(calls), 0) from sessions"
RAW: Final = "select count(*) from events"
DUPLICATES: Final = "select coalesce(sum(duplicate_count), 0) from checkpoints"
OUTBOX: Final = "select count(*) from outbox"
FAILED_JOBS: Final = "select count(*) from jobs where last_error is not null"
FAULTS: Final = (
    "streams_restarts_total",
    "streams_fenced_total",
    "streams_rewinds_total",
    "streams_dead_letters_total",
    "streams_logs_replaced_total",
)
"""Metrics that stay at 0 where nothing goes wrong."""
WORDS: Final = (" WARNING ", " ERROR ", " CRITICAL ", "Traceback")
"""How a line of a worker's log that tells of trouble is known."""


class Sample(Struct, frozen=True, kw_only=True):
    """What was seen at one moment."""

    at_s: float
    memory_mib: Mapping[str, float]
    sent: int
    stored: int
    outbox: int
    remembered: int
    """Entries that the workers hold in memory, beside open windows."""
    open_windows: int
    faults: float

    @property
    def lag(self) -> int:
        """How many acknowledged events were not stored."""
        return max(self.sent - self.stored, 0)


class Sums(Struct, frozen=True, kw_only=True):
    """What the store counted, beside what was sent."""

    sent: int
    raw: int
    duplicates: int
    calls: int
    calls_in_windows: int
    calls_in_sessions: int

    @property
    def off(self) -> int:
        """By how much the store's sums are wrong in all."""
        return (
            abs(self.raw - self.sent)
            + self.duplicates
            + abs(self.calls_in_windows - self.calls)
            + abs(self.calls_in_sessions - self.calls)
        )


class Soaked(Struct, frozen=True, kw_only=True):
    """All that was noted."""

    seconds: int
    workers: int
    capacity: float
    rate: int
    samples: Sequence[Sample]
    sums: Sums
    troubles: Sequence[str]
    """Lines of the workers' logs that tell of trouble."""
    failed_jobs: int
    behind_ms: int


def run() -> BenchReport:
    """Measure the capacity, then keep half of it going."""
    with started_plant(partitions=PARTITIONS) as plant:
        capacity = _capacity(plant)
        soaked = _soak(plant, capacity)
    folder = ROOT / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(soaked), indent=1)
    (folder / "soak.json").write_bytes(text)
    about = (
        f"{SECONDS} s at {soaked.rate:,} events a second, half of what {WORKERS} workers drained."
    )
    return report("soak", about, figures=tuple(_figures(soaked)))


def _capacity(plant: Plant) -> float:
    load = Load(partitions=PARTITIONS, events=CAPACITY_EVENTS, end_ms=_now_ms(), prefix="capacity")
    send(plant.broker.address, load)
    plant.fresh_store()
    with plant.working(WORKERS):
        until(lambda: plant.asked(ROWS) > 0, what="the first batch", seconds=DRAIN_S)
        first, began = plant.asked(ROWS), time.monotonic()
        until(
            lambda: plant.asked(ROWS) >= CAPACITY_EVENTS, what="the whole drained", seconds=DRAIN_S
        )
        return (CAPACITY_EVENTS - first) / (time.monotonic() - began)


def _soak(plant: Plant, capacity: float) -> Soaked:
    rate = max(1, int(capacity / 2))
    load = Load(
        partitions=PARTITIONS, events=SECONDS * EVENTS_PER_SECOND_MAX, end_ms=0, rate=rate,
        prefix="soak",
    )  # fmt: skip
    before = plant.asked(RAW)
    samples: list[Sample] = []
    with plant.working(WORKERS):
        until(
            lambda: all(one.standing()["ready"] for one in plant.workers),
            what="the workers ready", seconds=DRAIN_S,
        )  # fmt: skip
        with pacing(plant.broker.address, load) as paced:
            began = time.monotonic()
            while (passed_s := time.monotonic() - began) < SECONDS:
                samples.append(_sample(plant, paced, passed_s, before))
                time.sleep(max(0.0, len(samples) * LOOK_S - (time.monotonic() - began)))
        until(lambda: plant.asked(ROWS) - before >= paced.sent, what="all stored", seconds=DRAIN_S)
        until(lambda: plant.asked(OUTBOX) == 0, what="an empty outbox", seconds=DRAIN_S)
        faults = sum(one.metric(name) for one in plant.workers for name in FAULTS)
    troubles = [line for one in plant.logs() for line in one if any(w in line for w in WORDS)]
    return Soaked(
        seconds=SECONDS,
        workers=WORKERS,
        capacity=capacity,
        rate=rate,
        samples=samples,
        sums=_sums(plant, load, paced.sent),
        troubles=[*troubles, *([f"{faults:g} in metrics"] if faults else [])],
        failed_jobs=plant.asked(FAILED_JOBS),
        behind_ms=paced.behind_ms,
    )


def _sample(plant: Plant, paced: Paced, at_s: float, before: int) -> Sample:
    stored = plant.asked(ROWS) - before
    sender = float(psutil.Process(paced.pid).memory_info().rss) / MIB
    return Sample(
        at_s=round(at_s, 1),
        memory_mib={**plant.memory_mib(), "sender": sender},
        sent=paced.sent,
        stored=stored,
        outbox=plant.asked(OUTBOX),
        remembered=int(sum(one.metric("streams_remembered_entries") for one in plant.workers)),
        open_windows=int(sum(one.metric("streams_open_windows") for one in plant.workers)),
        faults=sum(one.metric(name) for one in plant.workers for name in FAULTS),
    )


def _sums(plant: Plant, load: Load, sent: int) -> Sums:
    """Count what is in the store; what the capacity was measured with is in it too."""
    drained = Load(partitions=PARTITIONS, events=CAPACITY_EVENTS, end_ms=0)
    return Sums(
        sent=sent + drained.events,
        raw=plant.asked(RAW),
        duplicates=plant.asked(DUPLICATES),
        calls=load.calls(sent) + drained.calls(),
        calls_in_windows=plant.asked(CALLS),
        calls_in_sessions=plant.asked(SESSION_CALLS),
    )


def growth(samples: Sequence[Sample], name: str) -> float:
    """Return by which share memory grew from the first quarter after the warm-up to the last."""
    warm = samples[int(len(samples) * WARM_SHARE) :]
    size = max(1, len(warm) // QUARTERS)
    first = median(one.memory_mib[name] for one in warm[:size])
    last = median(one.memory_mib[name] for one in warm[-size:])
    return last / first - 1


def _figures(soaked: Soaked) -> Sequence[Figure]:
    samples = soaked.samples
    lags_s = [sample.lag / soaked.rate for sample in samples]
    figures = [
        Figure(name="capacity", value=soaked.capacity, unit="events/s"),
        Figure(name="load", value=soaked.rate, unit="events/s", note="half the capacity"),
        Figure(name="events stored", value=soaked.sums.raw, unit=""),
        Figure(name="sums that are off", value=soaked.sums.off, unit="", goal=0),
        Figure(name="troubles in logs and metrics", value=len(soaked.troubles), unit="", goal=0),
        Figure(name="jobs that failed", value=soaked.failed_jobs, unit="", goal=0),
        Figure(name="lag p50", value=percentile(lags_s, 0.5), unit="s of load"),
        Figure(name="lag max", value=max(lags_s), unit="s of load", goal=LAG_SECONDS_GOAL),
        Figure(name="outbox max", value=max(one.outbox for one in samples), unit=""),
        Figure(name="sender behind at most", value=soaked.behind_ms, unit="ms"),
    ]
    for name in samples[-1].memory_mib:
        ours = name.startswith("worker")
        figures.append(
            Figure(
                name=f"memory growth, {name}",
                value=growth(samples, name),
                unit="",
                goal=GROWTH_GOAL if ours else None,
                note=f"{samples[-1].memory_mib[name]:,.0f} MiB at the end",
            )
        )
    return figures


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
