"""Migrations: applied once, by one runner at a time, and never silently changed."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from analytics.contracts.errors import BadSetting, Refused, StoreAway
from streams.store import partitions, schema
from streams.store.checkpoint_postgres import open_checkpoint
from streams.store.levels import Level
from streams.store.schema import ChangedMigration, Migration
from tests.support.facts import T0_MS
from tests.support.outcomes import PostgresLooker, cell, outcome, raw

THING = Migration(version=1, name="thing", variant="", sql="create table thing (n int)")

_WAITING = (
    "select count(*) from pg_locks join pg_stat_activity using (pid)"
    " where datname = current_database() and not granted"
)


def _versions(url: str) -> list[tuple[object, ...]]:
    return PostgresLooker(url).rows("select version, level from schema_migrations order by 1, 2")


@pytest.mark.requirement("migrations-repeatable")
def test_an_empty_database_gets_everything_and_a_second_run_finds_nothing_to_do(
    empty_url: str,
) -> None:
    first = schema.migrate(empty_url)
    second = schema.migrate(empty_url)

    assert first.applied
    assert second.applied == ()
    assert schema.check(empty_url).due == ()
    assert first.version == second.version == max(one.version for one in schema.shipped())


def test_a_check_names_what_is_due_and_changes_nothing(empty_url: str) -> None:
    state = schema.check(empty_url)

    assert state.due[0] == "0001_ground"
    assert PostgresLooker(empty_url).rows("select to_regclass('schema_migrations')") == [(None,)]


@pytest.mark.embedded
@pytest.mark.requirement("store-levels-agree")
def test_plain_postgresql_is_known_for_what_it_is(empty_database_url: str) -> None:
    assert schema.migrate(empty_database_url).level is Level.POSTGRESQL
    assert (2, "postgresql") in _versions(empty_database_url)


@pytest.mark.timescaledb
@pytest.mark.requirement("store-levels-agree")
def test_timescaledb_is_put_to_use_where_the_server_has_it(empty_timescaledb_url: str) -> None:
    assert schema.migrate(empty_timescaledb_url).level is Level.TIMESCALEDB_APACHE
    assert (2, "timescaledb") in _versions(empty_timescaledb_url)


def test_runners_at_the_same_moment_apply_each_migration_once(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        states = list(threads.map(schema.migrate, [empty_url] * 4))

    assert len([state for state in states if state.applied]) == 1
    assert len({state.version for state in states}) == 1


@pytest.mark.embedded
@pytest.mark.requirement("migrations-repeatable")
def test_a_migration_that_changed_after_it_was_applied_is_an_error(empty_database_url: str) -> None:
    schema.migrate(empty_database_url, migrations=[THING])
    changed = Migration(version=1, name="thing", variant="", sql=THING.sql + " -- more")

    with pytest.raises(ChangedMigration, match="0001_thing"):
        schema.migrate(empty_database_url, migrations=[changed])


@pytest.mark.embedded
def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    broken = Migration(version=2, name="bad", variant="", sql="create table half (n int); selec")

    with pytest.raises(Refused, match="0002_bad"):
        schema.migrate(empty_database_url, migrations=[THING, broken])

    assert PostgresLooker(empty_database_url).rows("select to_regclass('half')") == [(None,)]
    assert _versions(empty_database_url) == [(1, "")]


@pytest.mark.embedded
def test_a_statement_that_refuses_a_transaction_runs_without_one(empty_database_url: str) -> None:
    index = Migration(
        version=2,
        name="index",
        variant="",
        sql="-- no-transaction\ncreate index concurrently if not exists things on thing (n)",
    )

    schema.migrate(empty_database_url, migrations=[THING, index])

    assert _versions(empty_database_url) == [(1, ""), (2, "")]


@pytest.mark.embedded
def test_a_migration_gives_way_to_a_lock_and_comes_back(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT_S", 1)
    schema.migrate(empty_database_url, migrations=[THING])
    more = Migration(version=2, name="more", variant="", sql="alter table thing add column m int")
    holder = psycopg.connect(empty_database_url)
    holder.execute("lock table thing in access exclusive mode")

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(schema.migrate, empty_database_url, migrations=[THING, more])
        with psycopg.connect(empty_database_url, autocommit=True) as db:
            while db.execute(_WAITING).fetchone() != (1,):
                assert not running.done()
        holder.close()
        state = running.result(timeout=30)

    assert state.applied == ("0002_more",)


@pytest.mark.timescaledb
async def test_a_database_that_gains_timescaledb_keeps_its_rows_in_hypertables(
    empty_timescaledb_url: str,
) -> None:
    url = empty_timescaledb_url
    look = PostgresLooker(url)
    for one in schema.shipped():
        if one.variant in {"", "postgresql"}:
            _apply_as_plain(url, one)
    async with open_checkpoint(url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 2, raw=(raw(0), raw(1)), cells=(cell(2),)))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("create extension if not exists timescaledb")

    state = schema.migrate(url)

    assert state.level is Level.TIMESCALEDB_APACHE
    assert look.raw_ids() == ["event-0", "event-1"]
    assert [one.calls for one in look.cells()] == [2]
    assert look.rows("select count(*) from timescaledb_information.hypertables") == [
        (len(partitions.TABLES),)
    ]


@pytest.mark.embedded
def test_a_store_whose_server_lost_the_edition_of_its_tables_is_refused(
    empty_database_url: str,
) -> None:
    schema.migrate(empty_database_url)
    wanted = next(one for one in schema.shipped() if one.variant == "timescaledb-community")
    record = (wanted.version, wanted.variant, wanted.name, wanted.checksum)
    with psycopg.connect(empty_database_url) as db:
        db.execute(schema.RECORD.encode(), record)

    with pytest.raises(Refused, match="was set up for"):
        schema.migrate(empty_database_url)


def _apply_as_plain(url: str, migration: Migration) -> None:
    """Apply a migration as a server without the extension would have."""
    with psycopg.connect(url) as db:
        db.execute(schema.CHECKPOINT.encode())
        db.execute(migration.sql.encode())
        db.execute(
            schema.RECORD.encode(),
            [migration.version, migration.variant, migration.name, migration.checksum],
        )


def test_a_store_that_is_not_there_is_away_and_its_password_stays_unsaid() -> None:
    with pytest.raises(StoreAway) as caught:
        schema.migrate("postgresql://ada:secret@127.0.0.1:1/none")

    assert "secret" not in str(caught.value)


def test_a_url_that_is_none_is_a_bad_setting_and_is_not_quoted() -> None:
    with pytest.raises(BadSetting) as caught:
        schema.migrate("postgresql//ada:secret")

    assert "secret" not in str(caught.value)
