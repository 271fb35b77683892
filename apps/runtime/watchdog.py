"""A process that does not answer ends itself, so that whoever supervises it restarts it.

Compose restarts what has ended, not what is unhealthy. So each process has a clock outside of
Python (`faulthandler`'s, which needs no lock of the interpreter) that ends it with the stacks of
all its threads on standard error, unless it is put back in time: by the event loop, or, for a
server whose loop is not ours, by a thread that asks the process's own health page. A part that
works in a thread can be asked for too: `is_well` says whether it has moved.
"""

import asyncio
import contextlib
import faulthandler
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from apps.runtime.settings import loaded

_ERRORS: Final = 2
BEATS: Final = 10
"""How often in the time that a process may be silent the clock is put back."""


class WatchdogSettings(BaseSettings):
    """When a process that does not answer ends itself."""

    model_config = SettingsConfigDict(env_prefix="MAINSTEM_WATCHDOG_", frozen=True)

    silent_s: float = Field(
        15.0,
        ge=0,
        le=3_600,
        description="Seconds that a process may not answer before it ends itself; 0 is for ever.",
    )


def load() -> WatchdogSettings:
    """Return the settings of the environment; raise `BadSetting` if one is wrong."""
    return loaded(WatchdogSettings, {})


@asynccontextmanager
async def watched(
    silent_s: float, is_well: Callable[[], bool] = lambda: True
) -> AsyncIterator[None]:
    """End the process, its code 1, once its loop is stuck so long or `is_well` does not hold."""
    beating = asyncio.create_task(_beat(silent_s, is_well)) if silent_s else None
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
            faulthandler.cancel_dump_traceback_later()


async def guarded(work: Coroutine[None, None, None]) -> None:
    """Do the work of a process; end it once its loop is stuck for as long as the settings say."""
    async with watched(load().silent_s):
        await work


@contextmanager
def watched_server(silent_s: float, health_url: str) -> Iterator[None]:
    """End the process once the page has answered and then is silent for so long."""
    stop = threading.Event()
    if silent_s:
        asking = threading.Thread(
            target=_ask, args=(silent_s, health_url, stop), name="watchdog", daemon=True
        )
        asking.start()
    try:
        yield
    finally:
        stop.set()
        faulthandler.cancel_dump_traceback_later()


async def _beat(silent_s: float, is_well: Callable[[], bool]) -> None:
    while True:
        if is_well():
            _put_back(silent_s)
        await asyncio.sleep(silent_s / BEATS)


def _ask(silent_s: float, health_url: str, stop: threading.Event) -> None:
    while not stop.wait(silent_s / BEATS):
        with contextlib.suppress(OSError):
            if _answers(health_url, silent_s / 2) and not stop.is_set():
                _put_back(silent_s)


def _answers(url: str, wait_s: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=wait_s):  # noqa: S310 - our own page
            return True
    except urllib.error.HTTPError:
        return True


def _put_back(silent_s: float) -> None:
    faulthandler.dump_traceback_later(silent_s, exit=True, file=_ERRORS)


class Moving:
    """Says whether a part that works in a thread has moved lately."""

    def __init__(self, moved_s: Callable[[], float], *, still_s: float) -> None:
        """Take when it moved, by `time.monotonic`, and for how long it may stand still."""
        self._moved_s = moved_s
        self._still_s = still_s

    def __call__(self) -> bool:
        """Say so."""
        return time.monotonic() - self._moved_s() < self._still_s
