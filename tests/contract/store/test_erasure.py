"""What is erased goes, stays gone when its events come again, and is on record without content."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import TypeVar

import psycopg
import pytest
from msgspec import Struct, structs

from analytics.contracts.errors import StoreAway
from analytics.measures.rows import BatchOutcome, CellKey, CellRow, Grain, RawRow
from streams.maintenance import erasure, jobs
from streams.maintenance.erasure import Subject
from streams.maintenance.retention import Retention
from streams.store import tombstones
from streams.store.checkpoint import CheckpointStore
from streams.store.checkpoint_postgres import open_checkpoint
from streams.store.tombstones import ErasureKind
from tests.support.facts import T0_MS
from tests.support.outcomes import (
    TENANT,
    PostgresLooker,
    cell,
    dead_letter,
    outcome,
    raw,
    seen,
    session,
    session_key,
)

Row = TypeVar("Row", bound=Struct)

ADA, BOB = "session-of-ada-0001", "session-of-bob-0001"
DAY_MS = 86_400_000
SESSION = Subject(tenant=TENANT, kind=ErasureKind.SESSION, name=ADA)
USER = Subject(tenant=TENANT, kind=ErasureKind.USER, name="ada")
NAMED = (
    "select (select count(*) from events where payload::text ~ 'ada|0001' or session_id = '{0}'),"
    " (select count(*) from sessions where session_id = '{0}'),"
    " (select count(*) from seen where session_id = '{0}'),"
    " (select count(*) from series where session_id = '{0}'),"
    " (select count(*) from dead_letters where position('{0}'::bytea in payload) > 0)"
)


def _cells(*names: str) -> tuple[CellRow, ...]:
    mine = [
        CellKey(tenant=TENANT, grain=Grain.SESSION, session_id=name, agent="claude-code")
        for name in names
    ]
    return tuple(
        cell(5, key=key, width_ms=width, start_ms=T0_MS - T0_MS % width)
        for width in (10_000, 60_000)
        for key in (*mine, cell().key)
    )


def _raw(offset: int, name: str, user: str, *, at_ms: int = T0_MS) -> RawRow:
    payload = json.dumps({"id": f"{user}-{offset}", "user": user}).encode()
    return raw(offset, session=name, id=f"{user}-{offset}", payload=payload, at_ms=at_ms)


def _batch(first: int, *, at_ms: int = T0_MS) -> BatchOutcome:
    both = ((ADA, "ada"), (BOB, "bob"))
    return outcome(
        first,
        first + 2,
        raw=tuple(_raw(first + n, *one, at_ms=at_ms) for n, one in enumerate(both)),
        cells=_cells(ADA, BOB),
        sessions=tuple(session(name, user=user) for name, user in both),
        seen=tuple(seen(b"m", name=name) for name, _ in both),
    )


async def _store(checkpoints: CheckpointStore, *batches: BatchOutcome, cluster: str = "c1") -> None:
    claim = await checkpoints.claim(cluster_id=cluster, topic="t", partition=0)
    await checkpoints.recall([session_key(ADA), session_key(BOB)], claim=claim)
    for batch in batches:
        letter = dead_letter(batch.first_offset)
        await checkpoints.commit(claim, batch, dead_letters=[letter])


def _left(url: str, name: str) -> Sequence[object]:
    return PostgresLooker(url).rows(NAMED.format(name))[0]


def _windows_of(url: str, name: str) -> int:
    tables = ("window_10s", "window_1m", "rollup_5m", "rollup_1h", "rollup_1d")
    known = PostgresLooker(url).rows(
        f"select series_id from series where session_id = '{name}' and grain = 'session'"
    )
    counts = [
        PostgresLooker(url).rows(f"select count(*) from {table} where series_id = {number}")[0][0]
        for table in tables
        for (number,) in known
    ]
    return sum(count for count in counts if isinstance(count, int))


@pytest.mark.requirement("erasure")
@pytest.mark.parametrize("subject", [SESSION, USER], ids=str)
async def test_an_erased_subject_is_gone_and_others_and_sums_stay(
    store_url: str, subject: Subject
) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))
    for minutes in (0, 10, 180):
        jobs.run_due_now(store_url, Retention(), now_ms=T0_MS + minutes * 60_000)
    assert _windows_of(store_url, ADA) >= 5
    assert erasure.look(store_url, subject) == erasure.Found(sessions=1, events=1)

    done = erasure.erase(store_url, subject, asked_by="the officer")

    assert _left(store_url, ADA) == (0, 0, 0, 0, 0)
    assert PostgresLooker(store_url).raw_ids() == ["bob-1"]
    assert _windows_of(store_url, BOB) >= 5
    assert done.removed["events"] == done.removed["sessions"] == done.removed["window_10s"] == 1
    fleet = PostgresLooker(store_url).rows(
        "select sum(calls) from window_1m join series using (series_id) where grain = 'fleet'"
    )
    assert fleet == [(5,)]


async def test_erasing_again_removes_nothing_and_is_on_record(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))

    first = erasure.erase(store_url, USER, asked_by="the officer")
    second = erasure.erase(store_url, USER, asked_by="another")

    newest, oldest = erasure.entries(store_url, TENANT)
    assert second.removed == {}
    assert (oldest.asked_by, oldest.removed) == ("the officer", first.removed)
    assert (newest.asked_by, newest.removed, newest.kind) == ("another", {}, "user")
    assert newest.subject == oldest.subject == first.subject
    assert "ada" not in PostgresLooker(store_url).rows("select erasures::text from erasures")[0][0]  # type: ignore[operator]  # a text


@pytest.mark.requirement("erasure")
@pytest.mark.parametrize("subject", [SESSION, USER], ids=str)
async def test_the_same_events_from_the_log_do_not_bring_it_back(
    store_url: str, subject: Subject
) -> None:
    """A worker that was there before, one that starts later, and another log with the same."""
    async with (
        open_checkpoint(store_url, clock=lambda: T0_MS) as before,
        open_checkpoint(store_url, clock=lambda: T0_MS) as other,
    ):
        claim = await before.claim(cluster_id="c1", topic="t", partition=0)
        await before.commit(claim, _batch(0))
        erasure.erase(store_url, subject, asked_by="the officer")

        await before.commit(claim, _batch(2))
        await _store(other, _batch(0), cluster="c2")
        known = await other.recall([session_key(ADA), session_key(BOB)])

    assert list(known) == [session_key(BOB)]
    assert _left(store_url, ADA) == (0, 0, 0, 0, 0)
    assert sorted(PostgresLooker(store_url).raw_ids()) == ["bob-1", "bob-1", "bob-3"]


async def test_a_session_of_an_erased_user_that_was_not_stored_yet_is_not_stored(
    store_url: str,
) -> None:
    erasure.erase(store_url, USER, asked_by="the officer")
    only_cells = outcome(2, 2, raw=(), cells=_cells(ADA))
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0), only_cells)

    assert _left(store_url, ADA) == (0, 0, 0, 0, 0)
    assert _left(store_url, BOB)[1:] == (1, 1, 1, 0)


async def test_what_an_erased_user_does_later_is_kept(store_url: str) -> None:
    erasure.erase(store_url, USER, asked_by="the officer")
    later_ms = 4_000_000_000_000
    fresh = outcome(
        0, 1, raw=(_raw(0, "s9", "ada", at_ms=later_ms),),
        sessions=(session("s9", started_ms=later_ms, last_ms=later_ms),),
    )  # fmt: skip
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, fresh)

    assert PostgresLooker(store_url).raw_ids() == ["ada-0"]
    assert PostgresLooker(store_url).rows("select session_id from sessions") == [("s9",)]


async def test_other_tenants_keep_what_has_the_same_name(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))
    other = Subject(tenant="acme", kind=ErasureKind.SESSION, name=ADA)

    assert erasure.erase(store_url, other, asked_by="the officer").removed == {}
    assert _left(store_url, ADA)[1] == 1


async def test_an_erasure_waits_for_the_commits_that_are_under_way(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "LOCK_TIMEOUT_S", 1)
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))
    with psycopg.connect(store_url) as commit:
        commit.execute("select pg_advisory_xact_lock_shared(%s)", [tombstones.LOCK])
        with pytest.raises(StoreAway, match="an erasure"):
            await asyncio.to_thread(erasure.erase, store_url, SESSION, asked_by="the officer")

    assert erasure.erase(store_url, SESSION, asked_by="the officer").removed["sessions"] == 1


TENANT_WHOLE = Subject(tenant=TENANT, kind=ErasureKind.TENANT, name=TENANT)
_OF_TENANTS = """
select distinct c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'tenant'
   and not c.relispartition and c.relname not in ('erasures', 'tombstones')
