"""Partitions, retention, jobs, and what a store says of itself."""

from datetime import UTC, datetime

import psycopg
import pytest

from analytics.contracts.errors import StoreAway
from streams import metrics
from streams.clients.reader import Reader
from streams.maintenance import jobs
from streams.maintenance.facts import StoreFacts, facts
from streams.maintenance.retention import Retention
from streams.maintenance.upkeep import Upkeep
from streams.store import partitions
from streams.store.checkpoint_postgres import open_checkpoint
from streams.store.levels import Level
from tests.support.facts import T0_MS
from tests.support.outcomes import (
    PostgresLooker,
    cell,
    dead_letter,
    outcome,
    raw,
    seen,
    session,
    session_key,
)

DAY_MS = 86_400_000
NOW_MS = T0_MS + 400 * DAY_MS


async def _fill(url: str) -> None:
    """Commit rows of three ages: of now, of 20 days ago and of 400 days ago."""
    for number, days in enumerate((0, 20, 400)):
        then_ms = NOW_MS - days * DAY_MS
        cells = tuple(
            cell(days, start_ms=then_ms - then_ms % width, width_ms=width)
            for width in (10_000, 60_000, 3_600_000)
        )
        name = f"s{days}"
        async with open_checkpoint(url, clock=lambda then_ms=then_ms: then_ms) as checkpoints:  # type: ignore[misc]  # bound early
            claim = await checkpoints.claim(cluster_id=f"c{number}", topic="t", partition=0)
            await checkpoints.commit(
                claim,
                outcome(
                    0,
                    1,
                    raw=(raw(0, id=f"age-{days}", at_ms=then_ms),),
                    cells=cells,
                    sessions=(session(name, last_ms=then_ms),),
                    seen=(seen(b"m", name=name),),
                    watermark_ms=then_ms,
                ),
                dead_letters=[dead_letter()],
            )


@pytest.mark.requirement("retention")
async def test_rows_go_once_they_are_older_than_their_term_and_not_before(store_url: str) -> None:
    await _fill(store_url)
    look = PostgresLooker(store_url)

    jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS)

    assert look.raw_ids() == ["age-0"]
    assert [one.calls for one in look.cells(10_000)] == [0]
    assert sorted(one.calls for one in look.cells(60_000)) == [0, 20]
    assert sorted(one.calls for one in look.cells(3_600_000)) == [0, 20]
    assert look.dead_letters() == []
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        known = await checkpoints.recall(
            [session_key("s0"), session_key("s20"), session_key("s400")]
        )
    assert list(known) == [session_key("s0"), session_key("s20")]


async def test_a_row_at_the_edge_of_its_term_stays(store_url: str) -> None:
    await _fill(store_url)

    kept = Retention(events_days=20, window_10s_days=20, window_1m_days=20, window_1h_days=400)
    jobs.run_due_now(store_url, kept, now_ms=NOW_MS)

    look = PostgresLooker(store_url)
    assert look.raw_ids() == ["age-0", "age-20"]
    assert sorted(one.calls for one in look.cells(60_000)) == [0, 20]
    assert sorted(one.calls for one in look.cells(3_600_000)) == [0, 20, 400]


async def test_a_job_runs_when_it_is_due_and_once(store_url: str) -> None:
    first = jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS)
    soon = jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS + 60_000)
    later = jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS + 3_600_000)

    hourly = ["partitions", "rollups", "retention"]
    assert (first, soon, later) == ([*hourly, "leftovers"], ["rollups"], hourly)


async def test_a_job_that_another_worker_runs_is_left_to_it(store_url: str) -> None:
    with psycopg.connect(store_url) as other:
        other.execute("select pg_advisory_lock(%s)", [jobs.JOBS[0].lock_key])

        ran = jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS)

        assert ran == ["rollups", "retention", "leftovers"]


async def test_a_job_that_fails_says_why_and_is_due_again_soon(store_url: str) -> None:
    with psycopg.connect(store_url) as db:
        db.execute("drop table dead_letters")

    jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS)

    failing = {job.name: job for job in _facts(store_url).failing_jobs}
    assert list(failing) == ["retention"]
    assert "dead_letters" in failing["retention"].error
    assert failing["retention"].due_ms == NOW_MS + jobs.RETRY_S * 1_000
    assert (failing["retention"].runs, failing["retention"].failures) == (1, 1)


