"""From Kafka to rows in PostgreSQL: rates, costs, latency and memory, as partitions are added.

On Apache Kafka and plain PostgreSQL, both embedded: a preloaded log is drained by 1, 2 and 4
workers over 1, 2 and 4 partitions, with the CPU-seconds of workers, database and broker apart;
then the time from acknowledgement to row at half the rate that was drained; memory of a worker that
keeps up with half of what it could, and of one with ten million records of lag, over the same
number of events; and a fleet of ten thousand series. `MAINSTEM_BENCH_SHARE` (such as 0.1) makes all
of it smaller.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from statistics import median
from typing import Final

from msgspec import Struct

from apps.bench.report import BenchReport, Figure, percentile, report
from tests.bench.pacing import pacing
from tests.bench.plant import ROWS, Cost, Plant, Worker, started_plant, until
from tests.bench.preload import Load, send
from tests.bench.probing import probed

REQUIREMENTS = ("flow-bounded",)
SHARE: Final = float(os.environ.get("MAINSTEM_BENCH_SHARE", "1"))
DRAINED: Final = max(int(300_000 * SHARE), 100_000)
LAG: Final = int(10_000_000 * SHARE)
WATCHED: Final = max(int(500_000 * SHARE), 100_000)
"""Events of which memory is compared, with and without lag; the first half is to warm up."""
WORKERS: Final = {1: (1,), 2: (1, 2), 4: (1, 2, 4)}
"""How many workers, by how many partitions."""
PROBED: Final = ((1, 1), (2, 2), (4, 4))
PROBE_S: Final = max(5.0, 20 * SHARE)
SETTLE_S: Final = 3.0
"""How long a load runs before it is measured."""
SERIES_PROJECTS: Final = 100
SERIES_TOOLS: Final = 98
"""With the series without a tool: 100 × (98 + 2) = 10,000 fleet series."""
WAIT_S: Final = 300.0
LOOK_S: Final = 0.5
MEMORY_GOAL: Final = 1.2
CORES: Final = os.cpu_count() or 1
GROWTH_GOAL: Final = 1.25
"""How much dearer an event may become as partitions and workers are added."""


class Drained(Struct, frozen=True, kw_only=True):
    """What it took to drain a log."""

    partitions: int
    workers: int
    events: int
    seconds: float
    cost: Cost
    memory_mib: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_s(self) -> float:
        """CPU-seconds for a million events, of all parts."""
        cost = self.cost
        return (cost.workers + cost.database + cost.broker) * 1e6 / self.events

    @property
    def busy(self) -> float:
        """Which share of the machine was used."""
        return self.cpu_s * self.rate / 1e6 / CORES


def run() -> BenchReport:
    """Measure one thing after the other."""
    figures: list[Figure] = []
    runs: list[Drained] = []
    for partitions, workers in WORKERS.items():
        with started_plant(partitions=partitions) as plant:
            send(plant.broker.address, _load(partitions, DRAINED))
            runs += [_drain(plant, partitions, number, DRAINED) for number in workers]
            for probed_partitions, number in PROBED:
                if probed_partitions == partitions:
                    figures += _latency(plant, runs[-1], number)
    with started_plant(partitions=WORKERS_OF_LAG[0]) as plant:
        figures += _memory(plant, rate=int(_rate(runs, *WORKERS_OF_LAG) / 2))
    with started_plant(partitions=1) as plant:
        figures += _series(plant)
    drained = [figure for one in runs for figure in _figures(one, runs[0])]
    about = "From Kafka to rows: drained logs, latency at half the rate, memory under lag."
    return report("end-to-end", about, figures=(*drained, *figures))


WORKERS_OF_LAG: Final = (4, 1)
"""Partitions and workers with which memory is measured."""


def _rate(runs: Sequence[Drained], partitions: int, workers: int) -> float:
    return next(one.rate for one in runs if (one.partitions, one.workers) == (partitions, workers))


def _load(partitions: int, events: int, *, prefix: str = "load") -> Load:
    now_ms = time.time_ns() // 1_000_000
    return Load(partitions=partitions, events=events, end_ms=now_ms, prefix=prefix)


def _drain(plant: Plant, partitions: int, workers: int, events: int) -> Drained:
    """Drain what the log holds into a fresh store; start and the first batch do not count."""
    plant.fresh_store()
    with plant.working(workers) as working:
        until(lambda: plant.asked(ROWS) > 0, what="the first batch", seconds=WAIT_S)
        cost, first, began = plant.cost(), plant.asked(ROWS), time.monotonic()
        until(lambda: plant.asked(ROWS) >= events, what="a drained log", seconds=WAIT_S)
        return Drained(
            partitions=partitions,
            workers=workers,
            events=events - first,
            seconds=time.monotonic() - began,
            cost=plant.cost().since(cost),
            memory_mib=median(one.memory_mib for one in working),
        )


def _latency(plant: Plant, drained: Drained, workers: int) -> Sequence[Figure]:
    """Measure the way of single events while half the drained rate goes by."""
    load = Load(
        partitions=drained.partitions,
        events=10 * DRAINED + 10_000_000,
        end_ms=0,
        rate=int(drained.rate / 2),
        prefix="paced",
    )
    with plant.working(workers), pacing(plant.broker.address, load) as paced:
        until(lambda: _is_even(plant), what="no lag", seconds=WAIT_S)
        time.sleep(SETTLE_S)
        took_ms = asyncio.run(probed(plant.broker.address, plant.store_url, seconds=PROBE_S))
        behind_ms = paced.behind_ms
    name = f"{drained.partitions} partitions, {workers} workers: to the row"
    return [
        Figure(
            name=f"{name} p{share}",
            value=percentile(took_ms, share / 100),
            unit="ms",
            goal=1_000 if share == 99 else None,
            note=f"at {load.rate:,}/s, sender behind by {behind_ms} ms at most",
        )
        for share in (50, 99)
    ]


def _is_even(plant: Plant) -> bool:
    standings = [one.standing() for one in plant.workers]
    return (
        all(one["ready"] for one in standings)
        and sum(int(one["lag"]) for one in standings) < DRAINED // 10
    )


def _memory(plant: Plant, *, rate: int) -> Sequence[Figure]:
    """Compare a worker that keeps up with one that is ten million records behind."""
    partitions, workers = WORKERS_OF_LAG
    plant.fresh_store()
    load = Load(partitions=partitions, events=WATCHED, end_ms=0, rate=rate, prefix="even")
    with plant.working(workers) as [worker]:
        until(lambda: bool(worker.standing()["ready"]), what="a ready worker", seconds=WAIT_S)
        with pacing(plant.broker.address, load):
            even = _watched(plant, worker)
    began = time.monotonic()
    send(plant.broker.address, _load(partitions, LAG, prefix="lag"))
    filled_s = time.monotonic() - began
    plant.fresh_store()
    with plant.working(workers) as [worker]:
        behind = _watched(plant, worker)
        lag = LAG + WATCHED - plant.asked(ROWS)
    return (
        Figure(name="worker's memory without lag", value=even, unit="MiB"),
        Figure(
            name="worker's memory behind",
            value=behind,
            unit="MiB",
            note=f"{lag:,} records of lag, made in {filled_s:.0f} s",
        ),
        Figure(
            name="memory behind, to memory without lag",
            value=behind / even,
            unit="×",
            goal=MEMORY_GOAL,
        ),
    )


def _watched(plant: Plant, worker: Worker) -> float:
    """Return the median memory while the second half of what is watched is stored."""
    seen: list[float] = []
    until_s = time.monotonic() + WAIT_S
    while (stored := plant.asked(ROWS)) < WATCHED:
        if time.monotonic() > until_s:
            raise TimeoutError(f"{stored} of {WATCHED} events stored within {WAIT_S:g} s")
        if stored >= WATCHED // 2:
            seen.append(worker.memory_mib)
        time.sleep(LOOK_S)
    return median([*seen, worker.memory_mib])


def _series(plant: Plant) -> Sequence[Figure]:
    now_ms = time.time_ns() // 1_000_000
    load = Load(
        partitions=1,
        events=DRAINED,
        end_ms=now_ms,
        projects=SERIES_PROJECTS,
        tools=SERIES_TOOLS,
        prefix="wide",
    )
    send(plant.broker.address, load)
    drained = _drain(plant, 1, 1, DRAINED)
    series = plant.asked("select count(*) from series where grain = 'fleet'")
    return (
        Figure(name="wide fleet: series", value=series, unit="", goal=9_500, at_least=True),
        Figure(name="wide fleet: rate", value=drained.rate, unit="events/s"),
        Figure(name="wide fleet: CPU for 1M events", value=drained.cpu_s, unit="s"),
        Figure(name="wide fleet: worker's memory", value=drained.memory_mib, unit="MiB"),
    )


def _figures(one: Drained, first: Drained) -> Sequence[Figure]:
    name = f"{one.partitions} partitions, {one.workers} workers"
    cost, million = one.cost, 1e6 / one.events
    split = (
        f"workers {cost.workers * million:.1f}, database {cost.database * million:.1f}, "
        f"broker {cost.broker * million:.1f}"
    )
    return (
        Figure(
            name=f"{name}: rate",
            value=one.rate,
            unit="events/s",
            limit=None if one is first else first.rate,
            note=f"{one.busy:.0%} of {CORES} cores; {one.memory_mib:,.0f} MiB a worker",
        ),
        Figure(
            name=f"{name}: CPU for 1M events",
            value=one.cpu_s,
            unit="s",
            limit=None if one is first else first.cpu_s,
            goal=None if one is first else round(GROWTH_GOAL * first.cpu_s, 1),
            note=split,
        ),
    )
