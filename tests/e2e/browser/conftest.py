"""A browser, and dashboards over a full, an empty and no store."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser

from tests.support import browser as look
from tests.support import seeds, seeds_watched, watched_rows
from tests.support.database import fresh, migrated_template, postgres

__all__ = ["migrated_template", "postgres"]

EVENTS = 100_000


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with look.chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def axe() -> str:
    return look.axe_source()


@pytest.fixture(scope="session")
def full_store(postgres: str, migrated_template: str) -> Iterator[str]:
    """Fill a store with a day of a team, and one session of 100,000 events."""
    for url in fresh(postgres, template=migrated_template):
        now_ms = time.time_ns() // 1_000_000
        with psycopg.connect(url) as db:
            rows = seeds.Seeds()
            seeds.fleet(rows, now_ms=now_ms)
            rows.write(db)
            seeds.endless(rows, now_ms=now_ms, events=EVENTS)
            rows.write(db)
            seeds.machinery(db, now_ms=now_ms)
            watched_rows.series(db, now_ms=now_ms)
            watched_rows.alerts(db, now_ms=now_ms)
            seeds_watched.forecasts(db, now_ms=now_ms)
            seeds_watched.forecasts(db, now_ms=now_ms, project="billing")
            seeds_watched.budgets(db, now_ms=now_ms)
            db.execute("analyze")
        yield url


@pytest.fixture(scope="session")
def full(full_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with look.dashboard(full_store, home=tmp_path_factory.mktemp("home")) as url:
        yield url


@pytest.fixture(scope="session")
def empty(
    postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    for store in fresh(postgres, template=migrated_template):
        with look.dashboard(store, home=tmp_path_factory.mktemp("home")) as url:
            yield url


@pytest.fixture(scope="session")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a dashboard whose store is not there: port 1 of this machine answers nobody."""
    store = "postgresql://nobody@127.0.0.1:1/none"
    with look.dashboard(store, home=tmp_path_factory.mktemp("home")) as url:
        yield url


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: the run's artifacts in CI, else a folder that is thrown away."""
    if not os.environ.get("CI"):
        return tmp_path_factory.mktemp("pictures")
    folder = Path("artifacts", "pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
