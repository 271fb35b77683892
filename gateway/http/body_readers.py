"""One thread that reads large bodies, and whose turn it is: senders take turns, not their bodies.

Python in several threads would take the interpreter from the event loop as many times over. Whoever
sends one large body waits for at most one of every other sender, however many those have sent.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Read = TypeVar("Read")


class Readers:
    """See the module; how many wait is bounded by what bodies may take of memory."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._busy = False

    async def run(self, sender: Hashable, read: Callable[[], Read]) -> Read:
        """Return what `read` does, in the thread, once it is this sender's turn."""
        await self._turn(sender)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, read)
        finally:
            self._pass_on()

    async def _turn(self, sender: Hashable) -> None:
        if not self._busy:
            self._busy = True
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sender, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            sender, queue = self._waiting.popitem(last=False)
            first = queue.popleft()
            if queue:
                self._waiting[sender] = queue
            if not first.done():
                first.set_result(None)
                return
        self._busy = False
