"""The flow of one partition: each batch is folded during the commit of the one before it.

A batch is committed only after the one before it; what was folded behind a commit that failed is
thrown away. Whatever goes wrong on this fast path is left to `take`, which stores a batch by itself
and knows about waiting, splitting and dead letters.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from faust.types import TP
from msgspec import Struct

from analytics.contracts.errors import Refused, Unavailable
from streams.consumer.backlog import PartitionBacklog, Run
from streams.consumer.partition_processor import Folded, PartitionStep
from streams.consumer.runtime import Runtime

log = logging.getLogger(__name__)


class Bounds(Struct, frozen=True, kw_only=True):
    """How much is under way or waits, over all partitions."""

    batches_max: int = 3
    """Batches that are being folded or committed at once."""
    records_max: int = 5_000
    """Records of one batch."""
    bytes_max: int = 4 * 1024 * 1024
    """Bytes of one batch, about."""
    waiting_bytes_max: int = 8 * 1024 * 1024
    """Bytes that wait to be folded; each partition has an equal share."""


class AssignedPartition:
    """A partition that is ours for now."""

    def __init__(self, tp: TP, step: PartitionStep) -> None:
        self.tp = tp
        self.step = step
        self.lock = asyncio.Lock()
        self.backlog = PartitionBacklog()
        self.working: asyncio.Task[None] | None = None
        self.released = False
        self.left_at_ms: int | None = None
        """Since when it is left alone: fenced, or of a log that is not the one that was stored."""

    @property
    def has_to_settle(self) -> bool:
        """Whether it has windows to close, and nothing else is being done for it."""
        return bool(self.step.closing_count) and not (self.lock.locked() or self.released)


class Flow:
    """Stores what waits of partitions, `Bounds.batches_max` batches at once."""

    def __init__(
        self,
        world: Runtime,
        bounds: Bounds,
        *,
        take: Callable[[AssignedPartition, Run, int], Awaitable[None]],
        stored: Callable[[AssignedPartition, str], None],
        taken: Callable[[], None],
    ) -> None:
        self.slots = asyncio.Semaphore(bounds.batches_max)
        """What a batch needs to be folded or committed; first come, first served."""
        self.closing = False
        self._world = world
        self._bounds = bounds
        self._take = take
        self._stored = stored
        self._taken = taken

    async def drain(self, holding: "AssignedPartition") -> None:
        """Store what waits, folding each batch during the commit of the one before it."""
        before: _Flying | None = None
        try:
            while not (holding.released or self.closing):
                run = holding.backlog.take(
                    records_max=self._bounds.records_max, bytes_max=self._bounds.bytes_max
                )
                self._taken()
                if run is not None:
                    before = await self._advance(holding, run, before)
                elif before is not None:
                    attempts = await self._settled(holding, before)
                    if attempts is not None:
                        await self._retaken(holding, before, attempts)
                    before = None
                else:
                    return
        finally:
            if before is not None:
                await before.over()

    async def settle(self, holding: "AssignedPartition") -> None:
        """Close a slice of the windows that have ended."""
        if holding.released or self.closing:
            return
        try:
            async with self.slots:
                await holding.step.settle(self._world.now_ms())
        except Unavailable as error:
            self._stored(holding, str(error))
            return
        self._stored(holding, "")

    async def _advance(
        self, holding: "AssignedPartition", run: Run, before: "_Flying | None"
    ) -> "_Flying | None":
        """Fold `run` while `before` is committed; return its own commit, if that could begin."""
        folded = flying = None
        try:
            folded = await self._ahead(holding, run)
            attempts = None if before is None else await self._settled(holding, before)
            if before is not None and attempts is not None:
                self._discard(folded)  # and with it its slot, which the batch before needs now
                folded = None
                await self._retaken(holding, before, attempts)
            if folded is None:
                await self._take(holding, run, 0)
            elif not holding.released:
                flying = _Flying(run, holding.step.commit(folded))
                flying.commit.add_done_callback(lambda _: self.slots.release())
                folded = None
        finally:
            self._discard(folded)
            if flying is None:
                run.done()
        return flying

    async def _ahead(self, holding: "AssignedPartition", run: Run) -> Folded | None:
        """Fold `run` if it can be folded by now; what is returned has one of the slots."""
        if self._world.hindered() or not holding.step.claimed:
            return None
        await self.slots.acquire()
        folded = None
        try:
            folded = await holding.step.ahead(run, self._world.now_ms())
        except Exception as error:  # noqa: BLE001 (`take` meets it again, and knows what to do)
            log.info("not folded ahead", extra={"tp": str(holding.tp), "reason": repr(error)})
        finally:
            if folded is None:
                self.slots.release()
        return folded

    def _discard(self, folded: Folded | None) -> None:
        """Throw away what was folded and is not to be committed."""
        if folded is not None:
            self.slots.release()

    async def _settled(self, holding: "AssignedPartition", flying: "_Flying") -> int | None:
        """Wait for a commit; if it did not come through, return how many attempts that makes."""
        try:
            await flying.commit
        except Refused as error:
            log.info("a commit was refused", extra={"tp": str(holding.tp), "reason": str(error)})
            return 0
        except Unavailable as error:
            self._stored(holding, str(error))
            return 1
        self._stored(holding, "")
        flying.run.done()
        return None

    async def _retaken(
        self, holding: "AssignedPartition", flying: "_Flying", attempts: int
    ) -> None:
        """Store by itself the batch of a commit that did not come through."""
        try:
            await self._take(holding, flying.run, attempts)
        finally:
            flying.run.done()


class _Flying(Struct, frozen=True):
    """A batch whose commit is under way."""

    run: Run
    commit: "asyncio.Task[None]"

    async def over(self) -> None:
        """Wait until it has ended, however it ends: what it is for is not ours any more."""
        try:
            await asyncio.wait({self.commit})
        finally:
            self.commit.cancel()
            self.run.done()
        if not self.commit.cancelled() and self.commit.exception() is not None:
            log.info("a last commit failed", extra={"reason": repr(self.commit.exception())})
