"""One partition's loop body: a batch in, one transaction out. It knows no Faust and no Kafka.

What a step promises, whatever fails around it: a record's rows are written together with the offset
that passes it, so nothing is lost and nothing is counted twice. The store says where the partition
is; whenever a commit fails, what was folded is thrown away and the partition is claimed anew, since
the commit may have come through. A record that cannot be read or counted is buried and passed.
A step is for one caller at a time.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Protocol

from msgspec import Struct

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import MainstemError, Refused
from analytics.measures.fold import Arrival
from analytics.measures.rows import CellRow, Outcome, SessionRow
from streams.ledger import Burial, Claim, Ledger, SessionKey
from streams.reading import Reader, Reading, Taken, buried


class Fold(Protocol):
    """What counts the events of one partition: the core's `PartitionFold`, or a plainer one."""

    @property
    def open_count(self) -> int:
        """How many cells of windows are open."""
        ...

    def unknown(self, arrivals: Sequence[Arrival]) -> set[SessionKey]:
        """Return the sessions that have to be remembered before these are folded."""
        ...

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take what the store knows of a session; nothing for one that is new."""
        ...

    def fold(
        self, arrivals: Sequence[Arrival], *, first_offset: int, next_offset: int, now_ms: int
    ) -> Outcome:
        """Count these, and say what has to be written."""
        ...

    def tick(self, *, next_offset: int, now_ms: int) -> Outcome | None:
        """Let time pass while the partition is quiet."""
        ...


class Slice(Protocol):
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
    def records(self) -> Sequence[Taken]:
        """The records, in order; offsets may be missing between them."""
        ...


class Recipe(Struct, frozen=True, kw_only=True):
    """What makes the step of one topic: how it is read, counted and what follows."""

    topic: str
    read: Reader
    fold: Callable[[Claim], Fold]
    results: Callable[[Claim, Sequence[CellRow]], Sequence[Record]]


class Verdict(Enum):
    """What became of a batch."""

    STORED = auto()
    """All of it is in the store, or was already."""
    AHEAD = auto()
    """It begins after the first record that the store lacks: go back to `position`."""


class Stored(Struct, frozen=True, kw_only=True):
    """What one commit amounted to, for whoever counts."""

    outcome: Outcome
    burials: int
    results: int
    fold_s: float
    commit_s: float
    open_windows: int


class PartitionStep:
    """Carries one partition of one log from batches into the ledger."""

    def __init__(
        self,
        recipe: Recipe,
        ledger: Ledger,
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
        self._ledger = ledger
        self._stored = stored
        self._stopwatch = stopwatch
        self._begun_s = 0.0
        self._claim: Claim | None = None
        self._fold: Fold | None = None

    @property
    def claimed(self) -> bool:
        """Whether the partition is ours, as far as we know."""
        return self._claim is not None

    async def claim(self) -> int:
        """Take the partition over and start from what the store holds; return where it is."""
        self.drop()
        claim = await self._ledger.claim(
            cluster_id=self.log_id, topic=self.recipe.topic, partition=self.partition
        )
        self._fold = self.recipe.fold(claim)
        self._claim = claim
        self.position = claim.next_offset
        return claim.next_offset

    def drop(self) -> None:
        """Forget what was folded; the next batch claims the partition anew."""
        self._claim = None
        self._fold = None

    async def take(self, batch: Slice, now_ms: int) -> Verdict:
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
        self._begun_s = self._stopwatch()
        outcome = self._held().tick(next_offset=self.position, now_ms=now_ms)
        if outcome is not None:
            await self._commit(outcome, ())

    async def _store(self, records: Sequence[Taken], next_offset: int, now_ms: int) -> None:
        """Store these records; if one of them is what it fails on, bury that one.

        A batch that cannot be stored is cut in two until the record is alone that is to blame.
        """
        self._begun_s = self._stopwatch()
        reading = self.recipe.read(self.partition, records, now_ms)
        try:
            await self._count(reading, next_offset, now_ms)
        except Refused as error:
            await self._cut(records, next_offset, now_ms, error)
        except MainstemError:
            raise
        except _Uncountable as error:
            await self._cut(records, next_offset, now_ms, error)

    async def _cut(
        self, records: Sequence[Taken], next_offset: int, now_ms: int, error: Exception
    ) -> None:
        if not records:
            raise error
        await self.claim()
        if len(records) > 1:
            middle = len(records) // 2
            await self._store(records[:middle], records[middle].offset, now_ms)
            await self._store(records[middle:], next_offset, now_ms)
            return
        grave = buried(
            self.recipe.topic, self.partition, records[0], now_ms, reason=f"not counted: {error}"
        )
        await self._count(Reading((), (grave,)), next_offset, now_ms)

    async def _count(self, reading: Reading, next_offset: int, now_ms: int) -> None:
        await self._remember(reading.arrivals)
        try:
            outcome = self._held().fold(
                reading.arrivals,
                first_offset=self.position,
                next_offset=next_offset,
                now_ms=now_ms,
            )
        except Exception as error:
            self.drop()
            raise _Uncountable(f"{type(error).__name__}: {error}") from error
        await self._commit(outcome, reading.burials)

    async def _remember(self, arrivals: Sequence[Arrival]) -> None:
        fold = self._held()
        unknown = fold.unknown(arrivals)
        if not unknown:
            return
        known = await self._ledger.recall(unknown)
        for key in sorted(unknown):
            remembered = known.get(key)
            if remembered is None:
                fold.remember(key, None, ())
            else:
                fold.remember(key, remembered.row, remembered.memories)

    async def _commit(self, outcome: Outcome, burials: Sequence[Burial]) -> None:
        claim = self._claim
        assert claim is not None, "a commit needs a claim"
        results = self.recipe.results(claim, outcome.closed)
        folded_s = self._stopwatch()
        try:
            await self._ledger.commit(claim, outcome, outbox=results, burials=burials)
        except BaseException:
            self.drop()
            raise
        self.position = outcome.next_offset
        self._stored(
            Stored(
                outcome=outcome,
                burials=len(burials),
                results=len(results),
                fold_s=folded_s - self._begun_s,
                commit_s=self._stopwatch() - folded_s,
                open_windows=self._held().open_count,
            )
        )

    def _held(self) -> Fold:
        assert self._fold is not None, "counting needs a claim"
        return self._fold


class _Uncountable(Exception):
    """The fold failed on a record: a bug of ours, but the partition must go on."""
