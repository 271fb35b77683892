"""A real TimescaleDB, Apache edition, for tests: one server a run, a fresh database for each test.

`MAINSTEM_TEST_TIMESCALEDB_URL` names a running one that tests may create databases on; else
`.ci/timescaledb-root.sh` unpacks Debian's packages once and starts a server of this run's own.
Where that cannot be done the tests are skipped, and fail where `CI` is set.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from streams.store import schema
from tests.support.database import fresh

SCRIPT: Final = Path(__file__).parents[2] / ".ci" / "timescaledb-root.sh"
GIVEN: Final = "MAINSTEM_TEST_TIMESCALEDB_URL"
UNPACK_TIMEOUT_S: Final = 600


@pytest.fixture(scope="session")
def timescaledb() -> Iterator[str]:
    """Run a TimescaleDB server and give its URL."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "TSDB_PORT": str(port), "TSDB_NAME": f"test-{os.getpid()}"}
    yield _script("start", environ)
    _script("remove", environ)


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
    """Run the script; skip the test, or fail where CI is set, if it cannot."""
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
        reason = f"no TimescaleDB here: {said.strip()}; or name a server in {GIVEN}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return done.stdout.strip()
