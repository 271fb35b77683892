"""Real brokers for tests: the embedded Tansu, and Apache Kafka from Maven's jars.

Import a fixture by name into a `conftest.py` or a test module (`from tests.support.broker import
tansu`): `tansu` and `kafka` run one broker a session on free ports and give a `RunningBroker`;
topics in it are shared, so tests name their own. `started_tansu` and `started_kafka` are context
managers for tests that stop a broker themselves. Where Java or Maven is missing, `kafka` skips on a
user's machine and fails where CI is set.
"""

import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from analytics.contracts.errors import MissingPart
from apps.local import broker, parent_guard
from apps.local import kafka as apache
from apps.local.home import cache_folder
from apps.local.ports import LOOPBACK, answers, free_port

READY_S: Final = 60.0
STOP_S: Final = 15.0


class RunningBroker(Struct, frozen=True, kw_only=True):
    """A broker that answers at `address` (host:port); `process` is the one to kill."""

    kind: str
    address: str
    cluster_id: str
    process: subprocess.Popen[bytes]


@contextmanager
def suspended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop a process's every thread while the block runs: the signal alone only asks for it."""
    process.send_signal(signal.SIGSTOP)
    try:
        until = time.monotonic() + STOP_S
        while not _is_suspended(process.pid):
            if time.monotonic() > until:
                raise TimeoutError(f"process {process.pid} does not stop")
            time.sleep(0.001)
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _is_suspended(pid: int) -> bool:
    """Say whether all threads of a process are stopped (proc(5), the state in `stat`)."""
    stats = (thread / "stat" for thread in Path(f"/proc/{pid}/task").iterdir())
    return all(stat.read_text().rpartition(") ")[2].startswith("T") for stat in stats)


@contextmanager
def started_tansu(port: int | None = None) -> Iterator[RunningBroker]:
    """Run a Tansu with a fresh cluster id, on `port` or a free one."""
    at = port or free_port()
    cluster_id = uuid.uuid4().hex
    command = broker.tansu_command(port=at, cluster_id=cluster_id)
    with _running("tansu", command, port=at, cluster_id=cluster_id) as running:
        yield running


@contextmanager
def started_kafka(folder: Path | None = None) -> Iterator[RunningBroker]:
    """Run a one-node Apache Kafka; with `folder` it keeps its log there."""
    with tempfile.TemporaryDirectory(prefix="kafka-") as scratch:
        node = apache.KafkaNode(
            folder=folder or Path(scratch),
            port=free_port(),
            controller_port=free_port(),
            cluster_id=apache.new_cluster_id(),
        )
        command = apache.prepare(node, apache.libraries(cache_folder()))
        with _running("kafka", command, port=node.port, cluster_id=node.cluster_id) as running:
            yield running


@pytest.fixture(scope="session")
def tansu() -> Iterator[RunningBroker]:
    """Run one Tansu for the session; mark the test `embedded`."""
    with started_tansu() as running:
        yield running


@pytest.fixture(scope="session")
def kafka() -> Iterator[RunningBroker]:
    """Run one Apache Kafka for the session; mark the test `kafka`."""
    try:
        apache.libraries(cache_folder())
    except MissingPart as error:
        if os.environ.get("CI"):
            pytest.fail(f"{error} (required where CI is set)")
        pytest.skip(f"{error}; this runs in CI and where those are installed")
    with started_kafka() as running:
        yield running


@contextmanager
def _running(
    kind: str, command: list[str], *, port: int, cluster_id: str
) -> Iterator[RunningBroker]:
    environment = broker.without_otel(dict(os.environ)) | {parent_guard.PARENT: str(os.getpid())}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            parent_guard.command(command),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            _wait(process, port)
            address = f"{LOOPBACK}:{port}"
            yield RunningBroker(kind=kind, address=address, cluster_id=cluster_id, process=process)
        except TimeoutError as error:
            output.seek(0)
            raise AssertionError(f"{error}: {output.read()[-2000:]!r}") from error
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + READY_S
    while not answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise TimeoutError(f"the broker did not answer (exit {process.returncode})")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
    if process.stdin is not None:
        process.stdin.close()
