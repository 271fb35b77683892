"""Keeps one process running: starts it, waits until it answers, restarts it with growing pauses.

One that ran and does not answer any more, stopped or stuck, is ended by force and starts again too.

The process ends when we do (see `parent_guard`). It runs in a process group of its own, so that
Ctrl-C in a terminal reaches `up` alone and everything is stopped in order. Its output goes to a log
file, which is turned over at a size.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from apps.local import lifecycle, parent_guard
from apps.local.lifecycle import Pacing, Signal, State

PROBE_MS: Final = 50
ONCE_STOP_S: Final = 5.0
TAIL_BYTES: Final = 8_192
HUNG_S: Final = 10.0
"""How long a part may not answer before it is restarted."""
LOOKS: Final = 5
"""How often in that time it is asked."""
ABORT_S: Final = 0.5
"""How long a part that hangs has to write down what it does."""

log = logging.getLogger(__name__)


class Command(Struct, frozen=True):
    """What to run, and the environment it sees."""

    arguments: list[str]
    environment: dict[str, str]


class SupervisedProcess(Struct, frozen=True, kw_only=True):
    """One process of the stack: `command` is asked again at each start."""

    name: str
    command: Callable[[], Command]
    is_ready: Callable[[], Awaitable[bool]]
    is_alive: Callable[[], Awaitable[bool]] | None = None
    """Whether it answers at all; None where only its end can be noticed."""
    on_restart: Callable[[], None] = lambda: None
    """Called when the part answers again after it had ended by itself."""


class Supervisor:
    """Guards the life of one part; `run` it as a task, then `stop` it."""

    def __init__(
        self,
        part: SupervisedProcess,
        *,
        pacing: Pacing,
        log_path: Path,
        log_bytes_max: int,
        hung_s: float = HUNG_S,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.part = part
        self.log_path = log_path
        self.state = State.WAITING
        self.failures = 0
        self.starts = 0
        self.ready = asyncio.Event()
        self._pacing = pacing
        self._log_bytes_max = log_bytes_max
        self._hung_s = hung_s
        self._on_change = on_change
        self._process: Process | None = None
        self._leaving = asyncio.Event()
        self._is_renewing = False

    @property
    def pid(self) -> int | None:
        """The running process, if there is one."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def run(self) -> None:
        """Keep the part running until it is stopped."""
        while self.state is not State.STOPPED:
            await self._live_once()

    async def stop(self, wait_s: float) -> bool:
        """End the part: a request first, force after `wait_s`; say whether it left by itself."""
        self._move(Signal.STOP)
        self._leaving.set()
        return await self._end(wait_s)

    async def renew(self, wait_s: float) -> None:
        """End the process so that it starts again at once."""
        self._is_renewing = True
        await self._end(wait_s)

    def last_words(self) -> str:
        """Return the last line of the part's log."""
        return last_line(self.log_path)

    async def _live_once(self) -> None:
        began = time.monotonic()
        await self._spawn()
        if self._process is not None:
            probing = asyncio.create_task(self._probe())
            await self._process.wait()
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing
        self.ready.clear()
        self._on_change()
        if self.state in {State.STOPPING, State.STOPPED}:
            self.state = State.STOPPED
            return
        await self._back_off(ran_ms=int((time.monotonic() - began) * 1000))

    async def _spawn(self) -> None:
        command = self.part.command()
        turn_over(self.log_path, self._log_bytes_max)
        with self.log_path.open("ab") as output:
            self._process = await _start(command, output, folder=self.log_path.parent)
        self.starts += 1
        if self.state is State.WAITING:
            self._move(Signal.SPAWNED)
        else:
            self._signal(signal.SIGTERM)
        self._on_change()

    async def _probe(self) -> None:
        while not await self.part.is_ready():  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(PROBE_MS / 1000)
        if self.state is not State.STARTING:
            return
        self._move(Signal.ANSWERED)
        self.ready.set()
        if self.starts > 1:
            self.part.on_restart()
        if self.part.is_alive is not None and self._hung_s:
            await self._until_hung(self.part.is_alive)

    async def _until_hung(self, is_alive: Callable[[], Awaitable[bool]]) -> None:
        """Look after the part; end it once it has not answered for so long: then it is renewed."""
        answered = time.monotonic()
        while time.monotonic() - answered < self._hung_s:
            await asyncio.sleep(self._hung_s / LOOKS)
            if await is_alive():
                answered = time.monotonic()
        log.warning("part does not answer; it is restarted", extra={"part": self.part.name})
        self._signal(signal.SIGABRT)  # its stacks go to its log
        await asyncio.sleep(ABORT_S)
        with contextlib.suppress(ProcessLookupError):
            if self.pid is not None:
                os.killpg(self.pid, signal.SIGKILL)

    async def _back_off(self, *, ran_ms: int) -> None:
        self._move(Signal.EXITED)
        pause_ms = 0
        if self._is_renewing:
            self._is_renewing = False
        else:
            pacing = self._pacing
            self.failures = lifecycle.failures_after(self.failures, ran_ms=ran_ms, pacing=pacing)
            pause_ms = lifecycle.pause_ms(self.failures, pacing)
            log.warning(
                "part ended by itself", extra={"part": self.part.name, "pause_ms": pause_ms}
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_ms / 1000):
                await self._leaving.wait()
        if self.state is State.BACKING_OFF:
            self._move(Signal.DUE)

    async def _end(self, wait_s: float) -> bool:
        if self._process is None or self._process.returncode is not None:
            return True
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(wait_s):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _move(self, signal_: Signal) -> None:
        self.state = lifecycle.after(self.state, signal_)


async def run_once(command: Command, log_path: Path) -> int:
    """Run a command that ends by itself and when we do; return its code. Cancelling ends it too."""
    with log_path.open("wb") as output:
        process = await _start(command, output, folder=log_path.parent)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(ONCE_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        raise


async def _start(command: Command, output: IO[bytes], *, folder: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        *parent_guard.command(command.arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=command.environment | {parent_guard.PARENT: str(os.getpid())},
        cwd=folder,
        start_new_session=True,
    )


def turn_over(path: Path, bytes_max: int) -> None:
    """Keep one older log beside `path` once it has grown to its limit.

    The file is copied and cut, not renamed, since the process that writes it has it open.
    """
    try:
        if path.stat().st_size < bytes_max:
            return
    except FileNotFoundError:
        return
    path.with_suffix(".old.log").write_bytes(path.read_bytes())
    os.truncate(path, 0)


def last_line(path: Path) -> str:
    """Return the last line of a log that says something, or empty text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
