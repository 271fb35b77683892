"""Ends what does not end when it is told to, within a limit.

To cancel is only to ask: `asyncio.wait_for` before Python 3.12 may take a cancellation for its own
time-out (python/cpython#86296), Faust's services pass over one each, and Faust waits for the thread
of its consumer without a limit and with the event loop held up. Here what runs is asked again and
again, and what still runs after the limit is left behind, and said so.
"""

import asyncio
import logging
from collections.abc import Collection, Coroutine
from typing import Any, Final, TypeVar

from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from mode import Service
from mode.threads import WorkerThread

log = logging.getLogger(__name__)

CANCEL_AGAIN_S: Final = 0.5
LEAVE_WAIT_S: Final = 2.0
"""How long a consumer has to say goodbye to its broker."""
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


async def bounded(work: "Coroutine[Any, Any, T]", *, within_s: float) -> T:
    """Return what `work` returns; raise `TimeoutError` after the limit, whatever `work` does."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=within_s)
        if task.done():
            return task.result()
        raise TimeoutError(f"not done within {within_s:g} s")
    finally:
        if not task.done():
            await end({task})


class EndingThread(WorkerThread):
    """A thread of Faust's that nobody waits for without a limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (Faust fills them in)
        super().__init__(*args, **kwargs)
        self.daemon = True

    def stop(self) -> None:
        """Wait until the thread has ended, or is left behind."""
        if self.is_stopped.wait(END_WAIT_S):
            self.join(END_WAIT_S)
        if self.is_alive():
            log.error("a thread was left running", extra={"name_of": self.name})


class EndingConsumerThread(AIOKafkaConsumerThread):
    """Faust's thread for a consumer, stopped within a limit while the event loop goes on.

    What it overrides of Faust is named in `streams.internals`.
    """

    Worker = EndingThread

    async def stop(self) -> None:
        """Stop, and wait for the thread beside the event loop."""
        if self._started.is_set():
            await Service.stop(self)
            if self._thread is not None:
                await asyncio.to_thread(self._thread.stop)

    async def on_thread_stop(self) -> None:
        """Leave, also when the broker is away, where aiokafka's own stop fails half way.

        A member with a name would not say that it leaves, and keep its partitions from the others
        until its session runs out; one that stops by itself says so.
        """
        await super(AIOKafkaConsumerThread, self).on_thread_stop()
        consumer = self._consumer
        if consumer is None:
            return
        consumer._coordinator._group_instance_id = None  # noqa: SLF001 (see `internals`)
        try:
            await bounded(consumer.stop(), within_s=LEAVE_WAIT_S)
        except (KafkaError, TimeoutError, asyncio.CancelledError) as error:
            log.info("left without the broker's word", extra={"error": repr(error)})
            await consumer._client.close()  # noqa: SLF001 (see `internals`)

    async def _gather_remaining_tasks(self) -> None:
        await end({task for task in asyncio.all_tasks() if task is not asyncio.current_task()})
