"""Drives the partitions of one worker: who holds which, what waits, what goes back.

`PartitionAssignment` answers `batches.Positions` and is handed every batch; no broker is needed for
it, so a simulation can be one. While one batch of a partition is committed the next is folded; at
most `Bounds.batches_max` are under way in all partitions together, in the order in which they came
up, so a slow partition does not starve the others. A store that is away is waited for, with
backoff, in the middle of whatever was going on. What waits behind is limited: a partition whose
share of `Bounds.waiting_bytes_max` is used up is held, and Kafka is not read further for it. A
partition that another worker claimed is let go, and claimed back only when the group still says it
is ours after a while. What a step cannot explain ends up in `failed`, for whoever runs the worker
to start it anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from faust.types import TP
from msgspec import Struct

from analytics.contracts.errors import Fenced, Unavailable
from streams.consumer.backlog import Run, Ticket, Weighed
from streams.consumer.commit_pipeline import AssignedPartition, Bounds, Flow
from streams.consumer.partition_processor import PartitionStep, TopicSource, Verdict
from streams.consumer.runtime import Instrumentation, Runtime
from streams.store.checkpoint import CheckpointStore

DOUBLINGS_MAX: Final = 16
"""How often a wait is doubled at most; the longest wait has its own limit."""

DIVERGED: Final = (
    "the log was restored or cut off: bring it back, or set MAINSTEM_STREAMS_LOG_GENERATION to a "
    "number that it had not, to read it from its beginning as another log"
)

log = logging.getLogger(__name__)


class Waits(Struct, frozen=True, kw_only=True):
    """How long what is waited for."""

    retry_ms: int = 200
    retry_ms_max: int = 10_000
    fenced_ms: int = 15_000


class Item(Weighed, Protocol):
    """A batch as it comes from the broker."""

    @property
    def log_id(self) -> str:
        """The log it is from."""
        ...

    @property
    def topic(self) -> str:
        """Its topic's address."""
        ...

    @property
    def partition(self) -> int:
        """Its partition."""
        ...


