"""The app of `faust -A apps.worker`: the stream of `mainstem worker`, run by Faust's own command.

It lives once: where `mainstem worker` would build its stream anew, the process ends with 1, and
whoever started it starts another.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import NoReturn

from apps.worker import parts
from streams import agents
from streams.consumer.health import ProgressMonitor
from streams.consumer.stream import Stream, StreamApp
from streams.settings import load


def misused(reason: str) -> NoReturn:
    """End the process as a command that was misused; Faust would show a traceback."""
    sys.stderr.write(f"error: {reason}\n")
    raise SystemExit(2)


@cache
def app() -> StreamApp:
    """Return the app that the settings ask for; the same each time."""
    made = StreamApp(load(), agents.ALL)
    made.around = _running
    return made


@asynccontextmanager
async def _running(app: StreamApp) -> AsyncIterator[None]:
    settings = load()
    if not settings.store_url.get_secret_value():
        misused(parts.NO_STORE)
    progress = ProgressMonitor(stalled_ms=settings.stalled_ms)
    bells = parts.Bells()
    async with parts.opened(settings, bells) as made, parts.serving(settings, progress, bells):
        await Stream(settings, made, progress, app=app).prepare()
        yield
