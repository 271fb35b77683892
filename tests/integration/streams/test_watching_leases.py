"""Shards of tenants over a real store: shared fairly, taken over in time, and never held by two."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from analytics.contracts.errors import Fenced
from streams.monitoring import leases
from streams.monitoring.leases import SHARDS
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

pytestmark = pytest.mark.embedded
Db = Connection[TupleRow]


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    """Give a connection to a store that nobody watches."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def _forgotten(db: Db, owner: str) -> None:
    """Have a worker be silent for longer than a lease lasts."""
    db.execute("update watchers set seen_at = now() - interval '1 hour' where owner = %s", [owner])
    db.execute(
        "update watches set leased_until = now() - interval '1 second' where owner = %s", [owner]
    )


def test_one_worker_holds_every_shard(db: Db) -> None:
    assert set(leases.beat(db, "a")) == set(range(SHARDS))


def test_workers_share_shards_fairly_once_each_has_been_heard(db: Db) -> None:
    leases.beat(db, "a")
    assert leases.beat(db, "b") == {}

    first = leases.beat(db, "a")
    second = leases.beat(db, "b")

    assert len(first) == len(second) == SHARDS // 2
    assert first.keys() | second.keys() == set(range(SHARDS))


def test_shards_of_a_silent_worker_go_to_others_under_a_later_epoch(db: Db) -> None:
    before = leases.beat(db, "a")
    _forgotten(db, "a")

    after = leases.beat(db, "b")

    assert after.keys() == before.keys()
    assert all(after[shard].epoch > before[shard].epoch for shard in before)


def test_a_worker_that_lost_a_shard_moves_nothing_and_says_so(db: Db) -> None:
    held = tuple(leases.beat(db, "a").values())
    _forgotten(db, "a")
    taken = leases.beat(db, "b")

    with pytest.raises(Fenced, match="lease them again"), db.transaction():
        leases.move(db, "a", held, 60_000)

    assert all(one.at_ms == 0 for one in leases.beat(db, "b").values())
    assert leases.move(db, "b", tuple(taken.values()), 60_000)[0].at_ms == 60_000


def test_time_is_moved_from_where_it_was_seen_and_only_once(db: Db) -> None:
    held = tuple(leases.beat(db, "a").values())
    leases.move(db, "a", held, 60_000)

    with pytest.raises(Fenced):
        leases.move(db, "a", held, 120_000)


def test_who_leaves_need_not_be_waited_for(db: Db) -> None:
    leases.beat(db, "a")
    leases.leave(db, "a")

    assert len(leases.beat(db, "b")) == SHARDS
