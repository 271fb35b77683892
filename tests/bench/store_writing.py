"""What a commit costs beside the bare COPY of its raw rows, in turn on one database.

Outcomes are real: events of a load are read and folded by a partition's own step, outside of the
clock. What is timed is `PostgresCheckpoint.commit` of them, and `COPY` of the same raw rows with
the same encoding, a transaction a batch, on a connection of its own. CPU is that of this process
and of the connection's server process; nobody else uses either.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.measures.fold import FoldRules
from analytics.measures.rows import BatchOutcome
from apps.bench.report import Figure, percentile
from apps.runtime.prices import price_table
from streams.consumer.partition_processor import PartitionStep
from streams.consumer.topology import recipes
from streams.store import batch
from streams.store.checkpoint import (
    Checkpoint,
    CheckpointStore,
    DeadLetter,
    OutboxRecords,
    SavedSession,
    SessionKey,
)
from streams.store.checkpoint_postgres import open_checkpoint
from tests.bench.preload import Load, made

ROUNDS: Final = 9
RATIO_GOAL: Final = 0.6
COMMIT_GOAL_MS: Final = 50.0
GOAL_EVENTS: Final = 1_000
"""The size of batch that the goal of a commit's time is for."""
WORKER: Final = "mainstem worker"
BARE_LOG: Final = 30_000
"""The log that rows of the bare COPY say they are from."""
TOOLS: Final = 12


class Shape(Struct, frozen=True, kw_only=True):
    """What batches look like: how many events, of how many sessions, how far apart in time."""

    name: str
    events: int
    sessions: int
    rate: int
    """Events a second of event time: the fewer, the more windows a batch reaches."""
    batches: int
    """How many make a round."""
    is_goal: bool = False
    """Whether the goals are held against it."""


class Cost(Struct, frozen=True):
    """What a round cost."""

    rows: int
    wall_s: float
    client_s: float
    server_s: float
    times_s: list[float]


class Taken(Struct, frozen=True):
    """A record as a consumer hands it over."""

    offset: int
    timestamp: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Slice(Struct, frozen=True):
    """A batch of one partition."""

    first_offset: int
    next_offset: int
    records: Sequence[Taken]


class Work(Struct, frozen=True):
    """The arguments of one commit."""

    claim: Checkpoint
    outcome: BatchOutcome
    outbox: Sequence[Record]
    dead_letters: Sequence[DeadLetter]


class Recorder:
    """A store that keeps what it is asked to commit, for later."""

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints
        self.work: list[Work] = []

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Take the partition over, in the store."""
        return await self._checkpoints.claim(
            cluster_id=cluster_id, topic=topic, partition=partition
        )

    async def recall(
        self, sessions: Iterable[SessionKey], *, claim: Checkpoint | None = None
    ) -> Mapping[SessionKey, SavedSession]:
        """Know no session: each is new."""
        del sessions, claim
        return {}

    async def owners_of(self, digests: Sequence[bytes]) -> Mapping[bytes, int]:
        """Know of no other session."""
        del digests
        return {}

    async def commit(
        self, claim: Checkpoint, outcome: BatchOutcome, *, outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:  # fmt: skip
        """Keep it."""
        self.work.append(Work(claim, outcome, outbox, dead_letters))

    def sending(self, *, limit: int) -> AbstractAsyncContextManager[OutboxRecords]:
        """Give what the store has to send."""
        return self._checkpoints.sending(limit=limit)


def figures(url: str, shape: Shape, *, of: str) -> tuple[Figure, ...]:
    """Measure one shape on the migrated, empty store at `url`."""
    return asyncio.run(_measured(url, shape, of))


async def _measured(url: str, shape: Shape, of: str) -> tuple[Figure, ...]:
    bare: list[Cost] = []
    ours: list[Cost] = []
    touched: list[int] = []
    batches = _batches(shape)
    copying = await psycopg.AsyncConnection.connect(url)
    async with open_checkpoint(url, clock=_now_ms, size_max=1) as checkpoints, copying:
        recorder = Recorder(checkpoints)
        step = PartitionStep(
            recipes(price_table(), FoldRules())[topics.AGENTS.address],
            recorder,
            log_id="bench",
            partition=0,
            stored=lambda stored: None,
            stopwatch=time.perf_counter,
        )
        for number in range(ROUNDS + 1):
            recorder.work.clear()
            for _ in range(shape.batches):
                one = next(batches)
                await step.take(one, one.records[-1].timestamp)
            runs = [_copied(copying, recorder.work), _committed(checkpoints, url, recorder.work)]
            costs = [await run for run in (runs if number % 2 else reversed(runs))]
            if number:
                bare.append(costs[0 if number % 2 else 1])
                ours.append(costs[1 if number % 2 else 0])
                touched += [len(work.outcome.cells) for work in recorder.work]
    return _figures(shape, of, bare=bare, ours=ours, touched=touched)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _batches(shape: Shape) -> Iterator[Slice]:
    """Yield the batches of a load that ends about now."""
    count = shape.events * shape.batches * (ROUNDS + 1)
    load = Load(
        partitions=1, events=count, end_ms=_now_ms(), rate=shape.rate,
        sessions=shape.sessions, projects=1, tools=TOOLS,
    )  # fmt: skip
    begin_ms = load.end_ms - count * 1_000 // shape.rate
    for first in range(0, count, shape.events):
        numbers = range(first, first + shape.events)
        moments = [begin_ms + number * 1_000 // shape.rate for number in numbers]
        events = [made(load, *one) for one in zip(numbers, moments, strict=True)]
        taken = [
            Taken(*one) for one in zip(numbers, moments, (e.value for e in events), strict=True)
        ]
        yield Slice(first, first + shape.events, taken)


async def _copied(db: psycopg.AsyncConnection[TupleRow], work: Sequence[Work]) -> Cost:
    """Copy the raw rows alone."""
    meter = Meter(db.info.backend_pid)
    for one in work:
        claim = Checkpoint(
            log_id=BARE_LOG, topic="", partition=0, epoch=0, next_offset=0, watermark_ms=0,
            open_cells=(),
        )  # fmt: skip
        with meter:
            await batch.add_events(db, claim, one.outcome, received_ms=_now_ms())
            await db.commit()
    return meter.cost(sum(len(one.outcome.raw) for one in work))


async def _committed(checkpoints: CheckpointStore, url: str, work: Sequence[Work]) -> Cost:
    """Commit everything."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        query = (
            "select pid from pg_stat_activity"
            " where application_name = %s and datname = current_database()"
        )
        [(pid,)] = await (await db.execute(query, [WORKER])).fetchall()
    meter = Meter(pid)
    for one in work:
        with meter:
            await checkpoints.commit(
                one.claim, one.outcome, outbox=one.outbox, dead_letters=one.dead_letters
            )
    return meter.cost(sum(len(one.outcome.raw) for one in work))


