"""Drives the partitions of one worker: who holds which, what waits, what goes back.

`Drive` answers `batches.Positions` and is handed every batch; no broker is needed for it, so a
simulation can be one. A store that is away is waited for, with backoff, in the middle of whatever
was going on; meanwhile batches queue up behind it and Kafka is not read further. A partition that
another worker claimed is let go, and claimed back only when the group still says it is ours after a
while.
What a step cannot explain ends up in `failed`, for whoever runs the worker to start it anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Final, Protocol

from faust.types import TP
from msgspec import Struct

from analytics.contracts.errors import Fenced, Unavailable
from streams.ledger import Ledger
from streams.step import PartitionStep, Recipe, Slice, Stored, Verdict

DOUBLINGS_MAX: Final = 16
"""How often a wait is doubled at most; the longest wait has its own limit."""

log = logging.getLogger(__name__)


class Waits(Struct, frozen=True, kw_only=True):
    """How long what is waited for."""

    retry_ms: int = 200
    retry_ms_max: int = 10_000
    fenced_ms: int = 15_000


class Item(Slice, Protocol):
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


class World(Protocol):
    """What a drive needs of the world, so that a simulation can be one."""

    def now_ms(self) -> int:
        """Return the time, in epoch milliseconds."""
        ...

    def stopwatch(self) -> float:
        """Return seconds since some moment, to measure how long something takes."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def place(self, tp: TP, offset: int) -> None:
        """Have a partition go on from `offset`."""
        ...

    def quiet(self, tp: TP, offset: int) -> bool:
        """Say whether the broker has nothing for this partition from `offset` on."""
        ...


class Watch(Protocol):
    """Who is told what happens, to count it."""

    def claimed(self, tp: TP) -> None:
        """Note that a partition was taken over."""
        ...

    def stored(self, tp: TP, stored: Stored) -> None:
        """Note what a commit amounted to."""
        ...

    def taken(self, tp: TP, records: int) -> None:
        """Note that a batch is being worked on."""
        ...

    def fenced(self, tp: TP) -> None:
        """Note that another worker had claimed a partition."""
        ...

    def rewound(self, tp: TP) -> None:
        """Note that a partition was put back to where the store is."""
        ...

    def waiting(self, part: str, reason: str) -> None:
        """Note that a part is away (`reason`), or is back (empty)."""
        ...


