"""The stores that the contract is held against, each with two workers' checkpoint stores on it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.database import (
    database_url,
    empty_database_url,
    migrated_template,
    postgres,
)
from tests.support.facts import T0_MS
from tests.support.outcomes import MemoryLooker, PostgresLooker, Store
from tests.support.timescaledb import empty_timescaledb_url, timescaledb, timescaledb_url

__all__ = [
    "database_url",
    "empty_database_url",
    "empty_timescaledb_url",
    "migrated_template",
    "postgres",
    "timescaledb",
    "timescaledb_url",
]

MEMORY = pytest.param("memory", id="memory")
EMBEDDED = pytest.param("database_url", id="postgresql", marks=pytest.mark.embedded)
TIMESCALEDB = pytest.param("timescaledb_url", id="timescaledb", marks=pytest.mark.timescaledb)


EMPTY_EMBEDDED = pytest.param("empty_database_url", id="postgresql", marks=pytest.mark.embedded)
EMPTY_TIMESCALEDB = pytest.param(
    "empty_timescaledb_url", id="timescaledb", marks=pytest.mark.timescaledb
)


@pytest.fixture(params=[EMPTY_EMBEDDED, EMPTY_TIMESCALEDB])
def empty_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh database with nothing in it."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture(params=[EMBEDDED, TIMESCALEDB])
def store_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh, migrated store."""
    return str(request.getfixturevalue(request.param))


@pytest_asyncio.fixture(params=[MEMORY, EMBEDDED, TIMESCALEDB])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Give a fresh store."""
    if request.param == "memory":
        memory = MemoryCheckpoint()
        yield Store(checkpoints=memory, other=memory, look=MemoryLooker(memory))
        return
    url = str(request.getfixturevalue(request.param))
    async with (
        open_checkpoint(url, clock=lambda: T0_MS) as checkpoints,
        open_checkpoint(url, clock=lambda: T0_MS) as other,
    ):
        yield Store(checkpoints=checkpoints, other=other, look=PostgresLooker(url))
