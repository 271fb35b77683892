"""Mainstem's fold path: the worker as it ships, a recipe of windows by key, no store."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.measures.count_fold import WindowFold
from analytics.measures.rows import BatchOutcome, SessionRow
from analytics.windows.keyed import KeyedBatch
from streams.consumer.deserialising import ConsumedRecord, DeserialisedBatch, as_dead_letter
from streams.consumer.partition_processor import TopicSource
from streams.store.checkpoint import Checkpoint, DeadLetter, SessionKey
from tests.bench.engines.mainstem import BY_CONNECTION, SPEC, Closed, Key, no_results, work
from tests.bench.engines.task import Meter, Task, Window, decode
from tests.support.checkpoint_memory import MemoryCheckpoint

ABOUT: Final = (
    "worker, a recipe of windows by key, a checkpoint store in memory instead of the store"
)
DURABILITY: Final = "keeps nothing here: checkpoints in memory"


ADDRESS: Final = topics.CONNECTIONS.address


class WindowsOnly:
    """A fold that only counts into windows: it keeps no raw rows and remembers no ids."""

    def __init__(self, claim: Checkpoint) -> None:
        self._fold: WindowFold[Key] = WindowFold(
            BY_CONNECTION, SPEC, watermark_ms=claim.watermark_ms, open_cells=claim.open_cells
        )

    @property
    def open_count(self) -> int:
        """How many cells of windows are open."""
        return self._fold.windows.open_count

    @property
    def remembered_count(self) -> int:
        """Nothing is remembered."""
        return 0

    def unknown(self, arrivals: Sequence[KeyedBatch[Key]]) -> set[SessionKey]:
        """Return nothing: nothing is remembered."""
        return set()

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Remember nothing."""

    def fold(
        self,
        arrivals: Sequence[KeyedBatch[Key]],
        *,
        first_offset: int,
        next_offset: int,
        now_ms: int,
    ) -> BatchOutcome:
        """Count these."""
        windows = self._fold.windows
        late_before = windows.late_count
        for readings in arrivals:
            windows.add(readings)
        cells, closed = self._fold.rows(batch_offset=first_offset)
        return BatchOutcome(
            first_offset=first_offset,
            next_offset=next_offset,
            watermark_ms=windows.watermark_ms,
            raw=(),
            cells=cells,
            closed=closed,
            sessions=(),
            seen=(),
            late_count=windows.late_count - late_before,
            duplicate_count=0,
            backfill_count=0,
        )

    def tick(self, *, next_offset: int, now_ms: int) -> BatchOutcome | None:
        """Let nothing close by the clock: the log ends with events that do it."""
        return None


class WindowsCheckpoint(MemoryCheckpoint):
    """Checkpoints in memory: keeps windows and positions, says what each commit brought."""

    def __init__(self, closed: Closed) -> None:
        super().__init__()
        self._closed = closed

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Keep what is to be kept."""
        kept = msgspec.structs.replace(outcome, raw=(), seen=())
        await super().commit(claim, kept, outbox=outbox, dead_letters=dead_letters)
        self._closed.take(claim, outcome)


def read(
    partition: int, records: Sequence[ConsumedRecord], now_ms: int
) -> DeserialisedBatch[KeyedBatch[Key]]:
    """Read events straight into columns: what is none becomes a dead letter."""
    keys: list[Key] = []
    at_ms: list[int] = []
    received_ms: list[int] = []
    durations_ms: list[int] = []
    dead_letters: list[DeadLetter] = []
    for record in records:
        try:
            event = decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            dead_letters.append(
                as_dead_letter(ADDRESS, partition, record, now_ms, reason=str(error))
            )
            continue
        keys.append((event.tenant, event.connection_id))
        at_ms.append(event.at_ms)
        received_ms.append(record.timestamp)
        durations_ms.append(event.duration_ms)
    return DeserialisedBatch([KeyedBatch(keys, at_ms, received_ms, durations_ms)], dead_letters)


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with a worker."""
    return asyncio.run(_run(task, meter))


async def _run(task: Task, meter: Meter) -> list[Window]:
    closed = Closed(task, meter)
    recipe = TopicSource(
        topic=ADDRESS,
        read=read,
        fold=WindowsOnly,
        results=no_results,
    )
    await work(task, WindowsCheckpoint(closed), closed.done, recipe)
    return closed.windows
