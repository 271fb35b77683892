"""What a store that fails, hangs or refuses a value does to a commit."""

import asyncio

import psycopg
import pytest

from analytics.contracts.errors import Fenced, StoreAway
from analytics.measures.rows import CellKey, Grain
from streams.store import checkpoint_postgres, fencing
from streams.store.checkpoint import Checkpoint
from streams.store.checkpoint_postgres import PostgresCheckpoint, open_checkpoint
from tests.support.facts import T0_MS
from tests.support.outcomes import (
    TENANT,
    PostgresLooker,
    cell,
    outcome,
    raw,
    seen,
    session,
    session_key,
)

WAITING = (
    "select distinct pid from pg_locks join pg_stat_activity using (pid)"
    " where datname = current_database() and not granted"
)
TRYING = (
    "select pid from pg_stat_activity where datname = current_database()"
    " and pid <> pg_backend_pid() and query like 'select pg_try_advisory_xact_lock%'"
)
EVERYTHING = outcome(
    1, 3, cells=(cell(),), sessions=(session(),), seen=(seen(b"memory", batch_offset=1),)
)


async def _terminate_whoever_waits(url: str) -> None:
    """End the backend of a commit that waits for a lock, as a crash in the middle would."""
    await _until(url, WAITING, 1)
    db = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with db:
        await db.execute(f"select pg_terminate_backend(pid) from ({WAITING}) as waiting".encode())


@pytest.mark.parametrize("table", ["sessions", "window_10s", "seen", "events"])
@pytest.mark.requirement("counted-once-on-replay")
async def test_a_backend_killed_in_the_middle_of_a_commit_leaves_nothing_of_it(
    store_url: str, table: str
) -> None:
    look = PostgresLooker(store_url)
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 1))
        holder = await psycopg.AsyncConnection.connect(store_url)
        await holder.execute(f"lock table {table} in access exclusive mode".encode())
        commit = asyncio.create_task(checkpoints.commit(claim, EVERYTHING))
        await _terminate_whoever_waits(store_url)
        with pytest.raises(StoreAway):
            await commit
        await holder.close()

        assert look.raw_ids() == ["event-0"]
        assert look.cells() == []
        assert await checkpoints.recall([session_key()]) == {}

        with pytest.raises(Fenced):
            await checkpoints.commit(claim, EVERYTHING)
        again = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await checkpoints.commit(again, EVERYTHING)

    assert again.next_offset == 1
    assert look.raw_ids() == ["event-0", "event-1", "event-2"]
    assert [one.calls for one in look.cells()] == [1]


async def test_a_commit_that_takes_too_long_is_given_up(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_postgres, "COMMIT_TIMEOUT_S", 0.2)
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        holder = await psycopg.AsyncConnection.connect(store_url)
        await holder.execute("lock table events in access exclusive mode")

        with pytest.raises(StoreAway):
            await checkpoints.commit(claim, outcome(0, 1))
        await holder.close()

        assert PostgresLooker(store_url).raw_ids() == []
        assert (await checkpoints.claim(cluster_id="c1", topic="t", partition=0)).next_offset == 0


async def test_a_claim_waits_for_the_commit_that_is_under_way(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fencing, "PATIENCE_S", 60.0)
    async with (
        open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints,
        open_checkpoint(store_url, clock=lambda: T0_MS) as other,
    ):
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        holder = await psycopg.AsyncConnection.connect(store_url)
        await holder.execute("lock table events in access exclusive mode")
        commit = asyncio.create_task(checkpoints.commit(claim, outcome(0, 1)))
        await _until(store_url, WAITING, 1)
        claiming = asyncio.create_task(other.claim(cluster_id="c1", topic="t", partition=0))
        await _until(store_url, TRYING, 1)
        await holder.close()
        await commit

        assert (await claiming).next_offset == 1


async def test_a_store_that_was_away_is_used_again_once_it_is_back(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await _end_all_connections(store_url)

        claim = await _claim_patiently(checkpoints)
        await checkpoints.commit(claim, outcome(0, 1))

    assert PostgresLooker(store_url).raw_ids() == ["event-0"]


@pytest.mark.requirement("bad-input-answered")
async def test_values_that_postgresql_cannot_hold_are_replaced_and_the_rest_is_kept(
    store_url: str,
) -> None:
    bad = (
        raw(0, id="nul\x00", payload=b'{"text":"a\\u0000b","keep":"\\\\u0000","n":1.50}'),
        raw(1, tool="half \ud800", payload=b'{"text":"\\ud800","n":1e999999}'),
        raw(2, payload=b"no json"),
        raw(3),
    )
    key = CellKey(tenant=TENANT, grain=Grain.FLEET, tool="t\x00")
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await checkpoints.commit(
            claim,
            outcome(0, 4, raw=bad, cells=(cell(key=key),), sessions=(session("s\x00"),)),
        )
        resumed = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        known = await checkpoints.recall([session_key("s\x00")])

    rows = PostgresLooker(store_url).rows(
        "select id, tool, payload from events order by log_offset"
    )
    assert rows == [
        ("nul\ufffd", "", {"text": "a\ufffdb", "keep": "\\u0000", "n": 1.5}),
        ("event-1", "half \ufffd", {"text": "\ufffd", "n": "1e999999"}),
        ("event-2", "", {"unreadable": "no json"}),
        ("event-3", "", {"type": "request.finished", "id": "event-3"}),
    ]
    assert resumed.open_cells[0].key.tool == "t\ufffd"
    assert list(known) == [session_key("s\x00")]


async def test_a_sum_beyond_64_bits_stays_at_the_bound(store_url: str) -> None:
    beyond = cell(2**63)
    rows = (raw(0, cost_nanousd=2**70),)
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 1, raw=rows, cells=(beyond,)))

    look = PostgresLooker(store_url)
    assert [one.calls for one in look.cells()] == [2**63 - 1]
    assert look.rows("select cost_nanousd from events") == [(2**63 - 1,)]


async def test_a_store_without_its_schema_says_to_migrate(empty_url: str) -> None:
    async with open_checkpoint(empty_url, clock=lambda: T0_MS) as checkpoints:
        with pytest.raises(StoreAway, match="mainstem migrate"):
            await checkpoints.claim(cluster_id="c1", topic="t", partition=0)


async def _until(url: str, sessions: str, count: int) -> None:
    query = f"select count(*) from ({sessions}) as found".encode()
    db = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with db, asyncio.timeout(5):
        found = await (await db.execute(query)).fetchone()
        while found != (count,):
            found = await (await db.execute(query)).fetchone()


async def _end_all_connections(url: str) -> None:
    db = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with db:
        await db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


async def _claim_patiently(checkpoints: PostgresCheckpoint) -> Checkpoint:
    async with asyncio.timeout(5):
        while True:
            try:
                return await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
            except StoreAway:
                await asyncio.sleep(0)
