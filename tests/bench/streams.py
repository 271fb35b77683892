"""Windows by key over one log, by Mainstem, its limits and its peers: events a CPU-second.

A million JSON events in Apache Kafka, one worker: count and sketch of a duration by connection, in
tumbling windows of 1 s and 10 s of event time. Each engine runs in a process of its own, over the
same log, has one core, decodes the same fields with the same decoder and has the same settings of
Python's cycle collector; its windows must be those there are, counts and sketches (so p95 too).
Quick engines run in turn, several rounds, and the median counts. Naive Faust runs over a slice.
`MAINSTEM_BENCH_SHARE` (such as 0.1) makes all of it smaller.

Rates are of the engine's process alone; what PostgreSQL used beside it is a figure of its own. What
each engine keeps if it dies is in its note: they are not alike, and it is not free.
"""

import importlib.util
import os
import time
from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts import topics
from analytics.contracts.errors import MissingPart
from apps.bench.report import BenchReport, Figure, report
from tests.bench import preload
from tests.bench.engines import log as logs
from tests.bench.engines.agents_decode import WIDTH_MS
from tests.bench.engines.log import Log
from tests.bench.engines.running import ran
from tests.bench.engines.task import WIDTHS_MS, Measured, Task, Window
from tests.bench.plant import Plant, started_plant

REQUIREMENTS = ("streams-throughput",)
SHARE: Final = float(os.environ.get("MAINSTEM_BENCH_SHARE", "1"))
EVENTS: Final = max(int(1_000_000 * SHARE), 50_000)
SLICE: Final = max(int(30_000 * SHARE), 6_000)
AGENT_EVENTS: Final = max(int(200_000 * SHARE), 40_000)
PARTITIONS: Final = 4
WARM: Final = 0.05
"""The part of a log after which clocks start."""
ROUNDS: Final = 3
SLICE_TOPIC: Final = topics.REVIEWS.address
"""Where naive Faust finds its events: any topic will do."""
PEERS: Final = ("bytewax", "quixstreams")

QUICK: Final = ("bare", "mainstem_fold", "mainstem_once", "bare_copy", "mainstem_store")
STORED: Final = frozenset({"bare_copy", "mainstem_store"})
SLOW: Final = ("bytewax_flow", "quix_streams")
AGENTS: Final = ("agents_decode", "agents_fold")
NAMES: Final = {
    "bare": "bare loop",
    "mainstem_fold": "Mainstem, fold path",
    "mainstem_once": "Mainstem, each id once",
    "bare_copy": "bare loop and COPY",
    "mainstem_store": "Mainstem, whole store",
    "bytewax_flow": "Bytewax",
    "quix_streams": "Quix Streams",
    "naive_faust": "naive Faust",
    "agents_decode": "agent events, bare decode",
    "agents_fold": "agent events, Mainstem's whole fold",
}
LIMITS: Final = {"bare_copy": "bare", "mainstem_store": "bare_copy", "agents_fold": "agents_decode"}
"""What an engine is held against, where that is not the bare loop."""
GOALS: Final = (
    ("mainstem_fold", "naive_faust", 20.0),
    ("mainstem_fold", "quix_streams", 8.0),
    ("mainstem_fold", "bytewax_flow", 2.0),
    ("mainstem_fold", "bare", 0.8),
    ("mainstem_store", "bare_copy", 0.6),
)


class Runs(Struct):
    """All runs of one engine."""

    measured: list[Measured]
    database_s: list[float]
    """CPU-seconds of PostgreSQL over each whole run."""
    complaint: str = ""

    @property
    def rate(self) -> float:
        """Events a CPU-second, the median."""
        return median(one.rate for one in self.measured)


class Bench:
    """Runs engines over one log each, and keeps what they measured."""

    def __init__(self, plant: Plant) -> None:
        self.runs: dict[str, Runs] = {}
        self._plant = plant

    def run(self, engine: str, topic: str, records: int, *, compare: "Compare") -> None:
        """Run an engine once over a log of so many records."""
        runs = self.runs.setdefault(engine, Runs([], []))
        task = Task(
            broker=self._plant.broker.address,
            topic=topic,
            partitions=PARTITIONS,
            events=records,
            warm=int(records * WARM),
            name="",
            folder="",
            store_url=self._plant.fresh_store() if engine in STORED else "",
        )
        before = self._plant.cost()
        measured = ran(engine, task)
        runs.database_s.append(self._plant.cost().since(before).database)
        runs.complaint = runs.complaint or compare.complaint(measured.windows)
        runs.measured.append(msgspec.structs.replace(measured, windows=[]))


class Compare:
    """The windows there are, to hold those of an engine against."""

    def __init__(self, true: Iterable[Window], *, horizon_ms: int) -> None:
        self._true = {logs.place(one): one for one in true}
        self._horizon_ms = horizon_ms

    def complaint(self, found: Iterable[Window]) -> str:
        """Return what is wrong about these; nothing if they are those there are."""
        before = [one for one in found if one.start_ms < self._horizon_ms]
        return logs.complaint(self._true, before)


