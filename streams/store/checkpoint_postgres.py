"""The checkpoint store in PostgreSQL: claims, recalled sessions and atomic commits.

A commit is one transaction on one connection. First the offset moves, guarded by the claim's epoch
and the offset it expects, so that a fenced worker or a replayed batch ends there with `Fenced` and
nothing written; then everything else goes in. A commit that failed half way may have happened or
not: its claim is spent, and only a new claim tells.
"""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier, Literal

from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import Fenced, StoreAway
from analytics.measures.rows import ON_TIME, WIDTHS_MS, BatchOutcome, CellRow, SessionRow
from streams.clients.errors import Unstorable, mapped
from streams.store import (
    batch,
    columns,
    dirty_periods,
    fencing,
    identities,
    operator_state,
    shares,
    storable,
)
from streams.store.checkpoint import Checkpoint, DeadLetter, OutboxRecords, SavedSession, SessionKey
from streams.store.outbox_order import Turns
from streams.store.pool import Db, Pool, opened, pipelined
from streams.store.series import FIELDS, KnownSeries, key_of
from streams.store.tombstones import Outdated, Session, Tombstones
from streams.store.wire import RowTypes

COMMIT_TIMEOUT_S: Final = 60.0
QUERY_TIMEOUT_S: Final = 30.0
SENDING_TIMEOUT_S: Final = 45.0
"""How long a look at the outbox may take, with all that is sent meanwhile."""
RECALLED_MAX: Final = 1_000
"""Sessions that one query recalls; more take several."""

ERASED_MEANWHILE_MAX: Final = 10
"""How often a commit is begun anew since something was erased."""

_FIND_LOG: Final = "select log_id from logs where cluster_id = %s and topic = %s"
_ADD_LOG: Final = """
insert into logs (cluster_id, topic) values (%s, %s) on conflict do nothing
"""
_CLAIM: Final = """
insert into checkpoints (log_id, partition, epoch, next_offset, watermark_ms)
values (%s, %s, 1, 0, 0)
on conflict (log_id, partition) do update
   set epoch = checkpoints.epoch + 1, updated_at = now()
returning epoch, next_offset, watermark_ms, mark,
          watermark_ms - least(watermark_ms, coalesce(settled_ms, watermark_ms))
"""
_OPEN_CELLS: Final = {
    width_ms: SQL("""
select {series}, {cells}
  from {table} cell join series using (series_id)
 where cell.start_at > to_timestamp((%s - {width_ms}) / 1000.0)
   and cell.log_id = %s and cell.partition = %s and cell.batch_offset = {on_time}
   and not cell.closed
""")
    .format(
        series=SQL(", ").join(Identifier("series", field) for field in FIELDS),
        cells=columns.read(columns.CELLS, of="cell"),
        table=Identifier(batch.WINDOWS[width_ms]),
        width_ms=Literal(width_ms),
        on_time=Literal(ON_TIME),
    )
    .as_bytes()
    for width_ms in WIDTHS_MS
}
_RECALL_SESSIONS: Final = (
    SQL("""
select {kept}
  from unnest(%s::text[], %s::text[]) as wanted (tenant, session_id)
  join sessions kept using (tenant, session_id)
""")
    .format(kept=columns.read(columns.SESSIONS, of="kept"))
    .as_bytes()
)
_FOLLOW: Final = """
update sessions kept
   set owner = %s::int8
  from unnest(%s::text[], %s::text[]) as wanted (tenant, session_id)
 where kept.tenant = wanted.tenant and kept.session_id = wanted.session_id
   and kept.owner <> %s::int8
"""
_RECALL_MEMORIES: Final = """
select kept.tenant, kept.session_id, kept.memory
  from unnest(%s::text[], %s::text[]) as wanted (tenant, session_id)
  join seen kept using (tenant, session_id)
 order by kept.number
"""
_TAKE_OUTBOX: Final = """
select pg_try_advisory_xact_lock(%s)
"""
_OUTBOX_SIZE: Final = "select coalesce(max(number) - min(number) + 1, 0) from outbox"
OUTBOX_LOCK: Final = 0x6D_61_69_6E_6F_75_74
"""The advisory lock of whoever sends what is in the outbox."""

Claimed = tuple[int, int]


