"""One run: load, faults by a schedule, drain, comparison, and how long each fault took to pass.

The time to resume is taken from the moment the part answers again (for a worker, from the kill)
until the store has, on every partition, gone beyond where it was.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from msgspec import Struct

from analytics.contracts import topics
from apps.local import drain
from apps.local.topics import cluster_id
from tests.support.faults_load import Load
from tests.support.faults_parts import Parts, Shape, running, until
from tests.support.faults_results import Told, compare_told, is_settled, told
from tests.support.faults_rolled import Rolled, compare_rolled
from tests.support.faults_schedule import STORE_TROUBLE, Fault, Kind
from tests.support.faults_truth import SHOWN_MAX, Found, compare, there

RESUME_S: Final = 60.0
"""How long a fault may keep the stream from going on before the run fails."""
DRAIN_S: Final = 60.0
PAUSE_S: Final = 11.0
"""How long what is paused sleeps: longer than a worker's session, so that its group notices."""
STALL_S: Final = 3.0
SLOW_S: Final = 0.02
"""What every chunk between a worker and a slow store takes, either way."""
SLOW_EVENTS: Final = 500
MID_COMMIT: Final = b"copy events"
"""What a worker asks in the middle of a commit, its offset moved and not yet kept."""
WAITING: Final = "waiting part=store"
FULL_EVENTS: Final = 500
LOAD_S: Final = 30.0
LOOK_S: Final = 0.03
ARTIFACT: Final = Path(__file__).resolve().parents[2] / "artifacts" / "faults.json"
FENCED: Final = "claimed by another worker"
_REACHED: Final = """
select l.partition, l.next_offset from checkpoints l join logs using (log_id)
 where cluster_id = %s and topic = %s
"""


class Resumed(Struct, frozen=True, kw_only=True):
    """One fault that passed, and how long it took."""

    kind: Kind
    away_s: float
    """From the fault until the part answered again; for a worker that is not what counts."""
    resumed_s: float


class Report(Struct, frozen=True, kw_only=True):
    """What a run came to."""

    name: str
    seed: int
    workers: int
    faults: tuple[Resumed, ...]
    resumed_p50_s: float
    resumed_max_s: float
    repeated: int
    refused: int
    given_up: int
    fenced: int
    """How often a worker found that another had claimed what it was writing for."""
    starts: dict[str, int]
    """How often each part that is there in the end was started."""
    seconds: float
    found: Found
    rolled: Rolled | None
    told: Told | None

    @property
    def wrong(self) -> tuple[str, ...]:
        """All that is not as it must be, in words."""
        made = (
            *(self.rolled.wrong if self.rolled else ()),
            *(self.told.wrong if self.told else ()),
        )
        return (*self.found.wrong, *made)[:SHOWN_MAX]

    @property
    def is_whole(self) -> bool:
        """Whether there was something to compare in every part."""
        parts = (self.rolled.points, self.rolled.windows) if self.rolled else (0, 0)
        return min(self.found.acknowledged, *parts, self.told.windows if self.told else 0) > 0


class Run:
    """One run under way."""

    def __init__(self, parts: Parts, load: Load) -> None:
        self.parts = parts
        self.load = load
        self.resumed: list[Resumed] = []
        self._cluster = ""
        self._waking: asyncio.Task[None] | None = None

    async def meet(self, fault: Fault) -> None:
        """Wait until it is due, do it, and wait until the stream goes on."""
        if not self._cluster:
            self._cluster = await cluster_id(self.parts.broker)
        await self._pass(fault.after)
        begun = time.monotonic()
        back = await self._do(fault)
        before = await self.reached()
        assert before, "the store answered a moment ago"
        await until(lambda: self._beyond(before), what=f"going on after {fault}", seconds=RESUME_S)
        now = time.monotonic()
        if self._waking is not None:
            await self._waking
        resumed = Resumed(
            kind=fault.kind, away_s=round(back - begun, 2), resumed_s=round(now - back, 2)
        )
        self.resumed.append(resumed)
        print(f"  {resumed.kind}: away {resumed.away_s} s, resumed in {resumed.resumed_s} s")  # noqa: T201 - shown while it runs

    async def reached(self) -> Mapping[int, int]:
        """Return the next offset of each partition of the agents' topic, as the store has it."""
        url = self.parts.store.url
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=2) as db:
                rows = await db.execute(_REACHED, [self._cluster, topics.AGENTS.address])
                return {partition: offset async for partition, offset in rows}
        except psycopg.Error:
            return {}

    async def finish(self) -> None:
        """Let the load end, and wait until the store has all of it."""
        await self.load.stop()
        await until(self._drained, what="the store has what the broker has", seconds=DRAIN_S)

    async def _drained(self) -> bool:
        lacking = await drain.until_read(self.parts.broker, self.parts.store.url, wait_s=DRAIN_S)
        return lacking == 0

    def _sent(self, target: int) -> bool:
        self.load.fail_if_ended()
        return len(self.load.acknowledged) >= target

    async def _beyond(self, before: Mapping[int, int]) -> bool:
        self.load.fail_if_ended()
        await asyncio.sleep(LOOK_S)
        now = await self.reached()
        return bool(now) and all(now.get(one, 0) > offset for one, offset in before.items())

    async def _do(self, fault: Fault) -> float:
        """Do what the fault says; return the moment from which the stream should go on."""
        workers = self.parts.workers
        worker = workers[fault.pick % len(workers)]
        match fault.kind:
            case Kind.KILL_WORKER:
                self.parts.kill(worker)
                return time.monotonic()
            case Kind.KILL_GATEWAY | Kind.KILL_BROKER | Kind.KILL_STORE:
                name = fault.kind.removeprefix("kill ")
                await self.parts.back(name, self.parts.kill(name))
            case Kind.RESTART_BROKER:
                before = self.parts.pid("broker")
                assert before is not None
                os.kill(before, signal.SIGTERM)
                await self.parts.back("broker", before)
            case Kind.PAUSE_WORKER:
                pid = self.parts.pid(worker)
                assert pid is not None
                self._waking = asyncio.create_task(_sleep(pid))
            case Kind.PAUSE_BROKER:
                pid = self.parts.pid("broker")
                assert pid is not None
                await _sleep(pid)
            case Kind.ADD_WORKER:
                await self.parts.add_worker()
            case Kind.REMOVE_WORKER:
                await self.parts.remove_worker(worker)
            case Kind.FILL_DISK:
                await self._fill()
            case _:
                await self._trouble(fault.kind)
        return time.monotonic()

    async def _fill(self) -> None:
        """Fill the store's disk until the worker waits for the store; then free it."""
        disk = self.parts.shape.disk
        assert disk is not None, "a disk to fill is asked for by the shape"
        waited = self.parts.logged(WAITING)
        disk.fill()
        try:
            await until(
                lambda: self.parts.logged(WAITING) > waited,
                what="the worker waits for the store",
                seconds=RESUME_S,
            )
            await self._pass(FULL_EVENTS)
        finally:
            disk.free()

    async def _trouble(self, kind: Kind) -> None:
        """Do what only a proxy between the workers and the store can do."""
        proxy = self.parts.proxy
        assert proxy is not None, f"{kind} needs a proxy"
        match kind:
            case Kind.SLOW_STORE:
                proxy.delay_s = SLOW_S
                await self._pass(SLOW_EVENTS)
                proxy.delay_s = 0.0
            case Kind.STALL_STORE:
                proxy.stall()
                await asyncio.sleep(STALL_S)
                proxy.flow()
            case Kind.DESERT_STORE:
                await proxy.mute(MID_COMMIT)
                await asyncio.sleep(STALL_S)
                proxy.desert()
                proxy.flow()
            case _:
                proxy.reset()

    async def _pass(self, events: int) -> None:
        """Let so many more events be acknowledged."""
        target = len(self.load.acknowledged) + events
        await until(
            lambda: self._sent(target), what=f"{target} events acknowledged", seconds=LOAD_S
        )


