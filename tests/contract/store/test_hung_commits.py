"""A commit that hangs in its middle keeps its partition from nobody."""

from contextlib import AsyncExitStack

import psycopg
import pytest

from streams.store import batch, fencing
from streams.store.checkpoint import Checkpoint, CheckpointStore
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.facts import T0_MS
from tests.support.outcomes import cell, outcome

TOPIC = "mainstem.agents.v1"
COPY = b"copy dead_letters from stdin"


async def _claim(checkpoints: CheckpointStore) -> Checkpoint:
    return await checkpoints.claim(cluster_id="c1", topic=TOPIC, partition=0)


@pytest.mark.requirement("fenced-worker-writes-nothing")
async def test_a_claim_ends_a_commit_that_waits_for_rows_that_never_come(store_url: str) -> None:
    async with (
        open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints,
        await psycopg.AsyncConnection.connect(store_url) as hung,
        AsyncExitStack() as copying,
    ):
        before = await _claim(checkpoints)
        await batch.move(hung, before, outcome(0, 5), expected=0)
        await copying.enter_async_context(hung.cursor().copy(COPY))

        after = await _claim(checkpoints)
        await checkpoints.commit(after, outcome(0, 2, cells=(cell(),)))

        with pytest.raises(psycopg.OperationalError):
            await copying.aclose()
        assert (after.epoch, after.next_offset) == (before.epoch + 1, 0)
        assert (await _claim(checkpoints)).next_offset == 2


async def test_a_claim_ends_a_recall_that_never_ends_too(store_url: str) -> None:
    async with (
        open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints,
        await psycopg.AsyncConnection.connect(store_url) as hung,
    ):
        before = await _claim(checkpoints)
        await fencing.grip_to_recall(hung, before.log_id, before.partition)

        after = await _claim(checkpoints)

        assert after.epoch == before.epoch + 1
        with pytest.raises(psycopg.OperationalError):
            await hung.execute("select 1")
