"""Watching at full size: readings a second and core, seconds from a closed window to its notice.

One tenant with ten thousand watched series, each warm: its windows of a minute are read, learnt,
forecast, held against the preset rules and written, in the passes that a worker makes. The limit is
the detectors alone, on the same readings, without a store. The wait for a notice is from the moment
at which the store says that a minute is whole until the notice is in the table that senders read,
while the stage runs as in a worker and a rule begins or ends with every minute. Queries are those
of dashboards over ten million raw events and ninety days of rollups.
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import psycopg
from msgspec import Struct

from analytics.contracts import topics
from analytics.measures.rows import CellKey
from analytics.monitoring.catalogue import STEP_MS, Key
from analytics.monitoring.monitor import SeriesMonitor, WatchRules
from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local import database
from streams.monitoring import readings as minutes
from streams.monitoring.leases import SHARDS
from streams.monitoring.stage import Passed, Stage, StageOptions
from streams.store import schema
from tests.bench import analytics_reading
from tests.support.facts import T0_MS
from tests.support.watched_windows import TENANT, Window, fleet, session, write

REQUIREMENTS = ("watching-speed",)
RATE_GOAL: Final = 5_000.0
WAIT_GOAL_S: Final = 2.0
PROJECTS: Final = 1_900
MODELS: Final = 20
SESSIONS: Final = 400
WARM_MINUTES: Final = 130
MEASURED_MINUTES: Final = 20
WAITS: Final = 60
FED_AT_ONCE: Final = 10
LOOK_S: Final = 0.02
DEADLINE_S: Final = 120.0
RULES: Final = """
groups:
  - name: bench
    rules:
      - alert: Even
        expr: requests_total{project="p0"} - requests_total{project="p0"} offset 1m > 1000
        labels: {severity: critical}
"""
ROUTING: Final = """
route: {receiver: people, group_by: [alertname], group_wait: 0s, group_interval: 1s}
receivers:
  - name: people
    webhook_configs: [{url: "http://127.0.0.1:9/", send_resolved: true}]
