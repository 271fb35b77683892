"""Mainstem with its whole store transaction: raw rows, windows, their state, ids and offsets.

The store has tables for windows of 10 s and 1 min: here the first takes those of 1 s and the second
those of 10 s, so that rows, statements and sizes are what such tables would have.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.measures.rows import WIDTHS_MS as STORED_MS
from analytics.measures.rows import BatchOutcome, CellRow
from streams.consumer import topology
from streams.store.checkpoint import Checkpoint, DeadLetter
from streams.store.checkpoint_postgres import PostgresCheckpoint
from streams.store.pool import opened
from tests.bench.engines.mainstem import (
    BY_CONNECTION,
    RULES,
    SPEC,
    Closed,
    no_results,
    now_ms,
    work,
)
from tests.bench.engines.task import WIDTHS_MS, Meter, Task, Window

ABOUT: Final = "worker, each id once, raw rows, windows, state and offsets in one transaction"
DURABILITY: Final = "all in one transaction a batch: exactly once"

_STORED: Final = dict(zip(WIDTHS_MS, STORED_MS, strict=True))
_COUNTED: Final = dict(zip(STORED_MS, WIDTHS_MS, strict=True))


class Store(PostgresCheckpoint):
    """The store as it ships, with tables for the task's widths; says what commits brought."""

    closed: Closed

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Take the partition over."""
        claim = await super().claim(cluster_id=cluster_id, topic=topic, partition=partition)
        return msgspec.structs.replace(claim, open_cells=_told(claim.open_cells, _COUNTED))

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Write everything."""
        stored = outcome
        if claim.topic == topics.CONNECTIONS.address:
            stored = msgspec.structs.replace(outcome, cells=_told(outcome.cells, _STORED))
        await super().commit(claim, stored, outbox=outbox, dead_letters=dead_letters)
        self.closed.take(claim, outcome)


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with a worker."""
    return asyncio.run(_run(task, meter))


async def _run(task: Task, meter: Meter) -> list[Window]:
    closed = Closed(task, meter)
    recipe = topology.tallied(topics.CONNECTIONS, BY_CONNECTION, RULES, SPEC)
    quiet = msgspec.structs.replace(recipe, results=no_results)
    async with opened(task.store_url, size_max=4) as connections:
        store = Store(connections, clock=now_ms)
        store.closed = closed
        await work(task, store, closed.done, quiet)
    return closed.windows


def _told(cells: Iterable[CellRow], widths_ms: dict[int, int]) -> tuple[CellRow, ...]:
    return tuple(msgspec.structs.replace(cell, width_ms=widths_ms[cell.width_ms]) for cell in cells)
