"""The Community edition is known for what it is, from the first start or after an upgrade."""

import psycopg
import pytest

from streams.store import levels, schema
from streams.store.levels import Level

pytestmark = [pytest.mark.timescaledb, pytest.mark.requirement("store-community")]


def test_an_empty_community_store_gets_what_the_edition_offers(empty_community_url: str) -> None:
    first = schema.migrate(empty_community_url)
    second = schema.migrate(empty_community_url)

    assert first.level is Level.TIMESCALEDB_COMMUNITY
    assert "0002_facts.timescaledb" in first.applied
    assert second.applied == ()


def test_the_edition_is_read_from_the_database_and_not_assumed(empty_community_url: str) -> None:
    with psycopg.connect(empty_community_url, autocommit=True) as db:
        before = levels.detect(db)
        db.execute("drop extension timescaledb")
        after = levels.detect(db)

    assert (before, after) == (Level.TIMESCALEDB_COMMUNITY, Level.POSTGRESQL)
