"""What is told apart of each tenant, and what met a limit, on every store."""

import psycopg

from analytics.contracts.ids import TenantId
from analytics.measures.rows import Limited, ToldApart
from streams.queries import system
from streams.store import shares
from streams.store.checkpoint import Checkpoint, CheckpointStore
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.facts import T0_MS
from tests.support.outcomes import Store, outcome

TOPIC = "mainstem.agents.v1"
ACME, GLOBEX = TenantId("acme"), TenantId("globex")
TOOL = ToldApart(ACME, "tool", -7, T0_MS)
PROJECT = ToldApart(GLOBEX, "project", 2**62, T0_MS + 10)


async def _claim(checkpoints: CheckpointStore, *, partition: int = 0) -> Checkpoint:
    return await checkpoints.claim(cluster_id="c1", topic=TOPIC, partition=partition)


async def test_a_claim_gives_back_what_is_told_apart(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    later = ToldApart(ACME, "tool", -7, T0_MS + 20)
    await store.checkpoints.commit(claim, outcome(0, 1, apart=(TOOL, PROJECT)))
    await store.checkpoints.commit(claim, outcome(1, 2, apart=(later,)))

    again = await _claim(store.other)

    assert set(again.apart) == {later, PROJECT}


async def test_what_was_idle_is_forgotten_and_what_comes_with_it_is_not(store: Store) -> None:
    claim = await _claim(store.checkpoints)
    await store.checkpoints.commit(claim, outcome(0, 1, apart=(TOOL, PROJECT)))
    fresh = ToldApart(ACME, "tool", 9, T0_MS + 5)

    await store.checkpoints.commit(claim, outcome(1, 2, apart=(fresh,), apart_since_ms=T0_MS + 5))

    assert set((await _claim(store.checkpoints)).apart) == {PROJECT, fresh}


async def test_each_partition_tells_its_own_apart(store: Store) -> None:
    one, other = await _claim(store.checkpoints), await _claim(store.checkpoints, partition=1)
    await store.checkpoints.commit(one, outcome(0, 1, apart=(TOOL,)))
    await store.checkpoints.commit(
        other, outcome(0, 1, apart=(PROJECT,), apart_since_ms=T0_MS + 99)
    )

    assert (await _claim(store.checkpoints)).apart == (TOOL,)
    assert (await _claim(store.checkpoints, partition=1)).apart == (PROJECT,)


async def test_what_met_a_limit_is_added_up_and_shown_to_its_tenant_alone(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        one, other = await _claim(checkpoints), await _claim(checkpoints, partition=1)
        tools, theirs = Limited(ACME, "tool", 5), Limited(GLOBEX, "session", 3)
        await checkpoints.commit(one, outcome(0, 1, limited=(tools, theirs)))
        await checkpoints.commit(one, outcome(1, 2, limited=(tools,)))
        await checkpoints.commit(other, outcome(0, 1, limited=(Limited(ACME, "tool", 1),)))

    with psycopg.connect(store_url) as db:
        found = system.limited(db, "acme", since_ms=0)

    assert [(one.dimension, one.events) for one in found] == [("tool", 11)]


async def test_what_partitions_that_are_silent_told_apart_is_removed(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim, other = await _claim(checkpoints), await _claim(checkpoints, partition=1)
        await checkpoints.commit(claim, outcome(0, 1, apart=(TOOL,)))
        await checkpoints.commit(other, outcome(0, 1, apart=(PROJECT,)))
        with psycopg.connect(store_url) as db:
            db.execute(
                "update checkpoints set updated_at = now() - interval '3 days' where partition = 0"
            )
            removed = shares.remove_idle(db)

        assert removed == 1
        assert (await _claim(checkpoints)).apart == ()
        assert (await _claim(checkpoints, partition=1)).apart == (PROJECT,)