"""


class Ran(Struct, frozen=True, kw_only=True):
    """What the passes over some minutes took."""

    readings: int
    cpu_s: float
    wall_s: float
    slowest_s: float


def run() -> BenchReport:
    """Measure the passes, the wait for a notice, and queries."""
    with TemporaryDirectory(prefix="mainstem-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        server = database.start(home / "store", durable=False)
        try:
            schema.migrate(server.url)
            with psycopg.connect(server.url) as db:
                for kind, name, body in (("rules", "bench", RULES), ("routing", "r", ROUTING)):
                    db.execute(
                        "insert into alert_files (tenant, kind, name, body)"
                        " values (%s, %s, %s, %s)",
                        [TENANT, kind, name, body],
                    )
            figures = [*_passes(server.url), *_waits(server.url)]
        finally:
            database.stop(home / "store")
    figures += analytics_reading.figures()
    return report("analytics", __doc__ or "", figures=tuple(figures))


def _keys() -> list[CellKey]:
    whole = [
        fleet(project=f"p{number}", agent="claude-code", model=f"m{number % MODELS}")
        for number in range(PROJECTS)
    ]
    return [*whole, *(session(f"s{number}") for number in range(SESSIONS))]


def _windows(first: int, after: int) -> Iterator[Window]:
    """Yield the windows of some minutes; every second one, a project has very many requests."""
    keys = _keys()
    for minute in range(first, after):
        randomly = random.Random(minute)
        for key in keys:
            calls = randomly.randint(1, 20)
            counts = {
                "cost_nanousd": randomly.randint(10**6, 10**9), "calls": calls, "events": calls * 3,
                "input_tokens": randomly.randint(1_000, 90_000), "tool_calls": calls,
                "sessions": randomly.randint(0, 1), "latency_bucket": randomly.randint(60, 100),
            }  # fmt: skip
            if key.project == "p0" and minute % 2:
                counts["calls"] += 2_000
            yield key, minute, counts


def _passes(url: str) -> Iterator[Figure]:
    reached = WARM_MINUTES + MEASURED_MINUTES
    for first in range(0, reached, FED_AT_ONCE):
        after = min(first + FED_AT_ONCE, reached)
        write(url, _windows(first, after), reached_minutes=reached)
    warm = _run(url, WARM_MINUTES)
    ran = _run(url, reached)
    bare = _bare(url, reached)
    series = ran.readings // MEASURED_MINUTES
    yield Figure(
        name=f"series-windows a second and core, {series:,} series",
        value=round(ran.readings / ran.wall_s), unit="1/s", goal=RATE_GOAL, at_least=True,
        limit=round(bare),
        note=f"{ran.readings / ran.cpu_s:,.0f} a CPU-second of the worker; a minute takes "
        f"{ran.wall_s / MEASURED_MINUTES:.2f} s, at most {ran.slowest_s:.2f} s",
        about="The limit is the detectors alone. Each minute includes reading, forecasts every "
        "five minutes, the preset rules and the transaction; the store runs on the other core.",
    )  # fmt: skip
    begun_s = time.perf_counter()
    stage = Stage(url, StageOptions(lease_s=600), now_ms=lambda: 0)
    with stage.connected() as db:
        stage.lease(db)
        taken_s = time.perf_counter() - begun_s
        stage.leave(db)
    yield Figure(
        name="to take over all series from a worker that died", value=round(taken_s, 1), unit="s",
        note="snapshots are loaded, and readings since learnt again",
    )  # fmt: skip
    yield Figure(
        name="cost of a series and minute", value=round(ran.wall_s / ran.readings * 1e6, 1),
        unit="us", note=f"{warm.readings / warm.wall_s:,.0f} 1/s while the first "
        f"{WARM_MINUTES} minutes were learnt",
    )  # fmt: skip


def _run(url: str, reached: int) -> Ran:
    """Watch up to a minute in one thread, as a worker does."""
    passed: list[Passed] = []
    reached_ms = T0_MS + reached * STEP_MS
    stage = Stage(url, StageOptions(lease_s=600), now_ms=lambda: reached_ms, told=passed.append)
    with stage.connected() as db:
        stage.lease(db)
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        stage.catch_up(db, reached_ms, threading.Event())
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        stage.leave(db)
    return Ran(
        readings=sum(one.readings for one in passed),
        cpu_s=cpu_s,
        wall_s=wall_s,
        slowest_s=max(one.seconds for one in passed),
    )


def _bare(url: str, reached: int) -> float:
    """Return how many readings a second the detectors alone learn, warm."""
    shards = [f"{shard:x}" for shard in range(SHARDS)]
    with psycopg.connect(url) as db:
        lines = [
            (T0_MS + minute * STEP_MS, minutes.read(db, shards, T0_MS + minute * STEP_MS)[TENANT])
            for minute in range(1, reached + 1)
        ]
    watch = SeriesMonitor(TENANT, WatchRules(snapshot_minutes=10**6))
    _learn(watch, lines[:WARM_MINUTES])
    begun_s = time.perf_counter()
    learnt = _learn(watch, lines[WARM_MINUTES:])
    return learnt / (time.perf_counter() - begun_s)


def _learn(watch: SeriesMonitor, lines: Sequence[tuple[int, dict[Key, float]]]) -> int:
    return sum(len(watch.learn(at_ms, readings).scores) for at_ms, readings in lines)


def _waits(url: str) -> Iterator[Figure]:
    """Have minutes become whole one after the other, and wait for the notice of each."""
    first = WARM_MINUTES + MEASURED_MINUTES
    stop = threading.Event()
    stage = Stage(url, StageOptions(), now_ms=lambda: T0_MS + (first + WAITS) * STEP_MS)
    running = threading.Thread(target=stage.run, args=[stop])
    write(url, _windows(first, first + WAITS), reached_minutes=first)
    running.start()
    try:
        with psycopg.connect(url, autocommit=True) as db:
            waits_s = [_wait(db, minute) for minute in range(first + 1, first + WAITS + 1)]
    finally:
        stop.set()
        running.join()
    measured = waits_s[2:]
    yield Figure(
        name="from a whole minute to its notice, p99", value=round(percentile(measured, 0.99), 2),
        unit="s", goal=WAIT_GOAL_S, note=f"p50 {median(measured):.2f} s, {len(measured)} minutes",
    )  # fmt: skip


def _wait(db: "psycopg.Connection[tuple[object, ...]]", minute: int) -> float:
    """Let a minute be whole, and return how long its notice took."""
    at_ms = T0_MS + minute * STEP_MS
    db.execute(
        "update checkpoints set watermark_ms = %s where log_id in"
        " (select log_id from logs where topic = %s)",
        [at_ms, topics.PARTIALS.address],
    )
    begun_s = time.perf_counter()
    while time.perf_counter() - begun_s < DEADLINE_S:
        row = db.execute(
            "select count(*) from notices where at = to_timestamp(%s / 1000.0)", [at_ms]
        ).fetchone()
        if row is not None and row[0]:
            return time.perf_counter() - begun_s
        time.sleep(LOOK_S)
    raise AssertionError(f"no notice came of minute {minute}")