"""


def _tables_with(url: str, tenant: str) -> list[object]:
    """Return the tables that hold a row of a tenant."""
    look = PostgresLooker(url)
    return [
        table
        for (table,) in look.rows(_OF_TENANTS)
        if look.rows(f"select 1 from {table} where tenant = '{tenant}' limit 1")
    ]


def _of(tenant: str, batch: BatchOutcome) -> BatchOutcome:
    """Return the same batch as another tenant would have it."""

    def moved(row: Row) -> Row:
        return structs.replace(row, tenant=tenant)

    return structs.replace(
        batch,
        raw=tuple(map(moved, batch.raw)),
        cells=tuple(structs.replace(row, key=moved(row.key)) for row in batch.cells),
        sessions=tuple(map(moved, batch.sessions)),
        seen=tuple(map(moved, batch.seen)),
    )


@pytest.mark.requirement("erasure")
async def test_of_an_erased_tenant_nothing_is_left_and_another_keeps_all(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))
        claim = await checkpoints.claim(cluster_id="c2", topic="t", partition=0)
        await checkpoints.commit(claim, _of("acme", _batch(0)))
    for minutes in (0, 10, 180):
        jobs.run_due_now(store_url, Retention(), now_ms=T0_MS + minutes * 60_000)
    kept = _tables_with(store_url, "acme")
    assert {"events", "sessions", "series", "total_1h"} <= set(_tables_with(store_url, TENANT))
    assert erasure.look(store_url, TENANT_WHOLE) == erasure.Found(sessions=2, events=2)

    done = erasure.erase(store_url, TENANT_WHOLE, asked_by="the officer")

    assert _tables_with(store_url, TENANT) == []
    assert _tables_with(store_url, "acme") == kept
    assert done.removed["events"] == done.removed["sessions"] == 2
    left = "select count(*) from {} where series_id not in (select series_id from series)"
    for table in ("window_10s", "window_1m", "rollup_5m", "rollup_1h", "rollup_1d"):
        assert PostgresLooker(store_url).rows(left.format(table)) == [(0,)]


async def test_a_tenant_that_was_erased_starts_anew_and_its_past_stays_away(store_url: str) -> None:
    later_ms = 4_000_000_000_000
    fresh = outcome(
        4, 5, raw=(_raw(4, "s9", "eve", at_ms=later_ms),),
        cells=(cell(3, start_ms=later_ms),),
        sessions=(session("s9", started_ms=later_ms, last_ms=later_ms),),
    )  # fmt: skip
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c1", topic="t", partition=0)
        await checkpoints.commit(claim, _batch(0))
        erasure.erase(store_url, TENANT_WHOLE, asked_by="the officer")
        await checkpoints.commit(claim, _batch(2))
        assert _tables_with(store_url, TENANT) == []

        await checkpoints.commit(claim, fresh)

    assert PostgresLooker(store_url).raw_ids() == ["eve-4"]
    sums = "select sum(calls) from window_10s join series using (series_id) where grain = 'fleet'"
    assert PostgresLooker(store_url).rows(sums) == [(3,)]


async def test_what_is_lifted_is_stored_when_it_is_told_again(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))
        erasure.erase(store_url, TENANT_WHOLE, asked_by="the officer")

        assert erasure.lift(store_url, TENANT) > 0
        await _store(checkpoints, _batch(0), cluster="c2")

    assert sorted(PostgresLooker(store_url).raw_ids()) == ["ada-0", "bob-1"]


def test_it_says_what_it_cannot_reach() -> None:
    said = " ".join(erasure.beyond())

    assert "agents.v1 7 d" in said
    assert "backups" in said


_WATCHED = """
insert into watched (watch_id, tenant, measure, dimension, part, since_ms, active_ms)
values (1, 'local', 'cost', 'session', %(name)s, 0, 0);
insert into scores values (now(), 1, 1, 0, 2, 0.5);
insert into anomalies values ('a', 'local', now(), 1, 'cost', 'session', %(name)s, 1, 0, 2, 1, 1,
                              'level', 'odd', '[]');
insert into alert_changes (tenant, at, fingerprint, labels, was, state)
values ('local', now(), 'f', jsonb_build_object('session_id', %(name)s::text), '', 'firing');
insert into notices (key, tenant, at, receiver, integration, why, body)
values ('k', 'local', now(), 'r', 'i', 'firing', convert_to(%(name)s, 'UTF8'));
"""
WATCHING = ("watched", "scores", "anomalies", "alert_changes", "notices")


async def test_what_watching_said_goes_too_and_again_when_it_comes_back(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: T0_MS) as checkpoints:
        await _store(checkpoints, _batch(0))
    for erase in (_erase_now, _erase_by_job):
        with psycopg.connect(store_url, cursor_factory=psycopg.ClientCursor) as db:
            db.execute(_WATCHED, {"name": ADA})
        erase(store_url)

        look = PostgresLooker(store_url)
        assert [look.rows(f"select count(*) from {table}") for table in WATCHING] == (
            [[(0,)]] * len(WATCHING)
        )


def _erase_now(url: str) -> None:
    assert erasure.erase(url, USER, asked_by="the officer").removed["anomalies"] == 1


def _erase_by_job(url: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    jobs.run_due_now(url, Retention(), now_ms=now_ms)