@pytest.mark.embedded
async def test_rows_without_a_partition_wait_in_the_default_one_and_move(database_url: str) -> None:
    await _fill(database_url)
    look = PostgresLooker(database_url)
    assert look.rows("select count(*) from window_1m_default") == [(3,)]

    with psycopg.connect(database_url, autocommit=True) as db:
        made = partitions.care(db, Level.POSTGRESQL, now_ms=NOW_MS)
        again = partitions.care(db, Level.POSTGRESQL, now_ms=NOW_MS)

    assert again == []
    assert f"window_1m_{_at(NOW_MS - 20 * DAY_MS):%Y%m%d}" in made
    assert f"events_{_at(NOW_MS + 3 * DAY_MS):%Y%m%d}" in made
    for table in ("events", "window_10s", "window_1m", "window_1h"):
        assert look.rows(f"select count(*) from {table}_default") == [(0,)]
        assert look.rows(f"select count(*) from {table}") == [(3,)]


@pytest.mark.embedded
async def test_a_cell_is_replaced_also_after_it_moved_to_its_partition(database_url: str) -> None:
    async with open_checkpoint(database_url, clock=lambda: NOW_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 1, cells=(cell(1),)))
        with psycopg.connect(database_url, autocommit=True) as db:
            partitions.care(db, Level.POSTGRESQL, now_ms=NOW_MS)
        await checkpoints.commit(claim, outcome(1, 2, cells=(cell(2),)))

    assert [one.calls for one in PostgresLooker(database_url).cells()] == [2]


async def test_a_store_says_what_it_is_and_how_it_keeps_up(store_url: str) -> None:
    await _fill(store_url)
    jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS)

    said = _facts(store_url)

    row = PostgresLooker(store_url).rows(
        "select count(*) from pg_extension where extname ~ '^time'"
    )
    assert said.level.has_hypertables == (row == [(1,)])
    assert (said.timescaledb_version == "") == (said.level is Level.POSTGRESQL)
    assert said.server_version
    assert said.schema
    assert said.size_bytes > 0
    assert [job.name for job in said.jobs] == ["leftovers", "partitions", "retention", "rollups"]
    assert said.rollup.due == 0
    assert said.failing_jobs == ()
    assert {table.name for table in said.tables} >= {"events", "window_1h", "sessions", "outbox"}
    assert next(table for table in said.tables if table.name == "events").parts >= 1
    assert said.outbox == said.parcels == 0


async def test_chunks_that_outlived_their_term_show_as_a_lag(store_url: str) -> None:
    await _fill(store_url)
    with psycopg.connect(store_url, autocommit=True) as db:
        partitions.care(db, _facts(store_url).level, now_ms=NOW_MS)
        last_term = Retention(events_days=36_500)

        lags = {one.name: one.retention_lag_ms for one in facts(db, kept=last_term).tables}

    age_ms = datetime.now(UTC).timestamp() * 1_000 - (NOW_MS - 400 * DAY_MS)
    assert lags["events"] == 0
    assert lags["window_10s"] == pytest.approx(age_ms - 7 * DAY_MS, abs=2 * DAY_MS)


async def test_a_reader_reads_and_may_not_write(store_url: str) -> None:
    reader = Reader(store_url)
    with reader.connection() as db:
        assert db.execute("select count(*) from sessions").fetchone() == (0,)
    with pytest.raises(StoreAway, match="read-only"), reader.connection() as db:
        db.execute("delete from sessions")
    reader.close()


async def test_a_readers_query_is_cut_off_after_its_time(store_url: str) -> None:
    reader = Reader(store_url, statement_timeout_ms=50)
    with pytest.raises(StoreAway, match="timeout"), reader.connection() as db:
        db.execute("select pg_sleep(60)")
    reader.close()


def _facts(url: str) -> StoreFacts:
    with psycopg.connect(url, options="-c timezone=UTC") as db:
        return facts(db)


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


async def test_a_worker_tells_metrics_how_the_store_is(store_url: str) -> None:
    await _fill(store_url)
    now_ms = [NOW_MS]
    upkeep = Upkeep(store_url, Retention(), now_ms=lambda: now_ms[0])

    await upkeep()
    first = metrics.exposition().decode()
    with psycopg.connect(store_url) as db:
        db.execute("drop table dead_letters")
    now_ms[0] += 3_600_000
    await upkeep()
    second = metrics.exposition().decode()

    assert 'streams_job_failing{job="retention"} 0.0' in first
    assert 'streams_job_failing{job="retention"} 1.0' in second
    assert 'streams_job_failures{job="retention"} 1.0' in second
    assert 'streams_retention_lag_seconds{table="events"}' in first
    assert "streams_rollup_changes 0.0" in first
