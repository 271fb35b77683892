"""Continuous aggregates answer what the rollup job answers, through upgrades and retention."""

import time
from typing import Final

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from analytics.measures.rows import MEASURES
from streams.maintenance import jobs, rollups
from streams.maintenance.retention import Retention
from streams.store import levels, schema
from streams.store.levels import Level
from streams.store.schema import Migration
from tests.support import minutes

pytestmark = [pytest.mark.timescaledb, pytest.mark.requirement("store-community")]

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
TABLES: Final = (
    "rollup_5m", "rollup_1h", "rollup_1d", "total_1m", "total_5m", "total_1h", "total_1d",
)  # fmt: skip
WIDTHS: Final = ("5m", "1h", "1d")

Answers = dict[str, list[tuple[object, ...]]]


def _today_ms() -> int:
    return time.time_ns() // 1_000_000 // DAY_MS * DAY_MS


def _spread(day_ms: int) -> list[int]:
    """Return some minutes of two days: alone, side by side, and around midnight."""
    return [
        day_ms + offset * MINUTE_MS
        for offset in (-1_441, -700, -699, -698, -2, -1, 0, 1, 4, 5, 61, 600)
    ]


def _roll_up(url: str) -> None:
    """Run the rollup job thrice, late enough for each width."""
    now_ms = time.time_ns() // 1_000_000
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as db:
        for later_ms in (0, 10 * MINUTE_MS, 3 * HOUR_MS):
            rollups.run(db, levels.detect(db), now_ms=now_ms + later_ms)


def _answers(url: str) -> Answers:
    with psycopg.connect(url, options="-c timezone=UTC") as db:
        return {table: sorted(_rows(db, table)) for table in TABLES}


def _rolled(url: str) -> Answers:
    """Return the answers that are kept for longer than 1-minute windows."""
    return {table: rows for table, rows in _answers(url).items() if table != "total_1m"}


def _rows(db: psycopg.Connection[tuple[object, ...]], table: str) -> list[tuple[str, ...]]:
    columns = db.execute(
        "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
        " order by attname",
        [table],
    ).fetchall()
    query = SQL("select {} from {}").format(
        SQL(", ").join(Identifier(str(name)) for (name,) in columns), Identifier(table)
    )
    return [tuple(map(str, row)) for row in db.execute(query)]


def test_rollups_and_totals_are_those_of_the_job_to_the_byte(
    community_url: str, database_url: str
) -> None:
    starts = _spread(_today_ms())
    late = starts[::3]
    for url in (community_url, database_url):
        with psycopg.connect(url) as db:
            minutes.put(db, starts, seed=1)
        _roll_up(url)
        with psycopg.connect(url) as db:
            minutes.put(db, late, seed=2, batch_offset=7)
        _roll_up(url)

    continuous, made = _answers(community_url), _answers(database_url)

    assert continuous == made
    assert all(made.values())


def test_a_change_after_a_refresh_has_a_mark_until_the_next(community_url: str) -> None:
    start_ms = _today_ms() - DAY_MS
    with psycopg.connect(community_url) as db:
        minutes.put(db, [start_ms], seed=3)
    _roll_up(community_url)
    with psycopg.connect(community_url) as db:
        before = _rows(db, "rollup_5m")
        minutes.put(db, [start_ms], seed=4, batch_offset=9)
        marked = db.execute("select count(*) from rollup_due").fetchone()
        meanwhile = _rows(db, "rollup_5m")
    _roll_up(community_url)
    with psycopg.connect(community_url) as db:
        after = _rows(db, "rollup_5m")
        left = db.execute("select count(*) from rollup_due").fetchone()

    assert (meanwhile, marked) == (before, (1,))
    assert after != before
    assert left == (0,)


