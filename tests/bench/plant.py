"""A plant to measure: Apache Kafka, PostgreSQL and workers, each a process whose costs are read.

All of it runs on this machine, in a folder that goes in the end. Costs are CPU-seconds and resident
memory as the system counts them, of a program and all that it started; what a process had used when
it ended is lost, so costs are read before workers are stopped.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from msgspec import Struct
from psycopg.sql import SQL, Identifier

from apps.local import database
from apps.local.topics import ensure_topics
from streams.store import schema
from tests.support.broker import RunningBroker, started_kafka
from tests.support.database import in_database
from tests.support.stack import ROOT, wait_for

WORKER: Final = (sys.executable, "-m", "apps.cli.main", "worker", "--json")
START_S: Final = 60.0
STOP_S: Final = 60.0
ANSWER_S: Final = 5.0
ROWS: Final = "select coalesce(sum(event_count + duplicate_count), 0) from checkpoints"
MIB: Final = 1024 * 1024


class Cost(Struct, frozen=True):
    """CPU-seconds of each part since some moment."""

    workers: float
    database: float
    broker: float

    def since(self, before: "Cost") -> "Cost":
        """Return what was used since `before`."""
        return Cost(
            self.workers - before.workers,
            self.database - before.database,
            self.broker - before.broker,
        )


class Worker:
    """One worker process."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log

    @property
    def memory_mib(self) -> float:
        """Its resident memory."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / MIB

    def standing(self) -> dict[str, Any]:
        """Return what it says of itself."""
        with urllib.request.urlopen(self.url, timeout=ANSWER_S) as answer:
            said: dict[str, Any] = json.load(answer)
        return said

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        url = self.url.replace("/health/live", "/metrics")
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            lines = answer.read().decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.partition(" ")[0].partition("{")[0] == name
        )


class Plant:
    """Kafka and PostgreSQL that run; workers come and go."""

    def __init__(self, broker: RunningBroker, server: database.Server, folder: Path) -> None:
        self.broker = broker
        self.server = server
        self.folder = folder
        self.workers: list[Worker] = []
        self.store_url = ""
        self._stores = 0

    def fresh_store(self) -> str:
        """Make a migrated database with nothing in it, and use it from here on."""
        self._stores += 1
        name = f"bench_{self._stores}"
        with psycopg.connect(self.server.url, autocommit=True) as db:
            db.execute(SQL("create database {}").format(Identifier(name)))
        self.store_url = in_database(self.server.url, name)
        schema.migrate(self.store_url)
        return self.store_url

    @contextmanager
    def working(self, number: int, **told: object) -> Iterator[list[Worker]]:
        """Run so many workers on the store at hand; stop them as SIGTERM does."""
        with ExitStack() as stack:
            self.workers = [
                stack.enter_context(self._worker(index, told)) for index in range(number)
            ]
            yield self.workers
        self.workers = []

    def cost(self) -> Cost:
        """Return the CPU-seconds that each part has used."""
        return Cost(
            sum(_cpu_s(worker.process.pid) for worker in self.workers),
            _cpu_s(self.server.pid),
            _cpu_s(self.broker.process.pid),
        )

    def memory_mib(self) -> Mapping[str, float]:
        """Return the resident memory of every process, by what it is."""
        found = {f"worker {index}": one.memory_mib for index, one in enumerate(self.workers)}
        return found | {
            "broker": _memory_mib(self.broker.process.pid),
            "database": _memory_mib(self.server.pid),
        }

    def logs(self) -> list[list[str]]:
        """Return the lines that workers on the store at hand logged."""
        paths = sorted(self.folder.glob(f"worker-{self._stores}-*.log"))
        return [path.read_text().splitlines() for path in paths]

    def asked(self, query: str, *values: object) -> int:
        """Return the one number that the store answers."""
        with psycopg.connect(self.store_url, autocommit=True) as db:
            row = db.execute(query.encode(), values).fetchone()
        return int(row[0] or 0) if row else 0

    @contextmanager
    def _worker(self, index: int, told: Mapping[str, object]) -> Iterator[Worker]:
        environment = os.environ | {
            "MAINSTEM_STREAMS_BROKER": self.broker.address,
            "MAINSTEM_STREAMS_STORE_URL": self.store_url,
            "MAINSTEM_STREAMS_METRICS_PORT": "0",
            "MAINSTEM_STREAMS_GROUP": f"bench-{self._stores}",
            **{f"MAINSTEM_STREAMS_{name.upper()}": str(value) for name, value in told.items()},
        }
        path = self.folder / f"worker-{self._stores}-{index}.log"
        with path.open("a") as log:
            process = subprocess.Popen(
                WORKER, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            yield Worker(process, str(said["health"]).replace("/ready", "/live"), path)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@contextmanager
def started_plant(*, partitions: int, durable: bool = True) -> Iterator[Plant]:
    """Run Kafka, with topics of so many partitions, and PostgreSQL as the product starts them."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
            )
        )
        server = database.start(folder / "store", durable=durable)
        stack.callback(database.stop, folder / "store")
        broker = stack.enter_context(started_kafka(folder / "kafka"))
        asyncio.run(ensure_topics(broker.address, partitions=partitions))
        yield Plant(broker, server, folder)


def until(condition: Callable[[], bool], *, what: str, seconds: float) -> float:
    """Wait for a condition; return how long it took."""
    began = time.monotonic()
    wait_for(condition, what=what, seconds=seconds)
    return time.monotonic() - began


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(pid: int) -> float:
    """Return what a process, those it started and those that ended of them have used."""
    total = 0.0
    for one in _family(pid):
        try:
            used = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
        if one.pid == pid:
            total += used.children_user + used.children_system
    return total


def _memory_mib(pid: int) -> float:
    total = 0
    for one in _family(pid):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / MIB