class PostgresCheckpoint:
    """A `streams.store.checkpoint.Ledger` over a pool of connections."""

    def __init__(self, connections: Pool, *, clock: Callable[[], int]) -> None:
        self._pool = connections
        self._clock = clock
        self._series = KnownSeries(clock=clock)
        self._types: RowTypes | None = None
        self._held: dict[Claimed, tuple[int, int | None]] = {}
        self._tombstones = Tombstones()
        self._turns = Turns()

    async def claim(self, *, cluster_id: str, topic: str, partition: int) -> Checkpoint:
        """Take the partition over, fencing whoever had it."""
        async with self._connection("a claim", timeout_s=QUERY_TIMEOUT_S) as db:
            log_id = await _number_log(db, cluster_id, topic)
            await fencing.take_over(db, log_id, partition)
            row = await (await db.execute(_CLAIM, [log_id, partition])).fetchone()
            assert row is not None
            epoch, next_offset, watermark_ms, mark, behind_ms = row
            settled_ms = watermark_ms - behind_ms
            cells = await _open_cells(db, log_id, partition, settled_ms) if next_offset else ()
            state, parcels = await operator_state.taken_up(db, log_id, partition)
            apart = await shares.taken_up(db, log_id, partition)
        self._held[log_id, partition] = (epoch, next_offset)
        return Checkpoint(
            log_id=log_id,
            topic=topic,
            partition=partition,
            epoch=epoch,
            next_offset=next_offset,
            watermark_ms=watermark_ms,
            open_cells=cells,
            mark=mark,
            kept=parcels,
            state=state,
            apart=apart,
            behind_ms=behind_ms,
        )

    async def recall(
        self, sessions: Iterable[SessionKey], *, claim: Checkpoint | None = None
    ) -> Mapping[SessionKey, SavedSession]:
        """Return what is known of these sessions; with a claim, follow them for it from here on."""
        wanted = iter(dict.fromkeys(sessions))
        found: dict[SessionKey, SavedSession] = {}
        while some := list(islice(wanted, RECALLED_MAX)):
            async with self._connection("a recall", timeout_s=QUERY_TIMEOUT_S) as db:
                found.update(await _recall(db, some, claim))
        return found

    async def owners_of(self, digests: Sequence[bytes]) -> Mapping[bytes, int]:
        """Return who told first of these things."""
        async with self._connection("a look at identities", timeout_s=QUERY_TIMEOUT_S) as db:
            return await identities.owners(db, digests)

    async def commit(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        *,
        outbox: Sequence[Record] = (),
        dead_letters: Sequence[DeadLetter] = (),
    ) -> None:
        """Write everything and the offset it reaches in one transaction; raise `Fenced`."""
        expected = self._expected(claim)
        place = (claim.log_id, claim.partition)
        self._held[place] = (claim.epoch, None)
        try:
            await self._store(claim, outcome, expected, outbox=outbox, dead_letters=dead_letters)
        except Unstorable:
            await self._store(
                claim,
                storable.outcome(outcome),
                expected,
                outbox=storable.records(outbox),
                dead_letters=storable.dead_letters(dead_letters),
            )
        if self._held[place] == (claim.epoch, None):
            self._held[place] = (claim.epoch, outcome.next_offset)

    @asynccontextmanager
    async def sending(self, *, limit: int) -> AsyncIterator[OutboxRecords]:
        """Give unsent records, by turns of their keys, to one sender at a time.

        They are forgotten if all went well.
        """
        async with self._connection("a look at the outbox", timeout_s=SENDING_TIMEOUT_S) as db:
            taken = await (await db.execute(_TAKE_OUTBOX, [OUTBOX_LOCK])).fetchone()
            is_ours = taken is not None and bool(taken[0])
            rows = await self._turns.take(db, limit=limit) if is_ours else []
            behind = await (await db.execute(_OUTBOX_SIZE)).fetchone()
            assert behind is not None
            yield OutboxRecords(
                records=[_outgoing(row) for row in rows],
                waiting=int(behind[0]) + len(rows),
                busy=not is_ours,
            )

    def _expected(self, claim: Checkpoint) -> int:
        """Return the offset a commit must start from; a spent claim has none."""
        epoch, expected = self._held.get(
            (claim.log_id, claim.partition), (claim.epoch, claim.next_offset)
        )
        if epoch == claim.epoch and expected is not None:
            return expected
        raise Fenced(
            f"the claim on {claim.topic}/{claim.partition} is spent, by a later one or by a commit "
            "that failed: claim the partition again"
        )

    async def _store(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        expected: int,
        *,
        outbox: Sequence[Record],
        dead_letters: Sequence[DeadLetter],
    ) -> None:
        """Write what was not erased, once more where something was erased meanwhile."""
        for _ in range(ERASED_MEANWHILE_MAX):
            spared, sent, found = self._tombstones.spare(outcome, outbox)
            try:
                await self._write(
                    claim, spared, expected, outbox=sent, dead_letters=dead_letters, erased=found
                )
            except Outdated:
                continue
            return
        raise StoreAway("the store did not do a commit: erasures went on all the time")

    async def _write(
        self,
        claim: Checkpoint,
        outcome: BatchOutcome,
        expected: int,
        *,
        outbox: Sequence[Record],
        dead_letters: Sequence[DeadLetter],
        erased: Sequence[Session],
    ) -> None:
        ids, new = self._series.split(cell.key for cell in outcome.cells)
        async with self._connection("a commit", timeout_s=COMMIT_TIMEOUT_S) as db:
            types = self._types = self._types or await batch.row_types(db)
            async with pipelined(db):
                moved = await batch.move(db, claim, outcome, expected=expected)
                await batch.add_series(db, new, types=types)
                added = await identities.add(db, outcome.identities, types=types)
            newest = await batch.check_moved(moved, claim, expected=expected)
            if newest != self._tombstones.newest:
                await self._tombstones.read(db)
                self._series.forget()
                raise Outdated
            await identities.check(db, outcome.identities, added)
            await self._tombstones.add(db, erased)
            await batch.add_events(db, claim, outcome, received_ms=self._clock())
            async with pipelined(db, commit=True):
                await batch.put_cells(db, claim, outcome.cells, ids=ids, types=types)
                await dirty_periods.mark(db, outcome.cells)
                await batch.put_sessions(db, claim, outcome.sessions, types=types)
                await batch.add_rest(
                    db, claim, outcome, outbox=outbox, dead_letters=dead_letters, types=types
                )
                await operator_state.put(db, claim, outcome)
                await shares.put(db, claim, outcome)
        self._series.stored(new)

    @asynccontextmanager
    async def _connection(self, doing: str, *, timeout_s: float) -> AsyncIterator[Db]:
        """Give a connection in a transaction that commits in the end, within a time limit."""
        with mapped(doing):
            async with asyncio.timeout(timeout_s), self._pool.connection() as db:
                yield db


