"""Checkpoints in memory: the store's own contract, for tests that need no database.

A commit is all or nothing, a later claim fences the earlier one, and what is handed out is a copy,
as it would be from a database. `rows`, `cells`, `sessions`, `dead_letters` and `outbox` are there
to be looked at, `dead_letters_by_log` also says the cluster; a session's rows of memory keep their
order.
"""

import copy
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced, StoreAway
from analytics.measures.rows import (
    ON_TIME,
    BatchOutcome,
    CellKey,
    CellRow,
    KeptRow,
    RawRow,
    SessionRow,
    ToldApart,
)
from streams.store.checkpoint import (
    Checkpoint,
    Contested,
    DeadLetter,
    OutboxRecords,
    SavedSession,
    SessionKey,
)

Part = tuple[int, int]
"""A log's number and a partition."""
CellId = tuple[CellKey, int, int, int]
"""Series, width, start and batch offset."""


class Position(msgspec.Struct):
    """What the checkpoint store holds for one partition of one log."""

    epoch: int = 0
    next_offset: int = 0
    mark: int = 0
    watermark_ms: int = 0
    settled_ms: int = 0
    late_count: int = 0
    duplicate_count: int = 0
    backfill_count: int = 0


class MemoryCheckpoint:
    """A `Ledger` that forgets when it goes."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, str], int] = {}
        self.positions: dict[Part, Position] = {}
        self.rows: dict[Part, list[RawRow]] = {}
        self.cells: dict[Part, dict[CellId, CellRow]] = {}
        self.sessions: dict[SessionKey, SessionRow] = {}
        self.owners: dict[SessionKey, Part] = {}
        self.memories: dict[SessionKey, list[bytes]] = {}
        self.dead_letters: list[DeadLetter] = []
        self.dead_letters_by_log: list[tuple[str, DeadLetter]] = []
        self.outbox: dict[int, Record] = {}
        self.kept: dict[Part, dict[int, KeptRow]] = {}
        self.states: dict[Part, bytes] = {}
        self.apart: dict[Part, dict[tuple[str, str, int], ToldApart]] = {}
        self.limited: dict[tuple[str, str], int] = {}
        self.identities: dict[bytes, int] = {}
        self._numbers = 0
        self._is_sending = False

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Take the partition over, fencing whoever had it."""
        log_id = self.logs.setdefault((cluster_id, topic), len(self.logs) + 1)
        part = (log_id, partition)
        position = self.positions.setdefault(part, Position())
        position.epoch += 1
        return Checkpoint(
            log_id=log_id,
            topic=topic,
            partition=partition,
            epoch=position.epoch,
            next_offset=position.next_offset,
            watermark_ms=position.watermark_ms,
            behind_ms=position.watermark_ms - position.settled_ms,
            mark=position.mark,
            open_cells=tuple(
                _copied(cell)
                for cell in self.cells.get(part, {}).values()
                if cell.batch_offset == ON_TIME and not cell.closed
            ),
            kept=tuple(row.payload for _, row in sorted(self.kept.get(part, {}).items())),
            state=self.states.get(part, b""),
            apart=tuple(self.apart.get(part, {}).values()),
        )

    async def recall(
        self, sessions: Iterable[SessionKey], *, claim: Checkpoint | None = None
    ) -> Mapping[SessionKey, SavedSession]:
        """Return what is known of these sessions; with a claim, follow them for it from here on."""
        known = {}
        for key in sessions:
            if claim is not None and key in self.sessions:
                self.owners[key] = (claim.log_id, claim.partition)
            row, memories = self.sessions.get(key), tuple(self.memories.get(key, ()))
            if row is not None or memories:
                kept = None if row is None else _kept(row)
                known[key] = SavedSession(row=kept, memories=memories)
        return known

    async def owners_of(self, digests: Sequence[bytes]) -> Mapping[bytes, int]:
        """Return who told first of these things."""
        return {one: self.identities[one] for one in digests if one in self.identities}

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Write everything and the offset it reaches; raise `Fenced`."""
        position = self._held(claim)
        self._expect(position, outcome)
        self._follow(claim, outcome)
        self._register(outcome)
        self._write(claim, outcome)
        self._send(outbox)
        self.dead_letters.extend(dead_letters)
        self.dead_letters_by_log.extend(
            (self._cluster_of(claim), dead_letter) for dead_letter in dead_letters
        )
        self._move(position, outcome)

    @asynccontextmanager
    async def sending(self, *, limit: int) -> AsyncIterator[OutboxRecords]:
        """Give unsent records, by turns of their keys, to one sender at a time."""
        if self._is_sending:
            yield OutboxRecords(records=(), waiting=len(self.outbox), busy=True)
            return
        oldest = sorted(self._in_turns()[:limit])
        self._is_sending = True
        try:
            yield OutboxRecords(
                records=[self.outbox[number] for number in oldest], waiting=len(self.outbox)
            )
        finally:
            self._is_sending = False
        for number in oldest:
            del self.outbox[number]

    def _in_turns(self) -> list[int]:
        """Return the numbers of what is unsent, the first of each key before any second."""
        turns: Counter[tuple[str, bytes | None]] = Counter()
        placed: list[tuple[int, int]] = []
        for number, record in sorted(self.outbox.items()):
            turns[record.topic, record.key] += 1
            placed.append((turns[record.topic, record.key], number))
        return [number for _, number in sorted(placed)]

    def _held(self, claim: Checkpoint) -> Position:
        position = self.positions.get((claim.log_id, claim.partition))
        if position is None or position.epoch != claim.epoch:
            raise Fenced(
                f"partition {claim.partition} of {claim.topic!r} was claimed by another worker"
            )
        return position

    def _expect(self, position: Position, outcome: BatchOutcome) -> None:
        """Refuse a batch that begins before where the partition is: a replay."""
        if outcome.first_offset < position.next_offset:
            raise Fenced(
                f"the batch begins at {outcome.first_offset}, the partition is at"
                f" {position.next_offset}"
            )

    def _follow(self, claim: Checkpoint, outcome: BatchOutcome) -> None:
        """Refuse to replace a session that is followed for another partition or log by now."""
        part = (claim.log_id, claim.partition)
        keys = [(row.tenant, row.session_id) for row in outcome.sessions]
        if any(self.owners.get(key, part) != part for key in keys):
            raise StoreAway("a session was recalled for another partition or log since")
        self.owners.update(dict.fromkeys(keys, part))

    def _register(self, outcome: BatchOutcome) -> None:
        """Refuse what other sessions told of first; the rest is told of by these from now on."""
        others = {
            row.digest: self.identities[row.digest]
            for row in outcome.identities
            if self.identities.get(row.digest, row.owner) != row.owner
        }
        if others:
            raise Contested(others)
        self.identities.update({row.digest: row.owner for row in outcome.identities})

    def _cluster_of(self, claim: Checkpoint) -> str:
        return next(name for (name, _), number in self.logs.items() if number == claim.log_id)

    def _write(self, claim: Checkpoint, outcome: BatchOutcome) -> None:
        part = (claim.log_id, claim.partition)
        self.rows.setdefault(part, []).extend(outcome.raw)
        cells = self.cells.setdefault(part, {})
        for cell in outcome.cells:
            self._put(cells, _copied(cell))
        for session in outcome.sessions:
            self.sessions[session.tenant, session.session_id] = _kept(session)
        for seen in outcome.seen:
            self.memories.setdefault((seen.tenant, seen.session_id), []).append(seen.memory)
        if outcome.state:
            self._keep(part, outcome)
        apart = self.apart.get(part, {}).items()
        self.apart[part] = {k: row for k, row in apart if row.used_ms >= outcome.apart_since_ms}
        self.apart[part] |= {(row.tenant, row.dimension, row.digest): row for row in outcome.apart}
        for row in outcome.limited:
            key = (row.tenant, row.dimension)
            self.limited[key] = self.limited.get(key, 0) + row.events

    def _keep(self, part: Part, outcome: BatchOutcome) -> None:
        kept = self.kept.get(part, {}) | {row.offset: row for row in outcome.kept}
        self.kept[part] = {
            offset: row for offset, row in kept.items() if row.until_ms > outcome.released_ms
        }
        self.states[part] = outcome.state

    def _put(self, cells: dict[CellId, CellRow], cell: CellRow) -> None:
        cells[cell.key, cell.width_ms, cell.start_ms, cell.batch_offset] = cell

    def _send(self, outbox: Sequence[Record]) -> None:
        for record in outbox:
            self._numbers += 1
            self.outbox[self._numbers] = record

    def _move(self, position: Position, outcome: BatchOutcome) -> None:
        position.next_offset = outcome.next_offset
        position.mark = outcome.mark or position.mark
        position.watermark_ms = outcome.watermark_ms
        position.settled_ms = outcome.settled_ms
        position.late_count += outcome.late_count
        position.duplicate_count += outcome.duplicate_count
        position.backfill_count += outcome.backfill_count


def _copied(cell: CellRow) -> CellRow:
    return msgspec.structs.replace(cell, measures=copy.copy(cell.measures))


def _kept(session: SessionRow) -> SessionRow:
    return msgspec.structs.replace(session, totals=copy.copy(session.totals))
