"""What is left behind is put together or removed, and nothing that is needed goes."""

import msgspec
import psycopg
import pytest

from analytics.measures.rows import KeptRow
from streams.maintenance import leftovers, rollups
from streams.store import levels
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.facts import T0_MS
from tests.support.outcomes import PostgresLooker, cell, outcome, seen, session, session_key

DAY_MS = 86_400_000
NOW_MS = T0_MS + 2 * DAY_MS


async def test_pieces_of_a_quiet_sessions_memory_become_one_that_reads_the_same(
    store_url: str,
) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        for number, memory in enumerate((b"one", b"two", b"three")):
            memories = (seen(memory, name="quiet"), seen(memory, name="busy"))
            sessions = (session("quiet", last_ms=T0_MS), session("busy", last_ms=NOW_MS))
            await checkpoints.commit(
                claim, outcome(number, number + 1, sessions=sessions, seen=memories)
            )
        changed = _put_together(store_url)
        again = _put_together(store_url)
        late = seen(b"four", name="quiet", batch_offset=3)
        await checkpoints.commit(claim, outcome(3, 4, seen=(late,)))
        known = await checkpoints.recall([session_key("quiet"), session_key("busy")])

    assert (changed, again) == (1, 0)
    assert known[session_key("quiet")].memories == (b"onetwothree", b"four")
    assert known[session_key("busy")].memories == (b"one", b"two", b"three")


async def test_a_piece_added_while_memories_are_put_together_stays_behind_them(
    store_url: str,
) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        for number, memory in enumerate((b"one", b"two")):
            rows = (session(last_ms=T0_MS),)
            await checkpoints.commit(
                claim, outcome(number, number + 1, sessions=rows, seen=(seen(memory),))
            )
        with psycopg.connect(store_url) as other:
            other.execute(
                "insert into seen (tenant, session_id, log_id, partition, batch_offset, memory)"
                " select tenant, session_id, log_id, partition, 2, 'three' from seen limit 1"
            )
            assert _put_together(store_url) == 1
        known = await checkpoints.recall([session_key()])

    assert known[session_key()].memories == (b"onetwo", b"three")


@pytest.mark.parametrize("used", [True, False])
async def test_a_series_goes_once_nothing_refers_to_it_and_no_worker_uses_it(
    store_url: str, used: bool
) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 1, cells=(cell(1, width_ms=60_000),)))
    with psycopg.connect(store_url, autocommit=True) as db:
        level = levels.detect(db)
        for hours in range(3):
            rollups.run(db, level, now_ms=NOW_MS + hours * 3_600_000)
        assert db.execute("select count(*) from rollup_1d").fetchone() == (1,)
        if not used:
            db.execute("update series set used_at = now() - interval '4 days'")
        kept = leftovers.remove_series(db)
        db.execute("delete from rollup_1d")
        removed = leftovers.remove_series(db)

    assert (kept, removed) == (0, 0 if used else 1)


@pytest.mark.parametrize("is_gone", [True, False])
async def test_what_a_second_stage_kept_goes_with_its_log(store_url: str, is_gone: bool) -> None:
    kept = KeptRow(0, T0_MS, b"parcel")
    merged = msgspec.structs.replace(outcome(0, 1), raw=(), kept=(kept,), state=b"known")
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        for cluster in ("here", "there"):
            claim = await checkpoints.claim(cluster_id=cluster, topic="t", partition=0)
            await checkpoints.commit(claim, merged)
        with psycopg.connect(store_url, autocommit=True) as db:
            if is_gone:
                db.execute(
                    "update checkpoints set updated_at = now() - interval '8 days' where log_id ="
                    " (select log_id from logs where cluster_id = 'there')"
                )
            removed = leftovers.remove_kept(db)
        here, there = [
            await checkpoints.claim(cluster_id=cluster, topic="t", partition=0)
            for cluster in ("here", "there")
        ]

    assert (removed, here.kept, here.state) == (int(is_gone), (b"parcel",), b"known")
    assert (there.kept, there.state) == (((), b"") if is_gone else (here.kept, here.state))


def _put_together(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as db:
        return leftovers.put_together(db, now_ms=NOW_MS)


async def test_a_worker_says_again_that_it_uses_a_series(store_url: str) -> None:
    now_ms = NOW_MS
    async with open_checkpoint(store_url, clock=lambda: now_ms) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 1, cells=(cell(1),)))
        with psycopg.connect(store_url, autocommit=True) as db:
            db.execute("update series set used_at = now() - interval '4 days'")
        now_ms += DAY_MS
        await checkpoints.commit(claim, outcome(1, 2, cells=(cell(2),)))

    fresh = "select count(*) from series where used_at > now() - interval '1 hour'"
    assert PostgresLooker(store_url).rows(fresh) == [(1,)]
