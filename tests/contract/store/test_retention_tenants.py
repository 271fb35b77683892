"""A tenant that keeps its data for less time than everybody, beside one that does not."""

from datetime import datetime

import psycopg
import pytest

from streams.maintenance import jobs
from streams.maintenance.retention import Retention
from streams.series import cover
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support import tenants
from tests.support.outcomes import dead_letter, outcome, raw, seen, session
from tests.support.tenants import DAY_MS, NOW_MS, OURS, TODAY_MS

KEPT = Retention()
pytestmark = pytest.mark.requirement("retention-of-tenants")


def _forget(url: str) -> None:
    with psycopg.connect(url) as db:
        for table in (*tenants.EVERY, "rollup_due"):
            db.execute(f"delete from {table}".encode())


def test_minutes_are_added_up_to_five_and_all_that_is_made_of_them_stays_the_same(
    store_url: str,
) -> None:
    tenants.put(store_url, 5, seed=1)
    tenants.put(store_url, 5, seed=2, batch_offset=7)
    tenants.roll_up(store_url)
    wanted = tenants.rows(store_url)
    _forget(store_url)
    tenants.put(store_url, 5, seed=1)
    tenants.roll_up(store_url)

    removed = tenants.sweep(store_url, {"10s": 2, "1m": 2}, KEPT)
    again = tenants.sweep(store_url, {"10s": 2, "1m": 2}, KEPT)
    ours = tenants.rows(store_url, ours=True)
    tenants.put(store_url, 5, seed=2, batch_offset=7)
    tenants.roll_up(store_url)
    found = tenants.rows(store_url)

    assert (list(removed), again) == (["1m"], {})
    assert all(row[0].minute % 5 == 0 for row in (*ours["window_1m"], *ours["total_1m"]))  # type: ignore[attr-defined]  # a time
    assert len(ours["window_1m"]) == 4
    for table in tenants.ROLLED:
        assert found[table] == wanted[table]


def test_the_other_tenant_and_what_is_young_stay_as_they_were(store_url: str) -> None:
    for days in (0, 5, 50):
        tenants.put(store_url, days, seed=days)
    tenants.roll_up(store_url)
    other = tenants.rows(store_url, ours=False)
    young = [row for row in tenants.rows(store_url, ours=True)["window_1m"] if _age(row) < 1]

    tenants.sweep(store_url, {"10s": 3, "1m": 3, "5m": 3, "1h": 3, "1d": 3}, KEPT)

    assert tenants.rows(store_url, ours=False) == other
    left = tenants.rows(store_url, ours=True)
    assert left["window_1m"] == young
    assert all(_age(row) < 1 for rows in left.values() for row in rows)
    assert all(left.values())


def test_a_rollup_goes_before_the_wider_one_that_was_made_of_it(store_url: str) -> None:
    tenants.put(store_url, 50, seed=1)
    tenants.put(store_url, 32, seed=2)
    tenants.roll_up(store_url)
    before = tenants.rows(store_url, ours=True)

    tenants.sweep(store_url, {"5m": 40}, KEPT)

    left = tenants.rows(store_url, ours=True)
    assert {round(_age(row)) for row in left["rollup_5m"]} == {31, 32}
    assert left["rollup_1h"] == before["rollup_1h"]
    with psycopg.connect(store_url, options="-c timezone=UTC") as db:
        assert cover.since(db, OURS)["rollup_5m"] == TODAY_MS - 40 * DAY_MS
        assert cover.since(db).get("rollup_5m", 0) < TODAY_MS - 40 * DAY_MS


def test_a_rollup_that_a_wider_one_waits_for_stays(store_url: str) -> None:
    tenants.put(store_url, 50, seed=1)
    with psycopg.connect(store_url) as db:
        tenants.roll_up(store_url)
        db.execute(
            "insert into rollup_due (width_ms, start_at) values (3600000, to_timestamp(%s))",
            [TODAY_MS / 1_000 - 51 * 86_400],
        )
    before = tenants.rows(store_url, ours=True)

    assert tenants.sweep(store_url, {"5m": 40}, KEPT) == {}
    assert tenants.rows(store_url, ours=True) == before


async def test_events_sessions_and_dead_letters_of_one_tenant_go_by_the_job(store_url: str) -> None:
    for number, tenant in enumerate((OURS, "local")):
        old_ms = NOW_MS - 4 * DAY_MS
        async with open_checkpoint(store_url, clock=lambda old_ms=old_ms: old_ms) as checkpoints:  # type: ignore[misc]  # bound early
            claim = await checkpoints.claim(cluster_id=f"c{number}", topic="t", partition=0)
            kept = outcome(
                0,
                1,
                raw=(raw(0, tenant=tenant, id=tenant),),
                sessions=(session(tenant=tenant, last_ms=old_ms),),
                seen=(seen(b"m"),) if tenant == "local" else (),
            )
            letter = dead_letter()
            await checkpoints.commit(claim, kept, dead_letters=[letter])
    with psycopg.connect(store_url) as db:
        db.execute("update dead_letters set at = to_timestamp(%s), tenant = case when ctid = "
                   "(select min(ctid) from dead_letters) then 'acme' else 'local' end",
                   [NOW_MS / 1_000 - 4 * 86_400])  # fmt: skip
        for kind in ("events", "sessions", "dead_letters"):
            db.execute(
                "insert into retention_settings (tenant, kind, days) values (%s, %s, 3)",
                [OURS, kind],
            )

    jobs.run_due_now(store_url, KEPT, now_ms=NOW_MS)

    with psycopg.connect(store_url) as db:
        for table in ("events", "sessions", "dead_letters"):
            left = db.execute(f"select tenant from {table}".encode()).fetchall()
            assert left == [("local",)], table
        [[detail]] = db.execute("select detail from jobs where name = 'retention'").fetchall()
    assert detail["of_tenants"] == {"events": 1, "sessions": 1, "dead_letters": 1}


def _age(row: tuple[object, ...]) -> float:
    at = row[0]
    assert isinstance(at, datetime)
    return (TODAY_MS - at.timestamp() * 1_000) / DAY_MS
