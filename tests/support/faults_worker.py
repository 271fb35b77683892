"""A worker with a broken checkpoints, for the crash tests alone: they have to catch what it does.

`python -m tests.support.faults_worker KIND` runs the worker as `mainstem worker` does, over a
checkpoints that is wrong in the way that KIND names. Each is the real one but for how it commits,
so the SQL is the real one too; the wrong moment is drawn out, so that a few kills hit it.
"""

import asyncio
import signal
import sys
import time
from functools import partial
from typing import Any, Final

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

from analytics.contracts.errors import Fenced
from analytics.measures.rows import MEASURES, BatchOutcome
from apps.cli import worker_rules
from apps.local import topics
from apps.runtime.logging import log_to_stderr
from apps.runtime.prices import price_table
from streams import agents
from streams.consumer import health, topology
from streams.consumer.fingerprints import NO_MARK
from streams.consumer.stream import Parts
from streams.consumer.worker import Worker
from streams.maintenance import jobs
from streams.settings import StreamsSettings, load
from streams.store.checkpoint import Checkpoint
from streams.store.checkpoint_postgres import PostgresCheckpoint
from streams.store.pool import opened

GAP_S: Final = 0.15


class OffsetFirst(PostgresCheckpoint):
    """Commits the offset before the rows: what dies in between has lost them."""

    async def commit(self, claim: Checkpoint, outcome: BatchOutcome, **rest: Any) -> None:
        """Commit in two transactions."""
        await super().commit(claim, _bare(outcome))
        await asyncio.sleep(GAP_S)
        rows = msgspec.structs.replace(outcome, first_offset=outcome.next_offset)
        await super().commit(claim, rows, **rest)


class RowsFirst(PostgresCheckpoint):
    """Commits the rows before the offset and the ids: what dies in between counts them again."""

    async def commit(self, claim: Checkpoint, outcome: BatchOutcome, **rest: Any) -> None:
        """Commit in two transactions."""
        rows = msgspec.structs.replace(
            outcome, next_offset=outcome.first_offset, seen=(), mark=NO_MARK
        )
        await super().commit(claim, rows, **rest)
        await asyncio.sleep(GAP_S)
        await super().commit(claim, msgspec.structs.replace(_bare(outcome), seen=outcome.seen))


class Unfenced(PostgresCheckpoint):
    """Writes whoever has claimed the partition by now: a worker that slept overwrites the other."""

    clusters: dict[int, str]

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Claim, and remember where."""
        claim = await super().claim(cluster_id=cluster_id, topic=topic, partition=partition)
        self.clusters = getattr(self, "clusters", {}) | {claim.log_id: cluster_id}
        return claim

    async def commit(self, claim: Checkpoint, outcome: BatchOutcome, **rest: Any) -> None:
        """Commit under whatever epoch there is, from wherever it is."""
        await asyncio.sleep(GAP_S)
        try:
            await super().commit(claim, outcome, **rest)
        except Fenced:
            forced = await super().claim(
                cluster_id=self.clusters[claim.log_id],
                topic=claim.topic,
                partition=claim.partition,
            )
            moved = msgspec.structs.replace(
                outcome,
                first_offset=forced.next_offset,
                next_offset=max(forced.next_offset, outcome.next_offset),
            )
            await super().commit(forced, moved, **rest)


KINDS: Final[dict[str, type[PostgresCheckpoint]]] = {
    "offset-first": OffsetFirst,
    "rows-first": RowsFirst,
    "unfenced": Unfenced,
    "adding": PostgresCheckpoint,
}
ADDING: Final = "adding"
"""Its store adds what a cell is told to what it had, instead of replacing it."""
ADDED_TABLES: Final = ("window_10s", "window_1m")


def _bare(outcome: BatchOutcome) -> BatchOutcome:
    """Return the outcome without its rows: the offset alone."""
    return msgspec.structs.replace(outcome, raw=(), cells=(), closed=(), sessions=(), seen=())


def _make_add(url: str) -> None:
    """Have the store add to a cell where it is asked to replace it."""
    sums = SQL("; ").join(
        SQL("new.{0} := coalesce(old.{0}, 0) + coalesce(new.{0}, 0)").format(Identifier(name))
        for name in MEASURES
    )
    body = SQL(
        "create or replace function adds() returns trigger language plpgsql as $$"
        " begin {}; return new; end $$"
    ).format(sums)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(body)
        for table in ADDED_TABLES:
            db.execute(
                SQL(
                    "create or replace trigger adds before update on {}"
                    " for each row execute function adds()"
                ).format(Identifier(table))
            )


async def _work(kind: str, settings: StreamsSettings) -> None:
    url = settings.store_url.get_secret_value()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if kind == ADDING:
        await asyncio.to_thread(_make_add, url)
    async with opened(url, size_max=settings.store_connections_max) as connections:
        parts = Parts(
            checkpoints=KINDS[kind](connections, clock=_now_ms),
            recipes=topology.recipes(
                price_table(None), topology.rules(settings), topology.merge_rules(settings)
            ),
            agents=agents.ALL,
            prepare=partial(topics.ensure_topics, settings.broker, partitions=settings.partitions),
            jobs=lambda: jobs.run_due(url, worker_rules.retention(settings), now_ms=_now_ms()),
        )
        worker = Worker(settings, parts)
        async with health.serving(worker.progress, host="127.0.0.1", port=settings.metrics_port):
            await worker.run(stopping)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    log_to_stderr(quiet=("aiokafka", "faust", "mode"))
    asyncio.run(_work(sys.argv[1], load()))
