"""Ends what does not end when it is told to, within a limit.

To cancel is only to ask: `asyncio.wait_for` before Python 3.12 may take a cancellation for its own
time-out (python/cpython#86296), and Faust's services pass over one each. Here what runs is asked
again and again, and what still runs after the limit is left behind, and said so.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

CANCEL_AGAIN_S: Final = 0.5
END_WAIT_S: Final = 10.0
"""How long something that was told to end may take."""

T = TypeVar("T")


async def end(
    tasks: "Collection[asyncio.Future[Any]]", *, within_s: float = END_WAIT_S
) -> "set[asyncio.Future[Any]]":
    """Cancel tasks until they have ended; return those that have not within the limit."""
    loop = asyncio.get_running_loop()
    limit_s = loop.time() + within_s
    waiting = set(tasks)
    while waiting and loop.time() < limit_s:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
    if waiting:
        log.error("left running", extra={"tasks": [repr(task) for task in waiting]})
    return waiting


def ended(tasks: "Collection[asyncio.Future[Any]]") -> bool:
    """Say whether one of these has ended, though it should not, and log how."""
    gone = [task for task in tasks if task.done()]
    for task in gone:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        log.error("ended by itself", exc_info=error, extra={"task": repr(task)})
    return bool(gone)


async def bounded(work: "Coroutine[Any, Any, T]", *, within_s: float) -> T:
    """Return what `work` returns; raise `TimeoutError` after the limit, whatever `work` does.

    Work that is cancelled from within raises `ConnectionAbortedError`: aiokafka's consumer does it
    when it stops while fetches are under way, and nobody asked the caller to end.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=within_s)
        if task.cancelled():
            raise ConnectionAbortedError("cancelled from within")
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {within_s:g} s")
    finally:
        if not task.done():
            await end({task})
