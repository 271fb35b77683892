"""One partition's loop body: a batch in, one transaction out. It knows no Faust and no Kafka.

What a step promises, whatever fails around it: a record's rows are written together with the offset
that passes it, so nothing is lost and nothing is counted twice. The store says where the partition
is; whenever a commit fails, what was folded is thrown away and the partition is claimed anew, since
the commit may have come through. A record that cannot be read or counted becomes a dead letter.
A step is for one caller at a time, who may fold a batch while the commit of the one before it is
under way: what was folded is only committed if that commit came through.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct, structs

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced, MainstemError, Refused
from analytics.measures.rows import BatchOutcome
from streams.consumer.deserialising import ConsumedRecord, DeserialisedBatch, Reader, as_dead_letter
from streams.consumer.fingerprints import NO_MARK, mark_of
from streams.consumer.folds import Fold, Settling, Telling
from streams.consumer.tracing import Traced, sampled
from streams.store.checkpoint import Checkpoint, CheckpointStore, Contested, DeadLetter, SessionKey

CONTESTED_MAX: Final = 10
"""How often a batch is folded again at once since other sessions told of what it counts."""

A = TypeVar("A")


class RecordSlice(Protocol):
    """Records of one partition without a hole: a batch, or what is left of one."""

    @property
    def first_offset(self) -> int:
        """Where it begins."""
        ...

    @property
    def next_offset(self) -> int:
        """Where it ends, not included."""
        ...

    @property
    def records(self) -> Sequence[ConsumedRecord]:
        """The records, in order; offsets may be missing between them."""
        ...


class Results(Protocol):
    """Says what a commit leaves to be sent."""

    def __call__(
        self, claim: Checkpoint, outcome: BatchOutcome, *, before_ms: int
    ) -> Sequence[Record]:
        """Return the records; `before_ms` is up to when all was closed before this outcome."""
        ...


class TopicSource(Struct, Generic[A], frozen=True, kw_only=True):
    """What makes the step of one topic: how it is read, counted and what follows."""

    topic: str
    read: Reader[A]
    fold: Callable[[Checkpoint], Fold[A]]
    results: Results


class Verdict(Enum):
    """What became of a batch."""

    STORED = auto()
    """All of it is in the store, or was already."""
    AHEAD = auto()
    """It begins after the first record that the store lacks: go back to `position`."""


class Stored(Struct, frozen=True, kw_only=True):
    """What one commit amounted to, for whoever counts."""

    outcome: BatchOutcome
    dead_letters: int
    results: int
    fold_s: float
    commit_s: float
    open_windows: int
    closing: int
    remembered: int
    traced: tuple[Traced, ...]
    """Those of its messages that somebody follows."""


class Folded(Struct, frozen=True, kw_only=True):
    """A batch that was counted and is not in the store yet."""

    claim: Checkpoint
    outcome: BatchOutcome
    dead_letters: Sequence[DeadLetter]
    fold_s: float
    traced: tuple[Traced, ...] = ()


class PartitionStep:
    """Carries one partition of one log from batches into the checkpoint store."""

    def __init__(
        self,
        recipe: TopicSource[Any],
        checkpoints: CheckpointStore,
        *,
        log_id: str,
        partition: int,
        stored: Callable[[Stored], None],
        stopwatch: Callable[[], float],
    ) -> None:
        self.recipe = recipe
        self.log_id = log_id
        self.partition = partition
        self.position = 0
        """The first offset that the store lacks, as far as is known."""
        self.mark = NO_MARK
        """What the record before `position` is known by."""
        self.folded = 0
        """The first offset that was not folded: `position`, or beyond it during a commit."""
        self._marked_ms = 0
        """Up to when all windows are closed in the store."""
        self._checkpoints = checkpoints
        self._stored = stored
        self._stopwatch = stopwatch
        self._claim: Checkpoint | None = None
        self._fold: Fold[Any] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._uncommitted: set[SessionKey] = set()
        self._contested: dict[bytes, int] = {}
        """Whose things are that a commit failed for."""

    @property
    def claimed(self) -> bool:
        """Whether the partition is ours, as far as we know."""
        return self._claim is not None

    @property
    def closing_count(self) -> int:
        """How many windows of series have ended and wait to be closed, as far as is known."""
        fold: object = self._fold
        return fold.closing_count if isinstance(fold, Settling) else 0

    async def claim(self) -> int:
        """Take the partition over and start from what the store holds; return where it is."""
        self.drop()
        claim = await self._checkpoints.claim(
            cluster_id=self.log_id, topic=self.recipe.topic, partition=self.partition
        )
        self._fold = self.recipe.fold(claim)
        self._claim = claim
        self.position = self.folded = claim.next_offset
        self.mark = claim.mark
        self._marked_ms = claim.watermark_ms - claim.behind_ms
        return claim.next_offset

    def drop(self) -> None:
        """Forget what was folded; the next batch claims the partition anew."""
        self._claim = None
        self._fold = None

    async def ahead(self, batch: RecordSlice, now_ms: int) -> Folded | None:
        """Fold `batch` behind a commit that may be under way; None if that is not what comes next.

        Whatever it raises, the batch is to be taken by `take` once that commit has ended.
        """
        if self._claim is None or not batch.first_offset <= self.folded < batch.next_offset:
            return None
        begun_s = self._stopwatch()
        records = batch.records
        if batch.first_offset < self.folded:
            records = [one for one in records if one.offset >= self.folded]
        reading = self.recipe.read(self.partition, records, now_ms)
        folded = await self._counted(reading, batch.next_offset, now_ms, begun_s)
        return _marked(folded, records)

    def commit(self, folded: Folded) -> "asyncio.Task[None]":
        """Begin to commit what `ahead` folded, the commit before it having come through."""
        assert self._committing is None or self._committing.done(), "commits follow each other"
        if folded.claim is not self._claim:
            raise Fenced("the claim that this was folded under is spent: fold it again")
        seen = {(row.tenant, row.session_id) for row in folded.outcome.seen}
        shown = {(row.tenant, row.session_id) for row in folded.outcome.sessions}
        self._uncommitted = seen | shown
        self._committing = asyncio.ensure_future(self._commit(folded))
        return self._committing

    async def take(self, batch: RecordSlice, now_ms: int) -> Verdict:
        """Store what of `batch` is not in the store yet; raise `Fenced` or `StoreAway`."""
        if self._claim is None:
            await self.claim()
        if batch.first_offset > self.position:
            return Verdict.AHEAD
        if batch.next_offset > self.position:
            records = [one for one in batch.records if one.offset >= self.position]
            await self._store(records, batch.next_offset, now_ms)
        return Verdict.STORED

    async def tick(self, now_ms: int) -> None:
        """Let time pass: windows of a quiet partition close; raise as `take` does."""
        if self._claim is None:
            await self.claim()
        begun_s = self._stopwatch()
        outcome = self._held().tick(next_offset=self.position, now_ms=now_ms)
        if outcome is not None:
            await self._commit(self._made(outcome, (), begun_s))

    async def settle(self, now_ms: int) -> None:
        """Close some of the windows that have ended, all that was folded being stored."""
        fold: object = self._fold
        if isinstance(fold, Settling) and fold.closing_count:
            begun_s = self._stopwatch()
            outcome = fold.settle(next_offset=self.position, now_ms=now_ms)
            await self._commit(self._made(outcome, (), begun_s))

    async def _store(
        self, records: Sequence[ConsumedRecord], next_offset: int, now_ms: int
    ) -> None:
        """Store these records; if one of them is what it fails on, make that one a dead letter.

        A batch that cannot be stored is cut in two until the record is alone that is to blame.
        """
        reading = self.recipe.read(self.partition, records, now_ms)
        try:
            for tries in range(CONTESTED_MAX):
                begun_s = self._stopwatch()
                folded = await self._counted(reading, next_offset, now_ms, begun_s)
                try:
                    await self._commit(_marked(folded, records))
                except Contested:
                    if tries == CONTESTED_MAX - 1:
                        raise
                    await self.claim()
                    continue
                return
        except Refused as error:
            await self._cut(records, next_offset, now_ms, error)
        except MainstemError:
            raise
        except _Uncountable as error:
            await self._cut(records, next_offset, now_ms, error)

    async def _cut(
        self, records: Sequence[ConsumedRecord], next_offset: int, now_ms: int, error: Exception
    ) -> None:
        if not records:
            raise error
        await self.claim()
        if len(records) > 1:
            middle = len(records) // 2
            await self._store(records[:middle], records[middle].offset, now_ms)
            await self._store(records[middle:], next_offset, now_ms)
            return
        letter = as_dead_letter(
            self.recipe.topic, self.partition, records[0], now_ms, reason=f"not counted: {error}"
        )
        reading: DeserialisedBatch[Any] = DeserialisedBatch((), (letter,))
        folded = await self._counted(reading, next_offset, now_ms, self._stopwatch())
        await self._commit(_marked(folded, records))

    async def _counted(
        self, reading: DeserialisedBatch[Any], next_offset: int, now_ms: int, begun_s: float
    ) -> Folded:
        await self._remember(reading.arrivals)
        await self._ask(reading.arrivals)
        try:
            outcome = self._held().fold(
                reading.arrivals,
                first_offset=self.folded,
                next_offset=next_offset,
                now_ms=now_ms,
            )
        except Exception as error:
            self.drop()
            raise _Uncountable(f"{type(error).__name__}: {error}") from error
        self.folded = next_offset
        return self._made(outcome, reading.dead_letters, begun_s)

    def _made(
        self, outcome: BatchOutcome, dead_letters: Sequence[DeadLetter], begun_s: float
    ) -> Folded:
        assert self._claim is not None, "counting needs a claim"
        fold_s = self._stopwatch() - begun_s
        return Folded(claim=self._claim, outcome=outcome, dead_letters=dead_letters, fold_s=fold_s)

    async def _remember(self, arrivals: Sequence[object]) -> None:
        fold = self._held()
        unknown = fold.unknown(arrivals)
        if not unknown:
            return
        if self._committing is not None and not self._uncommitted.isdisjoint(unknown):
            await asyncio.wait({self._committing})  # what the store knows of them is not all yet
        known = await self._checkpoints.recall(unknown, claim=self._claim)
        for key in sorted(unknown):
            remembered = known.get(key)
            if remembered is None:
                fold.remember(key, None, ())
            else:
                fold.remember(key, remembered.row, remembered.memories)

    async def _ask(self, arrivals: Sequence[object]) -> None:
        """Have the fold know whose the things are that the arrivals may tell of again."""
        fold = self._held()
        if not isinstance(fold, Telling):
            return
        copies = fold.copies(arrivals)
        if copies:
            if self._committing is not None:
                await asyncio.wait({self._committing})  # what it registers counts here
            fold.learn(await self._checkpoints.owners_of(copies))
        fold.learn(self._contested)

    async def _commit(self, folded: Folded) -> None:
        claim, outcome, begun_s = folded.claim, folded.outcome, self._stopwatch()
        results = self.recipe.results(claim, outcome, before_ms=self._marked_ms)
        try:
            await self._checkpoints.commit(
                claim, outcome, outbox=results, dead_letters=folded.dead_letters
            )
        except BaseException as error:
            if isinstance(error, Contested):
                self._contested.update(error.owners)
            if claim is self._claim:
                self.drop()
            raise
        self._contested.clear()
        self.position = outcome.next_offset
        self.mark = outcome.mark or self.mark
        self._marked_ms = max(self._marked_ms, outcome.settled_ms)
        self._stored(
            Stored(
                outcome=outcome,
                dead_letters=len(folded.dead_letters),
                results=len(results),
                fold_s=folded.fold_s,
                commit_s=self._stopwatch() - begun_s,
                open_windows=0 if self._fold is None else self._fold.open_count,
                closing=self.closing_count,
                remembered=0 if self._fold is None else self._fold.remembered_count,
                traced=folded.traced,
            )
        )

    def _held(self) -> Fold[Any]:
        assert self._fold is not None, "counting needs a claim"
        return self._fold


def _marked(folded: Folded, records: Sequence[ConsumedRecord]) -> Folded:
    """Return what was folded, with the mark of its last record, and which of them are traced."""
    if not records:
        return folded
    mark = mark_of(records[-1].timestamp, records[-1].value)
    outcome = structs.replace(folded.outcome, mark=mark)
    return structs.replace(folded, outcome=outcome, traced=sampled(records))


class _Uncountable(Exception):
    """The fold failed on a record: a bug of ours, but the partition must go on."""
