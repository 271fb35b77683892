"""The servers that the gateway's benchmark looks at, each a process whose costs are read."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import psutil

from analytics.contracts.errors import MissingPart
from analytics.contracts.ids import TenantId
from apps.local.ports import LOOPBACK, free_port
from apps.topics import ensure_topics
from gateway.auth import Scope, issue
from tests.support.broker import started_kafka
from tests.support.stack import ROOT, answers, wait_for

KEY: Final = "a key for benchmarks, as long as one has to be"
PEER: Final = Path(__file__).parent / "peers" / "centrifuge"
STOP_S: Final = 30.0


class Server:
    """One server process, and a token that it takes."""

    def __init__(self, port: int, pid: int, *, token: str = "-", by_rpc: bool = False) -> None:
        self.port = port
        self.token = token
        self._process = psutil.Process(pid)
        self._by_rpc = by_rpc

    def cpu_s(self) -> float:
        """Return the CPU-seconds it has used."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def memory_bytes(self) -> int:
        """Return its resident memory."""
        return int(self._process.memory_info().rss)

    def note(self, channel: str, data: bytes) -> bytes:
        """Return the command that publishes `data` to a channel."""
        about = b'{"channel":"%b","data":%b}' % (channel.encode(), data)
        if self._by_rpc:
            return b'"rpc":{"method":"publish","data":%b}' % about
        return b'"publish":%b' % about


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run Apache Kafka; give its address."""
    with started_kafka(folder / "kafka") as running:
        asyncio.run(ensure_topics(running.address, partitions=4))
        yield running.address


@contextmanager
def gateway(folder: Path, address: str) -> Iterator[Server]:
    """Run one gateway."""
    command = [sys.executable, "-m", "apps.cli", "gateway", "--port", "0", "--json"]
    environment = {
        "MAINSTEM_GATEWAY_BROKER": address,
        "MAINSTEM_GATEWAY_TOKEN_KEY": KEY,
        "MAINSTEM_GATEWAY_CONNECTIONS_MAX": "20000",
    }
    with (folder / "gateway.log").open("a") as log, _running(command, environment, log) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        port = int(str(said["url"]).rpartition(":")[2].strip("/"))
        wait_for(lambda: answers(f"http://{LOOPBACK}:{port}/health/ready"), what="a ready gateway")
        token = issue(
            KEY.encode(), user="bench", tenant=TenantId("bench"), scopes=list(Scope),
            now_ms=time.time_ns() // 1_000_000,
        )  # fmt: skip
        yield Server(port, process.pid, token=token)


@contextmanager
def bare_echo() -> Iterator[Server]:
    """Run a FastAPI echo under the same server."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "tests.bench.bare_socket:app", "--host", LOOPBACK,
        "--port", str(port), "--log-level", "warning", "--loop", "uvloop", "--http", "httptools",
        "--ws", "websockets-sansio", "--ws-per-message-deflate", "false",
    ]  # fmt: skip
    with _running(command, {}, None) as process:
        wait_for(lambda: answers(f"http://{LOOPBACK}:{port}/docs"), what="a bare uvicorn")
        yield Server(port, process.pid)


@contextmanager
def go_peer(folder: Path) -> Iterator[Server]:
    """Build and run the server on the Go library."""
    go = shutil.which("go")
    if go is None:
        raise MissingPart("the benchmark's peer is written in Go; install Go 1.24 or later")
    made = folder / "centrifuge-peer"
    if not made.exists():
        subprocess.run([go, "build", "-o", str(made), "."], cwd=PEER, check=True)
    with _running([str(made)], {"GOMAXPROCS": "1"}, None) as process:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), process.pid, by_rpc=True)


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], log: TextIO | None
) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
