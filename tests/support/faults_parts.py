"""The real processes of one run: Apache Kafka, PostgreSQL, a gateway and workers, as children.

Everything listens on free ports of the loopback interface and keeps its data below one folder. Each
is restarted by the supervisor of `mainstem up` when it ends by itself, with short pauses; all are
ended with us, so none outlives the run, however that ends.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg
from msgspec import Struct

from apps.local import broker as brokers
from apps.local import http_probe, kafka
from apps.local.home import cache_folder
from apps.local.lifecycle import Pacing
from apps.local.ports import LOOPBACK, free_port
from apps.local.store import EmbeddedStore
from apps.local.supervisor import Command, SupervisedProcess, Supervisor, run_once
from tests.support.faults_disk import Disk
from tests.support.faults_proxy import Proxy, proxied

PACING: Final = Pacing(first_ms=100, max_ms=1_000, steady_ms=0)
READY_S: Final = 60.0
STOP_S: Final = 15.0
LOOK_S: Final = 0.02
LOG_BYTES_MAX: Final = 50_000_000
PARTITIONS: Final = 4
KEY: Final = "a key that is long enough for HS256, and public"
SHORT: Final = {
    "MAINSTEM_STREAMS_LATENESS_MS": "2000",
    "MAINSTEM_STREAMS_IDLE_MS": "4000",
    "MAINSTEM_STREAMS_JOBS_WAIT_S": "1",
}
"""Short waits, so that windows close and are rolled up while parts are being killed."""
WORKER: Final = ("apps.cli.main", "worker")
"""The module and its arguments that run a worker as it is shipped."""


class Shape(Struct, frozen=True, kw_only=True):
    """What a run is made of."""

    workers: int = 1
    kafka: bool = True
    """Apache Kafka; else the embedded broker, which forgets its log when it ends."""
    disk: Disk | None = None
    """Where the store keeps its data, if not beside the rest."""
    worker: Sequence[str] = WORKER
    named: bool = True
    """Whether the first workers have names in their group, and so keep their partitions."""
    settings: dict[str, str] = {}
    """More settings of the workers, by their names in the environment."""


class Parts:
    """The processes, by name; made by `running`."""

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder = folder
        self.shape = shape
        self.broker_port = free_port()
        self.gateway_port = free_port()
        self.keepers: dict[str, Supervisor] = {}
        self.store = EmbeddedStore(self._store_folder, pacing=PACING)
        self.proxy: Proxy | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._workers = 0
        self._node = kafka.KafkaNode(
            folder=folder / "kafka",
            port=self.broker_port,
            controller_port=free_port(),
            cluster_id=kafka.new_cluster_id(),
        )

    @property
    def broker(self) -> str:
        """Where the broker answers, HOST:PORT."""
        return f"{LOOPBACK}:{self.broker_port}"

    @property
    def gateway_url(self) -> str:
        """Where events are sent."""
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def workers(self) -> list[str]:
        """The names of the workers that are kept running."""
        return sorted(name for name in self.keepers if name.startswith("worker"))

    async def start(self) -> None:
        """Start everything; return once every part answers."""
        await asyncio.gather(self._start_store(), self._keep(self._broker_part()))
        await asyncio.gather(
            self._keep(self._gateway_part()),
            *(self.add_worker() for _ in range(self.shape.workers)),
        )

    async def add_worker(self) -> str:
        """Start one more worker; return its name once it answers."""
        self._workers += 1
        name = f"worker{self._workers}"
        await self._keep(self._worker_part(name, free_port()))
        return name

    async def remove_worker(self, name: str) -> None:
        """Have a worker leave as SIGTERM does, and not come back."""
        keeper = self.keepers.pop(name)
        await keeper.stop(STOP_S)
        await self._tasks.pop(name)

    async def stop(self) -> None:
        """End everything, the last first; what does not leave by itself is killed."""
        for name in reversed(list(self.keepers)):
            keeper = self.keepers[name]
            signal_(keeper, signal.SIGCONT)
            await keeper.stop(STOP_S)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.store.stop()

    def kill(self, name: str) -> int:
        """Kill a part by its process number; return that number."""
        pid = self.pid(name)
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid(self, name: str) -> int | None:
        """Return the process number of a part, if it runs."""
        if name == "store":
            return _postmaster(self._store_folder)
        return self.keepers[name].pid

    async def back(self, name: str, before: int) -> None:
        """Wait until a part whose process was `before` answers as another one."""
        if name == "store":
            await until(lambda: self._store_answers(before), what="the store answers again")
            return
        keeper = self.keepers[name]
        await until(
            lambda: keeper.pid not in {None, before} and keeper.ready.is_set(),
            what=f"{name} answers again",
        )

    def said(self) -> str:
        """Return the end of every part's log, to be shown when a run fails."""
        texts = [
            f"{path.name}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
            for path in sorted(self.folder.glob("*.log"))
        ]
        return "\n".join(texts)

    def logged(self, words: str) -> int:
        """Count the lines of the workers' logs that hold these words."""
        return sum(
            line.count(words)
            for path in self.folder.glob("worker*.log")
            for line in path.read_text(errors="replace").splitlines()
        )

    async def _start_store(self) -> None:
        await self.store.start(on_move=lambda: None)
        if self.proxy is not None:
            self.proxy.target_port = _port(self.store.url)
        migrate = Command(
            [sys.executable, "-m", "apps.cli.main", "migrate"],
            _environment({"MAINSTEM_STREAMS_STORE_URL": self.store.url}),
        )
        log = self.folder / "migrate.log"
        assert await run_once(migrate, log) == 0, log.read_text()

    async def _keep(self, part: SupervisedProcess) -> None:
        keeper = Supervisor(
            part,
            pacing=PACING,
            log_path=self.folder / f"{part.name}.log",
            log_bytes_max=LOG_BYTES_MAX,
        )
        self.keepers[part.name] = keeper
        self._tasks[part.name] = asyncio.create_task(keeper.run())
        await until(keeper.ready.is_set, what=f"{part.name} answers")

    def _broker_part(self) -> SupervisedProcess:
        def command() -> Command:
            told = brokers.without_otel(dict(os.environ))
            if self.shape.kafka:
                return Command(kafka.prepare(self._node, kafka.libraries(cache_folder())), told)
            made = brokers.tansu_command(port=self.broker_port, cluster_id=self._node.cluster_id)
            return Command(made, told)

        async def accepts() -> bool:
            return await http_probe.accepts(self.broker_port)

        return SupervisedProcess(name="broker", command=command, is_ready=accepts)

    def _gateway_part(self) -> SupervisedProcess:
        told = {
            "MAINSTEM_GATEWAY_PORT": str(self.gateway_port),
            "MAINSTEM_GATEWAY_BROKER": self.broker,
            "MAINSTEM_GATEWAY_PARTITIONS": str(PARTITIONS),
            "MAINSTEM_GATEWAY_TOKEN_KEY": KEY,
        }
        return SupervisedProcess(
            name="gateway",
            command=lambda: self._own(("apps.cli.main", "gateway"), told),
            is_ready=_is_ok(self.gateway_port),
        )

    def _worker_part(self, name: str, port: int) -> SupervisedProcess:
        is_named = self.shape.named and self._workers <= self.shape.workers

        def command() -> Command:
            told = {
                "MAINSTEM_STREAMS_BROKER": self.broker,
                "MAINSTEM_STREAMS_STORE_URL": self._worker_url(),
                "MAINSTEM_STREAMS_METRICS_PORT": str(port),
                "MAINSTEM_STREAMS_PARTITIONS": str(PARTITIONS),
                "MAINSTEM_STREAMS_INSTANCE": name if is_named else "",
            }
            return self._own(self.shape.worker, told | SHORT | self.shape.settings)

        return SupervisedProcess(name=name, command=command, is_ready=_is_ok(port))

    def _own(self, module: Sequence[str], told: dict[str, str]) -> Command:
        return Command([sys.executable, "-m", *module], _environment(told))

    def _worker_url(self) -> str:
        if self.proxy is None:
            return self.store.url
        return self.store.url.replace(f":{_port(self.store.url)}/", f":{self.proxy.port}/")

    @property
    def _store_folder(self) -> Path:
        disk = self.shape.disk
        return (self.folder if disk is None else disk.folder) / "postgres"

    async def _store_answers(self, before: int) -> bool:
        if _postmaster(self._store_folder) in {None, before}:
            return False
        try:
            async with await psycopg.AsyncConnection.connect(self.store.url, connect_timeout=2):
                return True
        except psycopg.Error:
            return False


