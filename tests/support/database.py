"""A real PostgreSQL server for tests: one a run, and a fresh database for each test.

The server is the embedded one, started on first use without waiting for the disk. A database is
copied from one that was migrated once, which takes some 30 ms, and dropped after its test.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from apps.local import database
from streams.store import schema

_numbers = itertools.count(1)


def fresh(server_url: str, *, template: str = "template0") -> Iterator[str]:
    """Yield the URL of a new database on a server, and drop it in the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    create = SQL("create database {} template {}")
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(create.format(Identifier(name), Identifier(template)))
    yield in_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as db:
        db.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def in_database(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run an embedded PostgreSQL server and give its URL."""
    folder: Path = tmp_path_factory.mktemp("postgres")
    server = database.start(folder, durable=False)
    yield server.url
    database.stop(folder)


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> str:
    """Return the name of a migrated database on the server, to copy from."""
    name = "migrated"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(SQL("create database {}").format(Identifier(name)))
    schema.migrate(in_database(postgres, name))
    return name


@pytest.fixture
def database_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """Give the URL of a fresh, migrated database."""
    yield from fresh(postgres, template=migrated_template)


@pytest.fixture
def empty_database_url(postgres: str) -> Iterator[str]:
    """Give the URL of a fresh database with nothing in it."""
    yield from fresh(postgres)