class Drive:
    """Holds the steps of the partitions that are ours, one batch of each at a time."""

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        ledger: Ledger,
        world: World,
        *,
        watch: Watch,
        waits: Waits,
    ) -> None:
        self.waiting = ""
        """Why nothing is stored just now; empty when all is well."""
        self._recipes = recipes
        self._ledger = ledger
        self._world = world
        self._watch = watch
        self._waits = waits
        self._held: dict[TP, _Holding] = {}
        self._failures: list[Exception] = []
        self._failed = asyncio.Event()
        self._closing = False

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
            await self._guarded(holding, partial(self._begin, holding))

    def revoked(self, partitions: Iterable[TP]) -> None:
        """Let these partitions go; what is under way for them ends as soon as it can."""
        for tp in list(partitions):
            holding = self._held.pop(tp, None)
            if holding is not None:
                holding.released = True

    def reached(self) -> Mapping[TP, int]:
        """Return the next offset of each claimed partition, as far as the store has it."""
        return {tp: one.step.position for tp, one in self._held.items() if one.step.claimed}

    def held(self) -> Mapping[TP, bool]:
        """Return the partitions that the group says are ours, and whether each is claimed."""
        return {tp: one.step.claimed for tp, one in self._held.items()}

    async def take(self, item: Item) -> None:
        """Have a batch stored; return once it is, or once that is not ours to do any more."""
        tp = TP(item.topic, item.partition)
        holding = self._held.get(tp)
        if holding is None or holding.step.log_id != item.log_id:
            return
        await self._guarded(holding, partial(self._take, holding, item))

    async def tick(self) -> None:
        """Let time pass for the partitions that nothing is being done for."""
        for holding in list(self._held.values()):
            if not holding.lock.locked() and not self._closing:
                await self._guarded(holding, partial(self._tick, holding))

    async def close(self) -> None:
        """Start nothing more, and wait until what is under way is done."""
        self._closing = True
        for holding in list(self._held.values()):
            async with holding.lock:
                pass

    async def failed(self) -> Exception:
        """Wait until something happens that a step cannot explain, and return it."""
        await self._failed.wait()
        return self._failures[0]

    def _hold(self, tp: TP, log_id: str) -> "_Holding":
        step = PartitionStep(
            self._recipes[tp.topic],
            self._ledger,
            log_id=log_id,
            partition=tp.partition,
            stored=lambda stored: self._watch.stored(tp, stored),
            stopwatch=self._world.stopwatch,
        )
        holding = _Holding(tp, step)
        self._held[tp] = holding
        return holding

    async def _guarded(self, holding: "_Holding", work: Callable[[], Awaitable[None]]) -> None:
        """Do `work` alone on its partition, and keep what nobody expected."""
        async with holding.lock:
            try:
                await work()
            except Fenced:
                holding.step.drop()
                holding.fenced_at_ms = self._world.now_ms()
                self._watch.fenced(holding.tp)
                log.warning("partition claimed by another worker", extra={"tp": str(holding.tp)})
            except Exception as error:
                log.exception("partition failed", extra={"tp": str(holding.tp)})
                holding.released = True
                self._failures.append(error)
                self._failed.set()

    async def _begin(self, holding: "_Holding") -> None:
        if await self._patiently(holding, holding.step.claim):
            self._watch.claimed(holding.tp)
            holding.fenced_at_ms = None
            await self._place(holding)

    async def _take(self, holding: "_Holding", item: Item) -> None:
        if holding.fenced_at_ms is not None or self._closing:
            return
        self._watch.taken(holding.tp, len(item.records))
        verdicts: list[Verdict] = []

        async def store() -> None:
            verdicts.append(await holding.step.take(item, self._world.now_ms()))

        if await self._patiently(holding, store) and verdicts[-1] is Verdict.AHEAD:
            self._watch.rewound(holding.tp)
            await self._place(holding)

    async def _tick(self, holding: "_Holding") -> None:
        now_ms = self._world.now_ms()
        if holding.released:
            return
        if holding.fenced_at_ms is not None:
            if now_ms - holding.fenced_at_ms >= self._waits.fenced_ms:
                await self._begin(holding)
            return
        was = holding.step.position
        if holding.step.claimed and not self._world.quiet(holding.tp, was):
            return
        try:
            await holding.step.tick(now_ms)
        except Unavailable as error:
            self._wait_for("store", str(error))
            return
        if holding.step.position != was:
            await self._place(holding)

    async def _place(self, holding: "_Holding") -> None:
        if not holding.released:
            await self._world.place(holding.tp, holding.step.position)

    async def _patiently(self, holding: "_Holding", work: Callable[[], Awaitable[object]]) -> bool:
        """Do `work` until the store is there for it; false if it is not ours to do any more."""
        attempt = 0
        while not (holding.released or (self._closing and attempt)):
            try:
                await work()
            except Unavailable as error:
                self._wait_for("store", str(error))
                await self._world.sleep(self._backoff_s(attempt))
                attempt += 1
                continue
            self._wait_for("store", "")
            return True
        return False

    def _wait_for(self, part: str, reason: str) -> None:
        if self.waiting == reason:
            return
        if reason and not self.waiting:
            log.warning("waiting", extra={"part": part, "reason": reason})
        elif not reason:
            log.warning("waited no longer", extra={"part": part})
        self.waiting = reason
        self._watch.waiting(part, reason)

    def _backoff_s(self, attempt: int) -> float:
        wait_ms = self._waits.retry_ms << min(attempt, DOUBLINGS_MAX)
        return min(wait_ms, self._waits.retry_ms_max) / 1_000


class _Holding:
    """A partition that is ours for now."""

    def __init__(self, tp: TP, step: PartitionStep) -> None:
        self.tp = tp
        self.step = step
        self.lock = asyncio.Lock()
        self.released = False
        self.fenced_at_ms: int | None = None
