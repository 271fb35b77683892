"""An assignment on a clock that only sleeping moves, over stores that are slow or away."""

import asyncio
from collections.abc import Collection, Sequence

from faust.types import TP
from msgspec import structs

from analytics.contracts import topics
from analytics.contracts.cloudevents import Record
from analytics.measures.rows import BatchOutcome
from streams.consumer.assignment import PartitionAssignment, Waits
from streams.consumer.commit_pipeline import Bounds
from streams.store.checkpoint import Checkpoint, DeadLetter
from tests.support import facts
from tests.support.checkpoint_memory import MemoryCheckpoint
from tests.support.stream_simulation import Silent
from tests.support.stream_steps import RECIPES, Item, item, until

PARTITION = TP(topics.AGENTS.address, 0)
EVENTS = [facts.request(f"r{n}", id=f"e{n}", at_ms=facts.T0_MS + n) for n in range(6)]
BOUNDS = Bounds()
WAITS = Waits(retry_ms=100, retry_ms_max=1_000, fenced_ms=5_000)


class Clockwork:
    """A world with a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.at_ms = facts.T0_MS
        self.slept: list[float] = []
        self.placed: list[tuple[TP, int]] = []
        self.is_quiet = True
        self.held: list[set[TP]] = []
        self.hindrance = ""

    def now_ms(self) -> int:
        """Return the time."""
        return self.at_ms

    def stopwatch(self) -> float:
        """Return the time in seconds."""
        return self.at_ms / 1_000

    async def sleep(self, seconds: float) -> None:
        """Move the clock."""
        self.slept.append(seconds)
        self.at_ms += int(seconds * 1_000)
        await asyncio.sleep(0)

    async def place(self, tp: TP, offset: int, *, mark: int) -> None:
        """Note where a partition goes on."""
        self.placed.append((tp, offset))

    def hold(self, held: Collection[TP]) -> None:
        """Note which partitions are held."""
        self.held.append(set(held))

    def hindered(self) -> str:
        """Say what the test wants."""
        return self.hindrance

    def quiet(self, tp: TP, offset: int) -> bool:
        """Say what the test wants."""
        return self.is_quiet


class Slow(MemoryCheckpoint):
    """Checkpoints whose commits take until they are let through, and may then fail."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Event] = []
        self.refused: list[Exception] = []

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Wait to be let through."""
        gate = asyncio.Event()
        self.waiting.append(gate)
        await gate.wait()
        if self.refused:
            raise self.refused.pop(0)
        await super().commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)

    async def let_through(self, commits: int) -> None:
        """Let commits through, one after the other, as they come."""
        for _ in range(commits):
            await until(lambda: bool(self.waiting))
            self.waiting.pop(0).set()


def drive_of(
    checkpoints: MemoryCheckpoint, bounds: Bounds = BOUNDS
) -> tuple[PartitionAssignment, Clockwork, Silent]:
    """Return an assignment, its world and its watch."""
    world, watch = Clockwork(), Silent()
    assignment = PartitionAssignment(
        RECIPES, checkpoints, world, watch=watch, waits=WAITS, bounds=bounds
    )
    return assignment, world, watch


def ids(checkpoints: MemoryCheckpoint) -> list[str]:
    """Return the ids of the events that are stored, in order."""
    return [row.id for rows in checkpoints.rows.values() for row in rows]


def pieces(size: int = 1, *, partition: int = 0, weight: int = 1) -> list[Item]:
    """Return the events of a session of the partition, so many a batch."""
    made = [structs.replace(event, session_id=f"s{partition}") for event in EVENTS]
    return [
        structs.replace(
            item(made[at : at + size], first_offset=at, partition=partition), size=weight
        )
        for at in range(0, len(made), size)
    ]
