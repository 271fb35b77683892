"""The servers that the gateway's benchmark looks at, each a process whose costs are read."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, TextIO

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from analytics.contracts import topics
from analytics.contracts.errors import MissingPart
from analytics.contracts.ids import TenantId
from apps.local import kafka as apache
from apps.local.home import cache_folder
from apps.local.ports import LOOPBACK, free_port
from apps.local.ports import answers as accepts
from apps.local.topics import ensure_topics
from gateway.http.auth import TokenScope, issue
from tests.support.stack import ROOT, answers, wait_for

KEY: Final = "a key for benchmarks, as long as one has to be"
PEER: Final = Path(__file__).parent / "peers" / "centrifuge"
START_S: Final = 60.0
STOP_S: Final = 30.0


class Server:
    """One server process, and a token that it takes."""

    def __init__(self, port: int, pid: int, *, token: str = "-", by_rpc: bool = False) -> None:
        self.port = port
        self.pid = pid
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

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def wait(self) -> None:
        """Wait until the process has ended."""
        ends = time.monotonic() + STOP_S
        while self.alive and time.monotonic() < ends:
            time.sleep(0.05)

    def note(self, channel: str, data: bytes) -> bytes:
        """Return the command that publishes `data` to a channel."""
        about = b'{"channel":"%b","data":%b}' % (channel.encode(), data)
        if self._by_rpc:
            return b'"rpc":{"method":"publish","data":%b}' % about
        return b'"publish":%b' % about


class KafkaNode:
    """An Apache Kafka that can be killed and started again on the log it has."""

    def __init__(self, folder: Path) -> None:
        self._node = apache.KafkaNode(
            folder=folder,
            port=free_port(),
            controller_port=free_port(),
            cluster_id=apache.new_cluster_id(),
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"{LOOPBACK}:{self._node.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            apache.prepare(self._node, apache.libraries(cache_folder())),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: accepts(self._node.port), what="an answer of Kafka", seconds=START_S)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None


@contextmanager
def kafka(folder: Path) -> Iterator[KafkaNode]:
    """Run an Apache Kafka that can be killed."""
    node = KafkaNode(folder / "kafka")
    try:
        node.start()
        asyncio.run(ensure_topics(node.address, partitions=4))
        yield node
    finally:
        node.kill()


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run Apache Kafka; give its address."""
    with kafka(folder) as node:
        yield node.address


async def ids_on(address: str) -> Counter[str]:
    """Return how often each event is on the topic of agents."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    found: Counter[str] = Counter()
    try:
        numbers = await consumer._client.fetch_all_metadata()
        parts = [
            TopicPartition(topics.AGENTS.address, number)
            for number in numbers.partitions_for_topic(topics.AGENTS.address) or ()
        ]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        while any([await consumer.position(part) < ends[part] for part in parts]):
            got = await consumer.getmany(timeout_ms=1_000)
            for record in (one for records in got.values() for one in records):
                found[dict(record.headers)["ce_id"].decode()] += 1
    finally:
        await consumer.stop()
    return found


@contextmanager
def gateway(
    folder: Path, address: str, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Server]:
    """Run one gateway, with `more` in its environment."""
    command = [sys.executable, "-m", "apps.cli.main", "gateway", "--port", "0", "--json"]
    environment = {
        "MAINSTEM_GATEWAY_BROKER": address,
        "MAINSTEM_GATEWAY_TOKEN_KEY": KEY,
        "MAINSTEM_GATEWAY_CONNECTIONS_MAX": "20000",
        "MAINSTEM_GATEWAY_RATE_EVENTS_BY_TENANT": "",
        **more,
    }
    with (folder / "gateway.log").open("a") as log, _running(command, environment, log) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        port = int(str(said["url"]).rpartition(":")[2].strip("/"))
        wait_for(lambda: answers(f"http://{LOOPBACK}:{port}/health/ready"), what="a ready gateway")
        yield Server(port, process.pid, token=token_of("bench"))


def token_of(tenant: str) -> str:
    """Return a token for all that a tenant may do."""
    return issue(
        KEY.encode(), user="bench", tenant=TenantId(tenant), scopes=list(TokenScope),
        now_ms=time.time_ns() // 1_000_000,
    )  # fmt: skip


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