class Meter:
    """Adds up what the stretches within it cost here and in one process of the server."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._client_s = self._server_s = 0.0
        self._times_s: list[float] = []

    def __enter__(self) -> None:
        self._server_s -= _cpu_s(self._pid)
        self._client_s -= time.process_time()
        self._times_s.append(-time.perf_counter())

    def __exit__(self, *_: object) -> None:
        self._times_s[-1] += time.perf_counter()
        self._client_s += time.process_time()
        self._server_s += _cpu_s(self._pid)

    def cost(self, rows: int) -> Cost:
        """Return the sum."""
        return Cost(rows, sum(self._times_s), self._client_s, self._server_s, self._times_s)


def _cpu_s(pid: int) -> float:
    """Return the CPU time of a process, to the nanosecond, as Linux tells it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _figures(
    shape: Shape, of: str, *, bare: Sequence[Cost], ours: Sequence[Cost], touched: Sequence[int]
) -> tuple[Figure, ...]:
    def beside(name: str, value: float, limit: float, unit: str, *, goal: bool) -> Figure:
        return Figure(
            name=f"{of}, {shape.name}: {name}",
            value=value,
            unit=unit,
            limit=limit,
            goal=RATIO_GOAL * limit if goal and shape.is_goal else None,
            at_least=True,
            note=f"{median(touched):,.0f} cells a batch" if goal else "",
        )

    def middle(costs: Sequence[Cost], measure: str) -> float:
        return float(median(getattr(cost, measure) / cost.rows for cost in costs))

    def rates(costs: Sequence[Cost]) -> tuple[float, float]:
        cpu_s = median((cost.client_s + cost.server_s) / cost.rows for cost in costs)
        return 1 / middle(costs, "wall_s"), 1 / cpu_s

    (rate, per_cpu_s), (bare_rate, bare_per_cpu_s) = rates(ours), rates(bare)
    times_ms = [taken * 1_000 for cost in ours for taken in cost.times_s]
    bare_ms = [taken * 1_000 for cost in bare for taken in cost.times_s]
    micro = 1e6
    return (
        beside("rows", rate, bare_rate, "/s", goal=True),
        beside("rows a CPU-second of both sides", per_cpu_s, bare_per_cpu_s, "/s", goal=True),
        *(
            beside(
                f"CPU of the {side}",
                micro * middle(ours, f"{side}_s"),
                micro * middle(bare, f"{side}_s"),
                "µs/row",
                goal=False,
            )
            for side in ("client", "server")
        ),
        Figure(
            name=f"{of}, {shape.name}: commit p99",
            value=percentile(times_ms, 0.99),
            unit="ms",
            limit=percentile(bare_ms, 0.99),
            goal=COMMIT_GOAL_MS if shape.is_goal and shape.events == GOAL_EVENTS else None,
            note=f"p50 {median(times_ms):.1f} ms, {len(times_ms)} commits",
        ),
    )
