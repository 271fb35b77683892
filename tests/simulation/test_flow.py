"""The whole flow on a virtual clock, with faults: nothing lost, nothing counted twice.

A seed that fails is named in the message; `MAINSTEM_SIMULATION_SEED=7` runs that one alone, and
`MAINSTEM_SIMULATION_SEEDS=10000` runs that many, over all cores.
"""

import asyncio
import copy
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

import msgspec
import pytest

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import StoreAway
from analytics.measures.rows import MEASURES, BatchOutcome, CellRow
from streams.store.checkpoint import Checkpoint, DeadLetter
from tests.support.checkpoint_memory import CellId, MemoryCheckpoint, Position
from tests.support.stream_simulation import Flow
from tests.support.stream_truth import violations

SEEDS = int(os.environ.get("MAINSTEM_SIMULATION_SEEDS", "200"))
STEPS = 80
SHARE = 250
"""Seeds that one process runs in a row; fewer in all are run right here."""
BROKEN_SEEDS = 120
"""A broken checkpoints has to be found within so many seeds."""


class OffsetFirst(MemoryCheckpoint):
    """A store that moves the offset before the rows are in, as two transactions would."""

    def __init__(self) -> None:
        super().__init__()
        self._commits = 0

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Move the offset; every ninth time, fail before the rows."""
        self._commits += 1
        if self._commits % 9 == 0:
            self._move(self._held(claim), outcome)
            raise StoreAway("the connection was reset between two transactions")
        await super().commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)


class RowsFirst(OffsetFirst):
    """A store that writes the rows before the offset moves, as two transactions would."""

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Write the rows; every ninth time, fail before the offset."""
        self._commits += 1
        if self._commits % 9 == 0:
            self._held(claim)
            self._write(claim, outcome)
            raise StoreAway("the connection was reset between two transactions")
        await MemoryCheckpoint.commit(
            self, claim, outcome, outbox=outbox, dead_letters=dead_letters
        )


class Adding(MemoryCheckpoint):
    """A store that adds a partial to what it has instead of replacing it."""

    def _put(self, cells: dict[CellId, CellRow], cell: CellRow) -> None:
        key = (cell.key, cell.width_ms, cell.start_ms, cell.batch_offset)
        before = cells.get(key)
        if before is not None:
            sums = copy.copy(cell.measures)
            for name in MEASURES:
                setattr(sums, name, getattr(sums, name) + getattr(before.measures, name))
            cell = msgspec.structs.replace(cell, measures=sums)
        super()._put(cells, cell)


class Unfenced(MemoryCheckpoint):
    """A store that lets a worker write whose partition another has claimed."""

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Commit under whatever epoch there is."""
        epoch = self.positions[claim.log_id, claim.partition].epoch
        latest = msgspec.structs.replace(claim, epoch=epoch)
        await super().commit(latest, outcome, outbox=outbox, dead_letters=dead_letters)

    def _expect(self, position: Position, outcome: BatchOutcome) -> None:
        """Take a batch from wherever it begins."""


class Unfollowed(MemoryCheckpoint):
    """A store that lets a worker replace a session that another log's worker follows by now."""

    def _follow(self, claim: Checkpoint, outcome: BatchOutcome) -> None:
        """Let everybody."""


def _ran(seed: int, make: Callable[[], MemoryCheckpoint] = MemoryCheckpoint) -> Flow:
    flow = Flow(seed, store=make())
    asyncio.run(flow.run(STEPS))
    return flow


def _run_share(seeds: Sequence[int]) -> tuple[Counter[str], list[str]]:
    """Return what the runs of some seeds met, and what was wrong with the first that failed."""
    met: Counter[str] = Counter()
    for seed in seeds:
        flow = _ran(seed)
        if wrong := violations(flow):
            return met, [f"seed {seed}: {one}" for one in wrong]
        met.update(flow.watch.seen)
    return met, []


def _shared(seeds: Sequence[int]) -> Iterable[tuple[Counter[str], list[str]]]:
    if len(seeds) <= SHARE:
        yield _run_share(seeds)
        return
    shares = [seeds[start : start + SHARE] for start in range(0, len(seeds), SHARE)]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_run_share, shares)


def _seeds() -> Sequence[int]:
    only = os.environ.get("MAINSTEM_SIMULATION_SEED")
    return range(SEEDS) if only is None else [int(only)]


@pytest.mark.requirement("counted-once-on-replay")
@pytest.mark.requirement("counted-once-by-id")
@pytest.mark.requirement("unreadable-dead-letter")
@pytest.mark.requirement("new-log-starts-anew")
@pytest.mark.requirement("results-published")
def test_whatever_fails_nothing_is_lost_and_nothing_counts_twice() -> None:
    met: Counter[str] = Counter()

    for seen, wrong in _shared(_seeds()):
        assert not wrong, wrong[:5]
        met.update(seen)

    assert len(_seeds()) == 1 or all(
        met[event] for event in ("fenced", "waiting", "rewound", "stored", "claimed")
    ), met


def test_the_same_seed_runs_the_same_way() -> None:
    first, second = _ran(11), _ran(11)

    assert first.now_ms == second.now_ms
    assert first.watch.seen == second.watch.seen
    assert first.store.positions == second.store.positions


@pytest.mark.requirement("fenced-worker-writes-nothing")
@pytest.mark.parametrize("broken", [OffsetFirst, RowsFirst, Adding, Unfenced, Unfollowed])
def test_a_broken_checkpoint_is_caught(broken: type[MemoryCheckpoint]) -> None:
    assert any(violations(_ran(seed, broken)) for seed in range(BROKEN_SEEDS))