async def _sleep(pid: int) -> None:
    """Have a process sleep for `PAUSE_S`; it wakes in any case."""
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        os.kill(pid, signal.SIGCONT)


async def run(
    folder: Path,
    faults: Sequence[Fault],
    *,
    name: str,
    seed: int,
    shape: Shape | None = None,
    derived: bool = True,
) -> Report:
    """Run the processes under load through these faults; return what it came to.

    Without `derived`, rollups and results are not looked at: a broken checkpoints leaves none to
    see.
    """
    begun = time.monotonic()
    print(f"{name}, seed {seed}: " + ", ".join(f"{f.kind} after {f.after}" for f in faults))  # noqa: T201 - to be replayed
    with_proxy = any(fault.kind in STORE_TROUBLE for fault in faults)
    async with running(folder, shape, with_proxy=with_proxy) as parts:
        load = Load(parts.gateway_url, seed=seed)
        under_way = Run(parts, load)
        load.start()
        try:
            for fault in faults:
                await under_way.meet(fault)
            await under_way.finish()
        finally:
            await load.abandon()
        found = await asyncio.to_thread(compare, load.known, load.acknowledged, parts.store.url)
        rolled, said = await _derived(parts, load) if derived else (None, None)
    times = sorted(one.resumed_s for one in under_way.resumed) or [0.0]
    report = Report(
        name=name,
        seed=seed,
        workers=(shape or Shape()).workers,
        faults=tuple(under_way.resumed),
        resumed_p50_s=times[(len(times) - 1) // 2],
        resumed_max_s=times[-1],
        repeated=load.repeated,
        refused=load.refused,
        given_up=load.given_up,
        fenced=parts.logged(FENCED),
        starts={name: keeper.starts for name, keeper in parts.keepers.items()},
        seconds=round(time.monotonic() - begun, 1),
        found=found,
        rolled=rolled,
        told=said,
    )
    keep(report)
    return report


async def _derived(parts: Parts, load: Load) -> tuple[Rolled, Told]:
    """Compare what is made of rows and windows: rollups and results."""
    url = parts.store.url
    known = await asyncio.to_thread(there, load.known, url)
    now_ms = time.time_ns() // 1_000_000
    rolled = await asyncio.to_thread(compare_rolled, known, url, now_ms=now_ms)
    await until(
        lambda: asyncio.to_thread(is_settled, url, before_ms=now_ms),
        what="every window that ended is closed",
        seconds=DRAIN_S,
    )
    end = time.monotonic() + DRAIN_S
    while True:  # the second stage closes windows once it has heard of all partitions
        said = await asyncio.to_thread(
            compare_told, await told(parts.broker), url, before_ms=now_ms
        )
        if not said.wrong or time.monotonic() > end:
            return rolled, said
        await asyncio.sleep(1)


def keep(report: Report, path: Path = ARTIFACT) -> None:
    """Print the report, and write it beside those of other runs by its name and seed."""
    kept: dict[str, object] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    kept[f"{report.name}, seed {report.seed}"] = msgspec.to_builtins(report)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2))
    print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())  # noqa: T201 - the report
