"""The store of this machine: an embedded PostgreSQL that is kept running, or one that runs already.

The embedded one is looked at every `LOOK_S` seconds and started again when it is gone; it keeps its
port, so nobody has to be told. It stops when `up` does, however that one ends: a watcher on a pipe
asks it to.
"""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from apps.local import database, lifecycle, parent_guard
from apps.local.database import Server
from apps.local.lifecycle import Pacing

LOOK_S: Final = 2.0

log = logging.getLogger(__name__)


class EmbeddedStore:
    """Starts, guards and stops the embedded server of one folder."""

    def __init__(self, folder: Path, *, pacing: Pacing) -> None:
        self.url = ""
        self.restarts = 0
        self._folder = folder
        self._pacing = pacing
        self._server: Server | None = None
        self._starting: asyncio.Task[Server] | None = None
        self._watcher: asyncio.subprocess.Process | None = None
        self._guarding: asyncio.Task[None] | None = None

    async def start(self, *, on_move: Callable[[], None]) -> str:
        """Start the server and guard it; `on_move` is called if its address changes later."""
        await self._start()
        self._guarding = asyncio.create_task(self._guard(on_move))
        return self.url

    async def stop(self) -> None:
        """Stop the server, with a checkpoint but without waiting for its clients."""
        if self._guarding is not None:
            self._guarding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._guarding
        if self._starting is not None:
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.to_thread(database.stop, self._folder)
        await self._release()

    async def _start(self) -> None:
        self._starting = asyncio.create_task(asyncio.to_thread(database.start, self._folder))
        self._server = await asyncio.shield(self._starting)
        self.url = self._server.url
        await self._release()
        self._watcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", parent_guard.__file__, parent_guard.STOP_POSTGRES),
            str(self._folder / "data" / "postmaster.pid"),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def _release(self) -> None:
        if self._watcher is not None and self._watcher.stdin is not None:
            if self._watcher.returncode is None:
                self._watcher.kill()
            await self._watcher.wait()
            self._watcher.stdin.close()

    async def _guard(self, on_move: Callable[[], None]) -> None:
        failures, began = 0, time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._server is not None and _is_there(self._server.pid):
                continue
            ran_ms = int((time.monotonic() - began) * 1000)
            failures = lifecycle.failures_after(failures, ran_ms=ran_ms, pacing=self._pacing)
            await asyncio.sleep(lifecycle.pause_ms(failures, self._pacing) / 1000)
            began, before = time.monotonic(), self.url
            log.warning("store ended by itself", extra={"failures": failures})
            try:
                await self._start()
            except Exception:
                log.exception("store did not start")
                continue
            self.restarts += 1
            if self.url != before:
                on_move()


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