def run() -> BenchReport:
    """Send the logs, and run every engine."""
    for peer in PEERS:
        if importlib.util.find_spec(peer) is None:
            raise MissingPart(
                f"the benchmark compares with {peer!r}, which is not here; run "
                "`uv sync --all-groups --extra bench` in the checkout"
            )
    runs: dict[str, Runs] = {}
    with started_plant(partitions=PARTITIONS) as plant:
        bench = Bench(plant)
        _by_connection(bench, plant.broker.address)
        runs |= bench.runs
    with started_plant(partitions=PARTITIONS) as plant:
        bench = Bench(plant)
        _of_agents(bench, plant.broker.address)
        runs |= bench.runs
    return report(
        "streams",
        f"Count and p95 by key in windows of 1 s and 10 s over {EVENTS:,} events, one worker.",
        figures=tuple(figures(runs)),
    )


def figures(runs: dict[str, Runs]) -> Iterable[Figure]:
    """Yield the goals, then every engine, then what its database and memory came to."""
    yield _equal(runs)
    for engine, other, goal in GOALS:
        yield Figure(
            name=f"{NAMES[engine]} / {NAMES[other]}",
            value=_ratio(runs[engine], runs[other]),
            unit="×",
            goal=goal,
            at_least=True,
        )
    for engine, name in NAMES.items():
        yield from _of_engine(engine, name, runs)


def _by_connection(bench: Bench, broker: str) -> None:
    """Run the engines that count by connection."""
    begin_ms = _begin_ms(EVENTS)
    whole = Log(
        topic=topics.CONNECTIONS.address, partitions=PARTITIONS, events=EVENTS, begin_ms=begin_ms
    )
    part = msgspec.structs.replace(whole, topic=SLICE_TOPIC, events=SLICE)
    logs.send(broker, whole)
    compare = Compare(logs.truth(whole), horizon_ms=whole.horizon_ms)
    for engine in _in_turn():
        bench.run(engine, whole.topic, whole.records, compare=compare)
    logs.send(broker, part)
    compare = Compare(logs.truth(part), horizon_ms=part.horizon_ms)
    bench.run("naive_faust", part.topic, part.records, compare=compare)


def _in_turn() -> Iterable[str]:
    """Yield quick engines round by round, and each slow one once between rounds."""
    for number in range(ROUNDS):
        yield from QUICK
        yield from SLOW[number : number + 1]


def _of_agents(bench: Bench, broker: str) -> None:
    """Run what folds, and what only decodes, agent events."""
    load = preload.Load(
        partitions=PARTITIONS, events=AGENT_EVENTS, end_ms=time.time_ns() // 1_000_000
    )
    preload.send(broker, load)
    compare = Compare(_agent_windows(load), horizon_ms=2**62)
    for engine in AGENTS * ROUNDS:
        bench.run(engine, topics.AGENTS.address, load.events, compare=compare)


def _agent_windows(load: preload.Load) -> list[Window]:
    begin_ms = load.end_ms - load.events * 1_000 // load.rate
    moments = (begin_ms + number * 1_000 // load.rate for number in range(load.events))
    counts = Counter(at_ms // WIDTH_MS for at_ms in moments)
    return [Window("", WIDTH_MS, start * WIDTH_MS, count, b"") for start, count in counts.items()]


def _begin_ms(events: int) -> int:
    """Return when a log has to begin so that all of it is over by now."""
    widest = max(WIDTHS_MS)
    before = time.time_ns() // 1_000_000 - events * 1_000 // logs.RATE - 2 * logs.AFTER_MS
    return before - before % widest


def _ratio(one: Runs, other: Runs) -> float:
    """Return how many times as fast one is: what runs in turn is compared round by round."""
    if len(one.measured) != len(other.measured):
        return one.rate / other.rate
    rounds = zip(one.measured, other.measured, strict=True)
    return median(mine.rate / theirs.rate for mine, theirs in rounds)


def _equal(runs: dict[str, Runs]) -> Figure:
    wrong = [f"{NAMES[engine]}: {one.complaint}" for engine, one in runs.items() if one.complaint]
    return Figure(
        name="engines whose windows are right",
        value=len(runs) - len(wrong),
        unit="",
        goal=len(NAMES),
        at_least=True,
        note="; ".join(wrong),
    )


def _of_engine(engine: str, name: str, runs: dict[str, Runs]) -> Iterable[Figure]:
    mine = runs[engine]
    limit = LIMITS.get(engine, "bare")
    cpu_s = median(one.cpu_s for one in mine.measured)
    wall_s = median(one.wall_s for one in mine.measured)
    memory_mib = max(one.memory_mib for one in mine.measured)
    last = mine.measured[-1]
    yield Figure(
        name=name,
        value=mine.rate,
        unit="events/CPU-s",
        limit=None if engine in {"bare", "agents_decode"} else runs[limit].rate,
        note=f"{cpu_s:.2f} CPU-s, {wall_s:.2f} s, {memory_mib:.0f} MiB; {last.durability}",
        about=f"{last.about}; median of {len(mine.measured)} runs over {last.events:,} events",
    )
    if engine in STORED:
        events = last.events / (1 - WARM)
        yield Figure(
            name=f"{name}: PostgreSQL",
            value=median(mine.database_s) / events * 1_000_000,
            unit="CPU-µs an event",
        )
