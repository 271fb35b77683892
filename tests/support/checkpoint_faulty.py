"""Checkpoints whose store is away now and then, and whose answers get lost, as chance has it."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import StoreAway
from analytics.measures.rows import BatchOutcome
from streams.store.checkpoint import Checkpoint, DeadLetter, OutboxRecords, SavedSession, SessionKey
from tests.support.checkpoint_memory import MemoryCheckpoint


class Faults(Struct, frozen=True, kw_only=True):
    """How likely each fault is, at each occasion."""

    away: float = 0.05
    """The store fails before it does anything."""
    unanswered: float = 0.05
    """A commit goes through and its answer is lost."""
    hindered: float = 0.05
    """Something else than the store says that nothing may be stored just now."""
    steps_max: int = 3
    """Loop turns that a call to the store takes, so that others come in between."""


class FaultyCheckpoint:
    """Checkpoints whose store is away now and then, for one worker."""

    def __init__(self, store: MemoryCheckpoint, chance: random.Random, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        self._chance = chance

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Claim, or be away."""
        await self._travel()
        return await self.store.claim(cluster_id=cluster_id, topic=topic, partition=partition)

    async def recall(
        self, sessions: Iterable[SessionKey], *, claim: Checkpoint | None = None
    ) -> Mapping[SessionKey, SavedSession]:
        """Recall, or be away."""
        wanted = sorted(sessions)
        await self._travel()
        return await self.store.recall(wanted, claim=claim)

    async def owners_of(self, digests: Sequence[bytes]) -> Mapping[bytes, int]:
        """Say whose things are, or be away."""
        await self._travel()
        return await self.store.owners_of(digests)

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Commit, or be away before it or after it."""
        await self._travel()
        await self.store.commit(claim, outcome, outbox=outbox, dead_letters=dead_letters)
        await self._turns()
        if self._chance.random() < self.faults.unanswered:
            raise StoreAway("the answer was lost")

    @asynccontextmanager
    async def sending(self, *, limit: int) -> AsyncIterator[OutboxRecords]:
        """Look at the outbox, or be away before it or before it is tidied."""
        await self._travel()
        async with self.store.sending(limit=limit) as outgoing:
            yield outgoing
            await self._travel()

    async def _travel(self) -> None:
        await self._turns()
        if self._chance.random() < self.faults.away:
            raise StoreAway("the store is away")

    async def _turns(self) -> None:
        for _ in range(self._chance.randint(0, self.faults.steps_max)):
            await asyncio.sleep(0)
