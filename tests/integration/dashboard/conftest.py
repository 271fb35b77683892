"""A store with a believable day in it."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from streams.series.measures import Db
from tests.support import seeds
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]


@pytest.fixture
def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with psycopg.connect(database_url) as connection:
        yield connection


@pytest.fixture
def fleet(db: Db, now_ms: int) -> Db:
    """Write a day of a team for tenant `local`, and one session of another tenant."""
    rows = seeds.Seeds()
    seeds.fleet(rows, now_ms=now_ms)
    rows.write(db)
    other = seeds.Seeds(tenant="umbrella", log_id=2)
    other.session("secret", at_ms=now_ms - 60_000, project="hidden", model="hidden-model")
    other.prompt("secret", now_ms - 59_000, "hidden words")
    other.call("secret", now_ms - 50_000, model="hidden-model", duration_ms=9, cost_nanousd=10**12)
    other.wait("secret", now_ms - 40_000, "hidden wait")
    other.write(db)
    seeds.machinery(db, now_ms=now_ms)
    return db
