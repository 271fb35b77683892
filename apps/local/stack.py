"""All parts together: started side by side, kept running, stopped in the order that loses nothing.

Start: broker and store at once; the gateway when the broker answers; schema, worker, dashboard and
query API when the store does (a worker waits for the schema by itself). Stop: the gateway takes no
more and flushes, the worker reads every topic to the end it has now (bounded by `drain_wait_s`),
then worker, dashboard, query API, broker and store end. A broker that ended by itself comes back as
a new, empty log, so the worker is restarted too.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Final

import msgspec

from analytics.contracts.errors import Unavailable
from apps.local import state, tenants
from apps.local.broker import BrokerKind
from apps.local.home import Home
from apps.local.lifecycle import Pacing
from apps.local.parts import (
    Wiring,
    api_part,
    broker_part,
    dashboard_part,
    demo_part,
    gateway_part,
    own,
    worker_part,
)
from apps.local.settings import LocalSettings
from apps.local.state import RunState
from apps.local.store import EmbeddedStore
from apps.local.supervisor import SupervisedProcess, Supervisor, last_line, run_once, turn_over

START_FAILURES_MAX: Final = 4
"""How often a part may end before it was ever ready; then `up` gives up."""
ROTATE_LOOK_S: Final = 30.0
DEMO_STOP_S: Final = 5.0

log = logging.getLogger(__name__)


class DidNotStart(Unavailable):
    """A part of the stack did not get ready; the message says which and where its log is."""

    code = "did-not-start"


class Stack:
    """The parts of one `mainstem up`."""

    def __init__(
        self, wiring: Wiring, settings: LocalSettings, *, demo_speed: float | None
    ) -> None:
        self.wiring = wiring
        self._settings = settings
        self._demo_speed = demo_speed
        self._supervisors: dict[str, Supervisor] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pacing = Pacing(
            first_ms=settings.backoff_ms,
            max_ms=settings.backoff_max_ms,
            steady_ms=settings.steady_ms,
        )
        self._store: EmbeddedStore | None = None
        if not wiring.store_url:
            self._store = EmbeddedStore(wiring.home.postgres, pacing=self._pacing)
        self._phase = "starting"
        self._drained: int | None = None

    @property
    def home(self) -> Home:
        """The data folder that the stack works in."""
        return self.wiring.home

    async def start(self) -> None:
        """Start everything; return once every part answers, raise `DidNotStart` if one does not."""
        self._write_state()
        self._spawn(self._turn_logs_over())
        try:
            async with asyncio.timeout(self._settings.ready_wait_s), asyncio.TaskGroup() as group:
                group.create_task(self._start_store_side())
                group.create_task(self._start_broker_side())
        except* TimeoutError as errors:
            raise DidNotStart(self._not_ready()) from errors
        if self._demo_speed is not None:
            from streams.maintenance import erasure

            await asyncio.to_thread(erasure.lift, self.wiring.store_url, tenants.DEMO)
            rate_max = self._settings.demo_rate_max
            self._supervise(demo_part(self.wiring, speed=self._demo_speed, rate_max=rate_max))
        self._phase = "up"
        self._write_state()

    async def stop(self, *, hurry: asyncio.Event, say: Callable[[str], None]) -> bool:
        """Stop everything in order; say whether all that was acknowledged is in the store.

        Once `hurry` is set nothing is waited for.
        """
        self._phase = "draining"
        self._write_state()
        was_up = self._is_ready("gateway") and self._is_ready("worker")
        await self._end("demo", DEMO_STOP_S)
        await self._end("gateway", self._settings.stop_wait_s)
        if was_up:
            self._drained = await self._drain(hurry, say)
        for name in ("worker", "dashboard", "api", "broker"):
            await self._end(name, self._settings.stop_wait_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._store is not None:
            await self._store.stop()
        self._phase = "stopped"
        self._write_state()
        return not was_up or self._drained == 0

    async def _start_store_side(self) -> None:
        if self._store is not None:
            url = await self._store.start(on_move=self._store_moved)
            self.wiring = msgspec.structs.replace(self.wiring, store_url=url)
            self._write_state()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._migrate())
            for part in (
                worker_part(lambda: self.wiring, self.wiring.metrics_port),
                dashboard_part(lambda: self.wiring, self.wiring.dashboard_port),
                api_part(lambda: self.wiring, self.wiring.api_port),
            ):
                group.create_task(self._ready(part))

    async def _start_broker_side(self) -> None:
        if self.wiring.broker.kind is not BrokerKind.EXTERNAL:
            await self._ready(broker_part(self.wiring, on_restart=self._broker_is_new))
        await self._ready(gateway_part(self.wiring))

    async def _migrate(self) -> None:
        path = self.home.logs / "migrate.log"
        if await run_once(own(self.wiring, "migrate"), path) != 0:
            raise DidNotStart(f"the store's schema was not made: {_quoted(last_line(path), path)}")

    async def _ready(self, part: SupervisedProcess) -> None:
        supervisor = self._supervise(part)
        waiting = asyncio.create_task(supervisor.ready.wait())
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=self._settings.backoff_ms / 1000)
                if supervisor.failures >= START_FAILURES_MAX:
                    raise DidNotStart(_did_not_start(supervisor))
        finally:
            waiting.cancel()

    def _supervise(self, part: SupervisedProcess) -> Supervisor:
        supervisor = Supervisor(
            part,
            pacing=self._pacing,
            log_path=self.home.logs / f"{part.name}.log",
            log_bytes_max=self._settings.log_bytes_max,
            hung_s=self._settings.hung_s,
            on_change=self._write_state,
        )
        self._supervisors[part.name] = supervisor
        self._spawn(supervisor.run())
        return supervisor

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _broker_is_new(self) -> None:
        if not self.wiring.broker.is_durable:
            self._renew("worker")

    def _store_moved(self) -> None:
        assert self._store is not None
        self.wiring = msgspec.structs.replace(self.wiring, store_url=self._store.url)
        self._renew("worker")
        self._renew("dashboard")
        self._renew("api")

    def _renew(self, name: str) -> None:
        if name in self._supervisors:
            self._spawn(self._supervisors[name].renew(self._settings.stop_wait_s))

    async def _drain(self, hurry: asyncio.Event, say: Callable[[str], None]) -> int | None:
        from apps.local import drain

        wait_s = self._settings.drain_wait_s
        work = asyncio.create_task(
            drain.until_read(self.wiring.broker_address, self.wiring.store_url, wait_s=wait_s)
        )
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait({work, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            say("not waiting any longer: events may be left unread")
            return None
        try:
            unread = work.result()
        except Exception as error:
            log.exception("drain failed")
            say(f"could not see whether every event is in the store: {error}")
            return None
        if unread:
            say(f"{unread} events were not in the store after {wait_s:g} s (drain_wait_s)")
        return unread

    async def _end(self, name: str, wait_s: float) -> None:
        supervisor = self._supervisors.get(name)
        if supervisor is not None and not await supervisor.stop(wait_s):
            log.warning("part had to be killed", extra={"part": name})

    def _is_ready(self, name: str) -> bool:
        return name in self._supervisors and self._supervisors[name].ready.is_set()

    def _not_ready(self) -> str:
        waits = [
            name for name, supervisor in self._supervisors.items() if not supervisor.ready.is_set()
        ]
        named = ", ".join(waits) or "the store"
        wait_s = self._settings.ready_wait_s
        return f"not ready after {wait_s:g} s: {named}; the logs are in {str(self.home.logs)!r}"

    def _write_state(self) -> None:
        me = state.process(state.own_pid())
        assert me is not None
        pids = {name: supervisor.pid for name, supervisor in self._supervisors.items()}
        children = {name: state.process(pid) for name, pid in pids.items() if pid is not None}
        told = RunState(
            phase=self._phase,
            up=me,
            gateway_url=self.wiring.gateway_url,
            dashboard_url=self.wiring.dashboard_url,
            api_url=self.wiring.api_url,
            broker=self.wiring.broker_address,
            broker_kind=self.wiring.broker.kind,
            store_kind="external" if self._store is None else "embedded",
            store_url=self.wiring.store_url,
            children={name: one for name, one in children.items() if one is not None},
            is_demo=self._demo_speed is not None,
            unread=self._drained,
        )
        try:
            state.write(self.home, told)
        except OSError:
            log.exception("state not written")

    async def _turn_logs_over(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_LOOK_S)
            for supervisor in self._supervisors.values():
                turn_over(supervisor.log_path, self._settings.log_bytes_max)


def _did_not_start(supervisor: Supervisor) -> str:
    said = _quoted(supervisor.last_words(), supervisor.log_path)
    name, times = supervisor.part.name, supervisor.failures
    return f"the {name} ended {times} times instead of getting ready: {said}"


def _quoted(words: str, path: object) -> str:
    return f"{words or 'it said nothing'!r}; its log is {str(path)!r}"
