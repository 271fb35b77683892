"""Mainstem's fold path: the worker as it ships, a recipe of windows by key, no store."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.measures.rows import Outcome, SessionRow
from analytics.measures.tallies import WindowFold
from analytics.windows.keyed import Readings
from streams.ledger import Burial, Claim, SessionKey
from streams.reading import Reading, Taken, buried
from streams.step import Recipe
from tests.bench.engines.mainstem import BY_CONNECTION, SPEC, Closed, Key, no_results, work
from tests.bench.engines.task import Meter, Task, Window, decode
from tests.support.ledger_memory import MemoryLedger

ABOUT: Final = "worker, a recipe of windows by key, a ledger in memory instead of the store"
DURABILITY: Final = "keeps nothing here: ledger in memory"


ADDRESS: Final = topics.CONNECTIONS.address


class WindowsOnly:
    """A fold that only counts into windows: it keeps no raw rows and remembers no ids."""

    def __init__(self, claim: Claim) -> None:
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

    def unknown(self, arrivals: Sequence[Readings[Key]]) -> set[SessionKey]:
        """Return nothing: nothing is remembered."""
        return set()

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Remember nothing."""

    def fold(
        self,
        arrivals: Sequence[Readings[Key]],
        *,
        first_offset: int,
        next_offset: int,
        now_ms: int,
    ) -> Outcome:
        """Count these."""
        windows = self._fold.windows
        late_before = windows.late_count
        for readings in arrivals:
            windows.add(readings)
        cells, closed = self._fold.rows(batch_offset=first_offset)
        return Outcome(
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

    def tick(self, *, next_offset: int, now_ms: int) -> Outcome | None:
        """Let nothing close by the clock: the log ends with events that do it."""
        return None


class WindowsLedger(MemoryLedger):
    """A ledger in memory that keeps windows and positions, and says what each commit brought."""

    def __init__(self, closed: Closed) -> None:
        super().__init__()
        self._closed = closed

    async def commit(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        outbox: Sequence[Record] = (),
        burials: Sequence[Burial] = (),
    ) -> None:
        """Keep what is to be kept."""
        kept = msgspec.structs.replace(outcome, raw=(), seen=())
        await super().commit(claim, kept, outbox=outbox, burials=burials)
        self._closed.take(claim, outcome)


def read(partition: int, records: Sequence[Taken], now_ms: int) -> Reading[Readings[Key]]:
    """Read events straight into columns: each is gone before the next; bury what is none."""
    keys: list[Key] = []
    at_ms: list[int] = []
    received_ms: list[int] = []
    durations_ms: list[int] = []
    burials: list[Burial] = []
    for record in records:
        try:
            event = decode(record.value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            burials.append(buried(ADDRESS, partition, record, now_ms, reason=str(error)))
            continue
        keys.append((event.tenant, event.connection_id))
        at_ms.append(event.at_ms)
        received_ms.append(record.timestamp)
        durations_ms.append(event.duration_ms)
    return Reading([Readings(keys, at_ms, received_ms, durations_ms)], burials)


def run(task: Task, meter: Meter) -> Iterable[Window]:
    """Count with a worker."""
    return asyncio.run(_run(task, meter))


async def _run(task: Task, meter: Meter) -> list[Window]:
    closed = Closed(task, meter)
    recipe = Recipe(
        topic=ADDRESS,
        read=read,
        fold=WindowsOnly,
        results=no_results,
    )
    await work(task, WindowsLedger(closed), closed.done, recipe)
    return closed.windows
