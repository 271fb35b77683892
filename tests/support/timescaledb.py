"""A real TimescaleDB, Apache edition, for tests: one server a run, a fresh database for each test.

`MAINSTEM_TEST_TIMESCALEDB_URL` names a running one that tests may create databases on; else
`.ci/timescaledb-root.sh` unpacks Debian's packages once and starts a server of this run's own.
Where that cannot be done the tests are skipped, and fail where `CI` is set.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from streams.store import schema
from tests.support.database import fresh

SCRIPT: Final = Path(__file__).parents[2] / ".ci" / "timescaledb-root.sh"
GIVEN: Final = "MAINSTEM_TEST_TIMESCALEDB_URL"
UNPACK_TIMEOUT_S: Final = 600


class NoServer(Exception):
    """There is no TimescaleDB here, and why."""


@contextmanager
def started_timescaledb() -> Iterator[str]:
    """Run a TimescaleDB server and give its URL; raise `NoServer` where that cannot be done."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "TSDB_PORT": str(port), "TSDB_NAME": f"test-{os.getpid()}"}
    url = _script("start", environ)
    try:
        yield url
    finally:
        _script("remove", environ)


@pytest.fixture(scope="session")
def timescaledb() -> Iterator[str]:
    """Run a TimescaleDB server and give its URL; skip, or fail where CI is set, if it cannot be."""
    with ExitStack() as stack:
        try:
            url = stack.enter_context(started_timescaledb())
        except NoServer as error:
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))
        yield url


@pytest.fixture
def timescaledb_url(timescaledb: str) -> Iterator[str]:
    """Give the URL of a fresh, migrated database with TimescaleDB.

    It is migrated anew each time: TimescaleDB's own workers sit in a database that one would copy.
    """
    for url in fresh(timescaledb):
        schema.migrate(url)
        yield url


@pytest.fixture
def empty_timescaledb_url(timescaledb: str) -> Iterator[str]:
    """Give the URL of a fresh database with nothing in it, on a server with TimescaleDB."""
    yield from fresh(timescaledb)


def _script(action: str, environ: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            [str(SCRIPT), action],
            env=environ,
            capture_output=True,
            text=True,
            timeout=UNPACK_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise NoServer(
            f"no TimescaleDB here: {said.strip()}; or name a server in {GIVEN}"
        ) from error
    return done.stdout.strip()