@asynccontextmanager
async def running(
    folder: Path, shape: Shape | None = None, *, with_proxy: bool = False
) -> AsyncIterator[Parts]:
    """Run the processes below `folder` until the block ends."""
    async with AsyncExitStack() as stack:
        parts = Parts(folder, shape or Shape())
        if with_proxy:
            parts.proxy = await stack.enter_async_context(proxied(0))
        stack.push_async_callback(parts.stop)
        try:
            await parts.start()
            yield parts
        except (AssertionError, TimeoutError) as error:
            error.add_note(parts.said())
            raise


async def until(
    condition: Callable[[], bool | Awaitable[bool]], *, what: str, seconds: float = READY_S
) -> None:
    """Wait until `condition` holds; fail with `what` after `seconds`."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(LOOK_S)


def signal_(keeper: Supervisor, number: signal.Signals) -> None:
    """Send a signal to a part that runs."""
    if keeper.pid is not None:
        os.kill(keeper.pid, number)


def _environment(told: dict[str, str]) -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "MAINSTEM_")) and name != "DATABASE_URL"
    }
    return kept | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"} | told


def _is_ok(port: int) -> Callable[[], Awaitable[bool]]:
    async def is_ok() -> bool:
        return await http_probe.status(port, "/health/ready") == 200

    return is_ok


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])


def _postmaster(folder: Path) -> int | None:
    try:
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    return pid