def test_policies_follow_the_terms_and_are_set_once(community_url: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    kept = Retention(events_days=3)

    changes = []
    for later, terms in enumerate((Retention(), Retention(), kept)):
        jobs.run_due_now(community_url, terms, now_ms=now_ms + later * HOUR_MS)
        with psycopg.connect(community_url) as db:
            row = db.execute("select detail from jobs where name = 'retention'").fetchone()
        assert row is not None
        changes.append(row[0]["policies"])

    assert "policy_refresh_continuous_aggregate rollup_1d" in changes[0]
    assert "policy_compression events" in changes[0]
    assert changes[1:] == [[], ["policy_retention events"]]


@pytest.mark.requirement("retention")
def test_rollups_outlive_the_windows_that_they_were_made_of(community_url: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    with psycopg.connect(community_url) as db:
        minutes.put(db, _spread(_today_ms() - 50 * DAY_MS), seed=5)
        minutes.put(db, _spread(_today_ms() - 2 * DAY_MS), seed=6)
    _roll_up(community_url)
    before = _rolled(community_url)

    jobs.run_due_now(community_url, Retention(), now_ms=now_ms)
    with psycopg.connect(community_url, autocommit=True) as db:
        policies = db.execute(
            "select job_id from timescaledb_information.jobs where hypertable_name is not null"
        ).fetchall()
        for (number,) in policies:
            db.execute("call run_job(%s)", [number])
        left = db.execute("select count(*) from window_1m").fetchone()
        columnar = db.execute(
            "select count(*) from timescaledb_information.chunks where is_compressed"
        ).fetchone()

    assert len(policies) == 14
    assert left == (len(_spread(0)) * 3,)
    assert columnar is not None
    assert columnar[0] > 0
    assert _rolled(community_url) == before


def test_a_store_that_gains_the_edition_keeps_what_was_rolled_up(plain_url: str) -> None:
    url = plain_url
    now_ms = time.time_ns() // 1_000_000
    schema.migrate(url, migrations=_plain())
    with psycopg.connect(url) as db:
        minutes.put(db, _spread(_today_ms() - 50 * DAY_MS), seed=7)
        minutes.put(db, _spread(_today_ms() - 2 * DAY_MS), seed=8)
    _roll_up(url)
    jobs.run_due_now(url, Retention(), now_ms=now_ms)
    before = _added_up(url)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("create extension timescaledb")

    state = schema.migrate(url)
    _roll_up(url)

    assert state.level is Level.TIMESCALEDB_COMMUNITY
    assert "0006_continuous.timescaledb-community" in state.applied
    assert _added_up(url) == before
    assert len(before["1d"]) == 2 * 3 * 3


def test_aggregates_from_before_a_column_keep_what_they_hold(empty_community_url: str) -> None:
    url, first = empty_community_url, [one for one in MEASURES if not one.startswith("unpriced")]
    before = [one for one in schema.shipped() if one.version not in {0, 16}]
    schema.migrate(url, migrations=before)
    with psycopg.connect(url, autocommit=True) as db:
        minutes.put(db, _spread(_today_ms() - 50 * DAY_MS), seed=7, measures=first)
        minutes.put(db, _spread(_today_ms() - 2 * DAY_MS), seed=8, measures=first)
        for width in WIDTHS:
            view = f"rollup_{width}"
            db.execute("call refresh_continuous_aggregate(%s, null::timestamptz, null)", [view])
        since = "to_timestamp(%s / 1000.0)"
        db.execute(
            f"insert into kept (name, since) values ('window_1m', {since})"
            f" on conflict (name) do update set since = excluded.since".encode(),
            [_today_ms() - 30 * DAY_MS],
        )
    told = _added_up(url)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("delete from window_1m where start_at < now() - interval '30 days'")

    schema.migrate(url)
    _roll_up(url)

    assert _added_up(url) == told
    with psycopg.connect(url) as db:
        gone = db.execute(
            "select count(*) from total_5m where start_at < now() - interval '31 days'"
        ).fetchone()
    assert gone == (0,)


def _plain() -> list[Migration]:
    """Return what applies where the server does not have the extension."""
    return [one for one in schema.shipped() if one.variant in {"", "postgresql"}]


def _added_up(url: str) -> Answers:
    """Return what readers add up: rollups and rows apart, of each width."""
    query = SQL(
        "select start_at, series_id, sum(calls), sum(events), string_agg(latency, ''::bytea)"
        " from (select start_at, series_id, calls, events, latency from {}"
        " union all select start_at, series_id, calls, events, latency from {}) both_of_them"
        " group by 1, 2 order by 1, 2"
    )
    with psycopg.connect(url, options="-c timezone=UTC") as db:
        return {
            width: db.execute(
                query.format(Identifier(f"rollup_{width}"), Identifier(f"window_{width}"))
            ).fetchall()
            for width in WIDTHS
        }
