"""A TimescaleDB of the Community edition for tests, where no container is to be had.

It is PostgreSQL and TimescaleDB as WebAssembly, run by Node (see `tests/contract/community`): one
connection at a time, no background workers, no `copy`. So it shows that our statements are taken
and what they answer, not how fast, and a policy runs when a test says `call run_job`. Its package
comes from npm; where Node or the package is missing the tests are skipped, and fail in CI.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from streams.store import schema

LANE: Final = Path(__file__).parents[1] / "contract" / "community"
INSTALL: Final = f"`npm ci --prefix {LANE.relative_to(LANE.parents[2])}`"
STOP_WAIT_S: Final = 20


@pytest.fixture
def empty_community_url() -> Iterator[str]:
    """Give the URL of an empty store on TimescaleDB Community."""
    with _served() as url:
        yield url


@pytest.fixture
def community_url() -> Iterator[str]:
    """Give the URL of a migrated store on TimescaleDB Community."""
    with _served() as url:
        schema.migrate(url)
        yield url


@pytest.fixture
def plain_url() -> Iterator[str]:
    """Give the URL of an empty database that may be given the extension and has not been."""
    with _served("plain") as url:
        yield url


@contextmanager
def _served(*arguments: str) -> Iterator[str]:
    node = shutil.which("node") or _missing("Node", "install Node 20 or newer")
    if not (LANE / "node_modules").is_dir():
        _missing("the in-process TimescaleDB", INSTALL)
    command = [node, str(LANE / "serve.mjs"), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        port = process.stdout.readline().strip()
        if not port:
            raise AssertionError(f"the in-process TimescaleDB ended: {process.stderr.read()}")
        yield f"postgresql://postgres:any@127.0.0.1:{port}/postgres?sslmode=disable"
        process.stdin.close()
        process.wait(STOP_WAIT_S)


def _missing(what: str, install: str) -> str:
    said = f"{what} is missing: {install}"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)
