"""Ends what does not end when it is told to, within a limit.

To cancel is only to ask: a library that bounds its own waits may take a cancellation for one of its
time-outs (`asyncio.wait_for` before Python 3.12 did, python/cpython#86296). So tasks are asked
again and again, and what still runs after the limit is left behind, and said so. The stream has the
like of this (`streams.consumer.shutdown`): the two rooms share nothing but contracts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final, TypeVar

log = logging.getLogger(__name__)

CANCEL_AGAIN_S: Final = 0.5
END_WAIT_S: Final = 10.0
"""How long tasks that were told to end may take."""
RESTART_S: Final = 1.0
"""How long a background task that failed waits before it starts again."""

T = TypeVar("T")


async def end(tasks: "Collection[asyncio.Future[Any]]", *, within_s: float = END_WAIT_S) -> bool:
    """Cancel tasks until they have ended; false if some have not within the limit."""
    loop = asyncio.get_running_loop()
    limit_s = loop.time() + within_s
    waiting = set(tasks)
    while waiting and loop.time() < limit_s:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
    if waiting:
        log.error("left running", extra={"tasks": [repr(task) for task in waiting]})
    return not waiting


async def bounded(work: "Coroutine[Any, Any, T]", *, within_ms: float) -> T:
    """Return what `work` returns; raise `TimeoutError` after the limit, whatever `work` does.

    Work that is cancelled from within raises `ConnectionAbortedError`: aiokafka's consumer does it
    when it stops while fetches are under way, and nobody asked the caller to end.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=within_ms / 1_000)
        if task.cancelled():
            raise ConnectionAbortedError("cancelled from within")
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {within_ms:g} ms")
    finally:
        if not task.done():
            await end({task})


async def kept_going(run: Callable[[], Awaitable[None]], *, wait_s: float = RESTART_S) -> None:
    """Run a background task until it returns or is told to end; start it again when it fails.

    A cancellation that nobody asked this task for is a failure of what it runs, too.
    """
    task = asyncio.current_task()
    while True:
        try:
            return await run()
        except asyncio.CancelledError:
            if task is None or task.cancelling():
                raise
            log.exception("a background task was cancelled from within; it starts again")
        except Exception:
            log.exception("a background task failed; it starts again")
        await asyncio.sleep(wait_s)
