"""What a tenant keeps for less time than everybody, where rollups are continuous aggregates."""

import psycopg
import pytest

from streams.maintenance import continuous_aggregates
from streams.maintenance.retention import Retention
from tests.support import tenants
from tests.support.tenants import DAY_MS, TODAY_MS

pytestmark = [pytest.mark.timescaledb, pytest.mark.requirement("retention-of-tenants")]
KEPT = Retention()
AT_ONCE = {"10s": 3, "1m": 3, "5m": 3, "1h": 3, "1d": 3}


def _refresh(url: str) -> None:
    """Do what the policies do: make anew what changed within the term of the minutes."""
    with psycopg.connect(url, autocommit=True) as db:
        for table in ("rollup_5m", "rollup_1h", "rollup_1d"):
            continuous_aggregates.refresh(db, table, [(TODAY_MS - 30 * DAY_MS, TODAY_MS + DAY_MS)])


@pytest.mark.parametrize("terms", [{"10s": 2, "1m": 2}, AT_ONCE, {"5m": 40}], ids=str)
def test_the_same_is_left_as_at_the_other_levels(
    community_url: str, database_url: str, terms: dict[str, int]
) -> None:
    for url in (community_url, database_url):
        for days in (0, 5, 50):
            tenants.put(url, days, seed=days)
        tenants.roll_up(url)
        with psycopg.connect(url, autocommit=True) as db:
            if url == community_url:
                db.execute("select compress_chunk(c, true) from show_chunks('window_1m') c")
        assert tenants.sweep(url, terms, KEPT)
        if url == community_url:
            _refresh(url)
        tenants.put(url, 5, seed=9, batch_offset=7)
        tenants.roll_up(url)

    continuous_rows, made = tenants.rows(community_url), tenants.rows(database_url)

    for table in tenants.ROLLED:
        assert continuous_rows[table] == made[table], table
    assert all(made.values())