@asynccontextmanager
async def open_checkpoint(
    url: str, *, clock: Callable[[], int], size_max: int = 4
) -> AsyncIterator[PostgresCheckpoint]:
    """Open a checkpoint store on a migrated store; it may be away now and then."""
    async with opened(url, size_max=size_max) as connections:
        yield PostgresCheckpoint(connections, clock=clock)


async def _number_log(db: Db, cluster_id: str, topic: str) -> int:
    """Return the number of a log, giving it one when it is new; numbers are not wasted."""
    named = [cluster_id, topic]
    row = await (await db.execute(_FIND_LOG, named)).fetchone()
    if row is None:
        await db.execute(_ADD_LOG, named)
        row = await (await db.execute(_FIND_LOG, named)).fetchone()
    assert row is not None
    return int(row[0])


async def _open_cells(db: Db, log_id: int, partition: int, settled_ms: int) -> tuple[CellRow, ...]:
    """Return what was folded into windows that are not closed."""
    cells: list[CellRow] = []
    for width_ms, query in _OPEN_CELLS.items():
        rows = await db.execute(query, [settled_ms, log_id, partition])
        cells.extend([_cell_of(row, width_ms) async for row in rows])
    return tuple(cells)


def _cell_of(row: TupleRow, width_ms: int) -> CellRow:
    dimensions, rest = row[: len(FIELDS)], row[len(FIELDS) :]
    start_ms, _, _, _, batch_offset, *sums, latency, closed = rest
    return CellRow(
        key=key_of(dimensions),
        width_ms=width_ms,
        start_ms=start_ms,
        batch_offset=batch_offset,
        measures=columns.measures_of(sums),
        latency=latency,
        closed=closed,
    )


def _outgoing(row: TupleRow) -> Record:
    _, topic, key, value, headers = row
    return Record(
        topic=topic,
        key=key,
        value=value,
        headers=tuple((name, b64decode(text)) for name, text in headers),
    )


async def _recall(
    db: Db, wanted: Sequence[SessionKey], claim: Checkpoint | None
) -> dict[SessionKey, SavedSession]:
    asked = {
        (storable.text(tenant), storable.text(name)): (tenant, name) for tenant, name in wanted
    }
    arrays = [[tenant for tenant, _ in asked], [name for _, name in asked]]
    rows: dict[SessionKey, SessionRow] = {}
    memories: dict[SessionKey, list[bytes]] = {}
    async with pipelined(db):
        if claim is not None:
            owner = batch.owner_of(claim)
            await fencing.grip_to_recall(db, claim.log_id, claim.partition)
            await db.execute(_FOLLOW, [owner, *arrays, owner])
        sessions = await db.execute(_RECALL_SESSIONS, arrays)
        seen = await db.execute(_RECALL_MEMORIES, arrays)
    async for values in sessions:
        row = columns.session_of(values)
        rows[asked[row.tenant, row.session_id]] = row
    async for tenant, name, memory in seen:
        memories.setdefault(asked[tenant, name], []).append(memory)
    return {
        key: SavedSession(row=rows.get(key), memories=tuple(memories.get(key, ())))
        for key in wanted
        if key in rows or key in memories
    }