class PartitionAssignment:
    """Holds the steps of the partitions that are ours, and what waits for them."""

    def __init__(
        self,
        recipes: Mapping[str, TopicSource[Any]],
        checkpoints: CheckpointStore,
        world: Runtime,
        *,
        watch: Instrumentation,
        waits: Waits,
        bounds: Bounds,
    ) -> None:
        self.waiting: dict[str, str] = {}
        """What is waited for, and why; empty when all is well."""
        self._waiting_for: dict[str, dict[TP, str]] = {}
        self._recipes = recipes
        self._checkpoints = checkpoints
        self._world = world
        self._watch = watch
        self._waits = waits
        self._bounds = bounds
        self._flow = Flow(
            world,
            bounds,
            take=self._take,
            stored=self._stored,
            taken=self._regulate,
        )
        self._on_hold: frozenset[TP] = frozenset()
        self._held: dict[TP, AssignedPartition] = {}
        self._failures: list[Exception] = []
        self._failed = asyncio.Event()
        self._closer: asyncio.Task[None] | None = None
        """Who closes windows that have ended."""

    async def assigned(self, partitions: Iterable[TP], *, log_id: str, generation: int) -> None:
        """Take these partitions, each from where the store says it starts."""
        before = list(self._held.values())
        self.revoked([holding.tp for holding in before])
        fresh = [self._hold(tp, log_id) for tp in sorted(partitions)]
        log.info(
            "partitions assigned",
            extra={"partitions": len(fresh), "log_id": log_id, "generation": generation},
        )
        for holding in before:
            async with holding.lock:  # what it has under way may be of the same sessions
                pass
        for holding in fresh:
            await self._guarded(holding, self._begin)

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Let these partitions go; what is under way for them ends as soon as it can."""
        for tp in list(partitions):
            holding = self._held.pop(tp, None)
            if holding is not None:
                holding.released = True
                holding.backlog.clear()
                for part in ("store", "outbox", "log"):
                    self._wait_for(holding, part, "")
        self._regulate()

    def diverged(self, tp: TP, reason: str) -> None:
        """Leave a partition alone: what the broker has is not what the store has of it.

        Nothing is read on, since what is new below the stored offset would be passed over. It is
        looked at again after a while, so a log that is brought back is gone on with.
        """
        holding = self._held.get(tp)
        if holding is None or holding.left_at_ms is not None:
            return
        holding.step.drop()
        holding.backlog.clear()
        holding.left_at_ms = self._world.now_ms()
        log.error("not the log that was stored", extra={"tp": str(tp), "reason": reason})
        self._wait_for(holding, "log", f"{tp.topic}/{tp.partition}: {reason}; {DIVERGED}")

    def reached(self) -> Mapping[TP, int]:
        """Return the next offset of each claimed partition, as far as the store has it."""
        return {tp: one.step.position for tp, one in self._held.items() if one.step.claimed}

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be folded."""
        return sum(holding.backlog.size for holding in self._held.values())

    def held(self) -> Mapping[TP, bool]:
        """Return the partitions that the group says are ours, and whether each is claimed."""
        return {tp: one.step.claimed for tp, one in self._held.items()}

    async def take(self, item: Item) -> None:
        """Have a batch stored; return once it is, or once that is not ours to do any more."""
        ticket = self.give(item)
        if ticket is not None:
            await asyncio.wait({ticket})

    def give(self, item: Item) -> Ticket | None:
        """Have a batch stored in its turn; None if that is not ours to do."""
        holding = self._held.get(TP(item.topic, item.partition))
        if holding is None or holding.step.log_id != item.log_id or self._flow.closing:
            return None
        if holding.left_at_ms is not None or holding.released:
            return None
        self._watch.taken(holding.tp, len(item.records))
        ticket = holding.backlog.add(item)
        self._regulate()
        if holding.working is None or holding.working.done():
            holding.working = asyncio.ensure_future(self._drain(holding))
        return ticket

    @property
    def is_closing(self) -> bool:
        """Whether windows that have ended are being closed."""
        return self._closer is not None and not self._closer.done()

    async def tick(self) -> None:
        """Let time pass for the partitions that nothing is being done for."""
        for holding in list(self._held.values()):
            if not holding.lock.locked() and not self._flow.closing:
                await self._guarded(holding, self._tick)
        self._begin_closing()

    async def close(self) -> None:
        """Start nothing more, and wait until what is under way is done."""
        self._flow.closing = True
        for holding in list(self._held.values()):
            async with holding.lock:
                holding.backlog.clear()
        if self._closer is not None:
            await asyncio.wait({self._closer})

    async def kill(self) -> None:
        """End at once, in the middle of whatever is under way."""
        self._flow.closing = True
        working = [one.working for one in self._held.values() if one.working is not None]
        working += [self._closer] if self._closer is not None else []
        for task in working:
            task.cancel()
        for holding in self._held.values():
            holding.backlog.clear()
        await asyncio.gather(*working, return_exceptions=True)

    async def failed(self) -> Exception:
        """Wait until something happens that a step cannot explain, and return it."""
        await self._failed.wait()
        return self._failures[0]

    async def _drain(self, holding: "AssignedPartition") -> None:
        await self._guarded(holding, self._flow.drain)
        self._begin_closing()

    def _begin_closing(self) -> None:
        if not self.is_closing:
            self._closer = asyncio.ensure_future(self._close_ended())

    async def _close_ended(self) -> None:
        """Close windows that have ended: a slice of each partition in turn, while it has no batch.

        One slice is under way at a time, over all partitions, so batches have the other slots.
        """
        while not (self._flow.closing or self._world.hindered()):
            behind = [one for one in self._held.values() if one.has_to_settle]
            if not behind:
                return
            for holding in behind:
                if holding.has_to_settle:
                    await self._guarded(holding, self._flow.settle)

    def _hold(self, tp: TP, log_id: str) -> "AssignedPartition":
        step = PartitionStep(
            self._recipes[tp.topic],
            self._checkpoints,
            log_id=log_id,
            partition=tp.partition,
            stored=lambda stored: self._watch.stored(tp, stored),
            stopwatch=self._world.stopwatch,
        )
        holding = AssignedPartition(tp, step)
        self._held[tp] = holding
        return holding

    async def _guarded(
        self, holding: "AssignedPartition", work: "Callable[[AssignedPartition], Awaitable[None]]"
    ) -> None:
        """Do `work` alone on its partition, and keep what nobody expected."""
        async with holding.lock:
            try:
                await work(holding)
            except Fenced:
                holding.step.drop()
                holding.backlog.clear()
                holding.left_at_ms = self._world.now_ms()
                self._watch.fenced(holding.tp)
                log.warning("partition claimed by another worker", extra={"tp": str(holding.tp)})
            except Exception as error:
                log.exception("partition failed", extra={"tp": str(holding.tp)})
                holding.released = True
                holding.backlog.clear()
                self._failures.append(error)
                self._failed.set()

    async def _begin(self, holding: "AssignedPartition") -> None:
        if await self._patiently(holding, holding.step.claim):
            self._watch.claimed(holding.tp)
            holding.left_at_ms = None
            await self._place(holding)

    def _stored(self, holding: "AssignedPartition", reason: str) -> None:
        """Note that a batch was stored, or why it was not yet."""
        self._wait_for(holding, "store", reason)
        if not reason:
            self._wait_for(holding, "log", "")

    async def _take(self, holding: "AssignedPartition", run: Run, attempts: int) -> None:
        """Store a batch by itself; `attempts` to do so have failed already."""
        verdicts: list[Verdict] = []

        async def store() -> None:
            verdicts.append(await holding.step.take(run, self._world.now_ms()))

        stored = await self._patiently(holding, store, attempts=attempts, hinderable=True)
        if stored:
            self._stored(holding, "")
        if stored and verdicts[-1] is Verdict.AHEAD:
            self._watch.rewound(holding.tp)
            holding.backlog.clear()
            await self._place(holding)

    async def _tick(self, holding: "AssignedPartition") -> None:
        now_ms = self._world.now_ms()
        if holding.released:
            return
        if holding.left_at_ms is not None:
            if now_ms - holding.left_at_ms >= self._waits.fenced_ms:
                await self._begin(holding)
            return
        was = holding.step.position
        if self._world.hindered() or (
            holding.step.claimed and not self._world.quiet(holding.tp, was)
        ):
            return
        try:
            async with self._flow.slots:
                await holding.step.tick(now_ms)
        except Unavailable as error:
            self._wait_for(holding, "store", str(error))
            return
        self._wait_for(holding, "store", "")
        if holding.step.position != was:
            await self._place(holding)

    async def _place(self, holding: "AssignedPartition") -> None:
        if not holding.released:
            step = holding.step
            await self._world.place(holding.tp, step.position, mark=step.mark)

    async def _patiently(
        self,
        holding: "AssignedPartition",
        work: Callable[[], Awaitable[object]],
        *,
        attempts: int = 0,
        hinderable: bool = False,
    ) -> bool:
        """Do `work` until the store is there for it; false if it is not ours to do any more."""
        try:
            while not (holding.released or (self._flow.closing and attempts)):
                if attempts:
                    await self._world.sleep(self._backoff_s(attempts - 1))
                attempts += 1
                reason = self._world.hindered() if hinderable else ""
                self._wait_for(holding, "outbox", reason)
                if not (reason or holding.released) and await self._tried(holding, work):
                    return True
        finally:
            self._wait_for(holding, "outbox", "")
            if holding.released:
                self._wait_for(holding, "store", "")
        return False

    async def _tried(
        self, holding: "AssignedPartition", work: Callable[[], Awaitable[object]]
    ) -> bool:
        try:
            async with self._flow.slots:
                await work()
        except Unavailable as error:
            self._wait_for(holding, "store", str(error))
            return False
        self._wait_for(holding, "store", "")
        return True

    def _wait_for(self, holding: "AssignedPartition", part: str, reason: str) -> None:
        """Note that a partition waits for a part, or does so no longer (no reason)."""
        waiting = self._waiting_for.setdefault(part, {})
        if reason:
            waiting[holding.tp] = reason
        else:
            waiting.pop(holding.tp, None)
        reason = next(iter(waiting.values()), "")
        if self.waiting.get(part, "") == reason:
            return
        if part not in self.waiting:
            log.warning("waiting", extra={"part": part, "reason": reason})
        if reason:
            self.waiting[part] = reason
        else:
            log.warning("waited no longer", extra={"part": part})
            del self.waiting[part]
        self._watch.waiting(part, reason)

    def _regulate(self) -> None:
        """Hold the partitions of which enough waits, and let the others go on."""
        waiting = [one for one in self._held.values() if len(one.backlog)]
        share = self._bounds.waiting_bytes_max // max(len(waiting), 1)
        on_hold = frozenset(one.tp for one in waiting if one.backlog.size >= share)
        if on_hold != self._on_hold:
            self._on_hold = on_hold
            self._world.hold(on_hold)

    def _backoff_s(self, attempt: int) -> float:
        wait_ms = self._waits.retry_ms << min(attempt, DOUBLINGS_MAX)
        return min(wait_ms, self._waits.retry_ms_max) / 1_000
