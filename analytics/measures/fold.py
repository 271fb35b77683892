"""The fold: what a batch of one partition's events amounts to.

A `PartitionFold` is fed batches in the order of the log and answers each with a `BatchOutcome` for
the store. It promises: an event counts once by its id within its session, however often it comes;
the same events in any batching add up to the same sums, sessions and sketches; what another session
told of first (see `identities`) counts nothing; what comes late, or is imported, goes to rows of
its own and never changes a closed window. It is rebuilt from what the store holds (open cells, and
the memory of sessions as they come up), so one whose outcome was not committed is thrown away.

Memory is bounded by `FoldRules`: sessions least recently heard of are forgotten first and must be
recalled when they come up again; `memory` and `cells` say what happens at the other limits.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact
from analytics.measures.activity import Pace
from analytics.measures.batch import (
    Batch,
    Heads,
    are_mixed,
    are_of_agents,
    digests_of_copies,
    heard_before,
    raw_apart,
    readings_of,
    session_of,
)
from analytics.measures.cardinality import Cardinality, CardinalityLimits
from analytics.measures.cells import Cells
from analytics.measures.columns import SESSIONS, sums_of
from analytics.measures.event_step import INHERITED, EventStep, StepRules, Told
from analytics.measures.held import HeldSessions
from analytics.measures.identities import Identities
from analytics.measures.prices import PriceTable
from analytics.measures.reports import INGEST_PATHS
from analytics.measures.rows import BatchOutcome, CellRow, SeenRow, SessionRow, ToldApart
from analytics.measures.session_memory import (
    Counters,
    MemoryLimits,
    SessionKey,
    SessionMemory,
)
from analytics.measures.session_state import follow
from analytics.measures.times import Times
from analytics.windows.watermark import Quiet

RUN_LENGTH: Final = 512
"""So many arrivals are gone through at a time, since each is looked at more than once: what they
hold stays in the processor's cache meanwhile."""
_CONTRIBUTION: Final = itemgetter(1)
QUIET_SCAN_MS: Final = 1_000
"""How long after a look for sessions that fell quiet the next one may come."""


class Arrival(Struct, frozen=True, gc=False):
    """An event as the log holds it."""

    offset: int
    received_ms: int
    """When the broker got it."""
    event: Event
    payload: bytes


class FoldRules(Struct, frozen=True, kw_only=True):
    """How long the fold waits, and how much it remembers of one partition."""

    lateness_ms: int = 15_000
    """How far behind the newest event another may be and still reach its window."""
    future_skew_ms: int = 30_000
    """How far a sender's clock may run ahead of the broker's before it is held back."""
    idle_ms: int = 20_000
    """After so long without a record the wall clock moves the watermark."""
    pace: Pace = Pace()
    stuck_repeats: int = 5
    """So many calls of one tool with one input in a row are a loop."""
    sessions_max: int = 2_000
    remembered_max: int = 200_000
    """Entries that all remembered sessions may hold together."""
    open_cells_max: int = 200_000
    closing_max: int = 200  # windows of series that an outcome closes, or as many as it writes
    cardinality: CardinalityLimits = CardinalityLimits()
    memory: MemoryLimits = MemoryLimits()

    def __post_init__(self) -> None:
        if self.idle_ms < self.lateness_ms:
            raise BadSetting(
                f"an idle time of {self.idle_ms!r} ms is shorter than the lateness of"
                f" {self.lateness_ms!r} ms; raise it, or windows close before their events come"
            )


class PartitionFold:
    """Folds the batches of one partition."""

    def __init__(
        self,
        *,
        prices: PriceTable,
        watermark_ms: int,
        open_cells: Iterable[CellRow],
        rules: FoldRules,
        apart: Iterable[ToldApart] = (),
    ) -> None:
        self.counters = Counters()
        self._prices = prices
        self._rules = rules
        self._watermark_ms = watermark_ms
        self._cardinality = Cardinality(rules.cardinality, apart)
        self._cells = Cells(
            open_cells,
            open_max=rules.open_cells_max,
            closing_max=rules.closing_max,
            cardinality=self._cardinality,
        )
        self._identities = Identities()
        self._held = HeldSessions(
            sessions_max=rules.sessions_max, remembered_max=rules.remembered_max
        )
        self._sessions = self._held.by_key
        self._batch_count = 0
        self._asked: tuple[Sequence[Arrival], list[SessionKey]] = ((), [])
        """The arrivals last asked about, and the session of each."""
        self._quiet = Quiet(watermark_ms, idle_ms=rules.idle_ms)
        self._scanned_ms = 0

    @property
    def watermark_ms(self) -> int:
        """How far event time has come."""
        return self._watermark_ms

    @property
    def open_count(self) -> int:
        """How many cells of windows are open."""
        return self._cells.open_count

    @property
    def closing_count(self) -> int:
        """How many of them have ended and wait to be closed."""
        return self._cells.closing_count

    @property
    def remembered_count(self) -> int:
        """How many entries (ids, requests, tool calls) the sessions in memory hold together."""
        return self._held.remembered

    @property
    def series_count(self) -> int:
        """How many series are known by name."""
        return self._cells.known_count

    @property
    def session_count(self) -> int:
        """How many sessions are in memory."""
        return len(self._sessions)

    def unknown(self, arrivals: Sequence[Arrival]) -> set[SessionKey]:
        """Return the sessions to be remembered before these are folded; folding forgets some."""
        return set(self._keys(arrivals)) - self._sessions.keys()

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take up what the store knows of a session: nothing (None and ()) if it is new."""
        memory = SessionMemory(key, self._rules.memory, self._cells.tally())
        memory.recall(row, memories)
        if row is not None:
            self._cells.sheet.set(memory.totals.row, sums_of(row.totals))
        self._held.add(memory)

    def copies(self, arrivals: Sequence[Arrival]) -> list[bytes]:
        """Return the digests of what these tell that may be another session's: ask whose it is."""
        return digests_of_copies([arrival.event for arrival in arrivals])

    def learn(self, owners: Mapping[bytes, int]) -> None:
        """Take in whose some things are, for the arrivals that are folded next."""
        self._identities.learn(owners)

    def fold(
        self, arrivals: Sequence[Arrival], *, first_offset: int, next_offset: int, now_ms: int
    ) -> BatchOutcome:
        """Return what the arrivals amount to, for one commit that reaches `next_offset`."""
        self._batch_count += 1
        batch = Batch(self._batch_count)
        keys = self._keys(arrivals)
        self._asked = ((), [])
        for start in range(0, len(arrivals), RUN_LENGTH):
            run = slice(start, start + RUN_LENGTH)
            self._advance(arrivals[run], keys[run], batch)
        if arrivals:
            self._quiet.end(self._watermark_ms, now_ms=now_ms)
        seen = batch.seen(first_offset, self.counters)
        outcome = self._outcome(
            batch, seen, first_offset=first_offset, next_offset=next_offset, now_ms=now_ms
        )
        self._held.hear(batch.touched.values(), now_ms=now_ms)
        self._release(self._held.shed(batch.touched.keys()))
        return outcome

    def settle(self, *, next_offset: int, now_ms: int) -> BatchOutcome:
        """Return what closes more of the windows that have ended; time does not pass by it."""
        batch, at = Batch(self._batch_count), next_offset
        return self._outcome(batch, (), first_offset=at, next_offset=at, now_ms=now_ms)

    def tick(self, *, next_offset: int, now_ms: int) -> BatchOutcome | None:
        """Return what time alone changes: windows of an idle partition, sessions fallen quiet.

        Call it only when all records of the partition have been folded.
        """
        self._watermark_ms = self._quiet.moved(self._watermark_ms, now_ms=now_ms)
        outcome = self.settle(next_offset=next_offset, now_ms=now_ms)
        return self._quiet.told(outcome, now_ms=now_ms, is_open=self.open_count > 0)

    def _keys(self, arrivals: Sequence[Arrival]) -> list[SessionKey]:
        """Return the session of each arrival, as told when it was asked for what is unknown."""
        asked, keys = self._asked
        if asked is not arrivals:
            events = [arrival.event for arrival in arrivals]
            if are_of_agents(events):
                keys = [(event.tenant, event.session_id) for event in events]
            else:
                keys = [session_of(event) for event in events]
            self._asked = (arrivals, keys)
        return keys

    def _advance(
        self, arrivals: Sequence[Arrival], keys: Sequence[SessionKey], batch: Batch
    ) -> None:
        """Take some arrivals, and begin the steps of the tenants' limits where these begin."""
        cardinality = self._cardinality
        newest_ms = max([arrival.received_ms for arrival in arrivals])
        if cardinality.step_of(newest_ms) <= cardinality.step:
            self._take(arrivals, keys, batch)
            return
        for number, arrival in enumerate(arrivals):
            step = cardinality.step_of(arrival.received_ms)
            if step > cardinality.step:
                cardinality.advance(step)
                self._batch_count += 1
                batch.number = self._batch_count
            one = slice(number, number + 1)
            self._take(arrivals[one], keys[one], batch)

    def _take(self, arrivals: Sequence[Arrival], keys: Sequence[SessionKey], batch: Batch) -> None:
        """Take what some arrivals tell, each once."""
        events = [arrival.event for arrival in arrivals]
        if are_mixed(events):
            for number in range(len(arrivals)):
                one = slice(number, number + 1)
                self._take(arrivals[one], keys[one], batch)
            return
        sessions = self._sessions
        try:
            memories = [sessions[key] for key in keys]
        except KeyError as error:
            raise LookupError(f"session {error.args[0]!r} was not remembered first") from error
        again = heard_before([event.id for event in events], memories)
        if again:
            batch.duplicate_count += len(again)
            left = [number for number in range(len(arrivals)) if number not in again]
            arrivals = [arrivals[number] for number in left]
            memories = [memories[number] for number in left]
            events = [events[number] for number in left]
        for memory in dict.fromkeys(memories):
            batch.touched[memory.key] = memory
        if not events:
            return
        times = self._times(arrivals, events, batch)
        if are_of_agents(events):
            self._follow(events, arrivals, memories, times, batch=batch)
        else:
            batch.raw += [raw_apart(one.event, one.offset, one.payload) for one in arrivals]

    def _follow(
        self, events: Sequence[AgentFact], arrivals: Sequence[Arrival],
        memories: Sequence[SessionMemory], times: Times, *, batch: Batch,
    ) -> None:  # fmt: skip
        """Take what events tell into their sessions, and note what they add to the sums."""
        rules, entries = self._rules, batch.entries
        step = EventStep(
            self._cells, times, entries,
            StepRules(
                self._prices, self.counters, self._identities, batch.number, rules.stuck_repeats,
                rules.pace.busy_ms,
            ),
        )  # fmt: skip
        told: list[Told] = []
        tell, work, pace, paths = told.append, entries.active_ms.append, rules.pace, INGEST_PATHS
        heads = Heads(events)
        every = zip(
            range(len(events)), events, map(_CONTRIBUTION, heads.kinds), heads.sources,
            heads.projects, heads.agents, heads.versions, heads.agent_ids, heads.users, heads.teams,
            memories, times.places, times.when_ms, times.told_ms, strict=True,
        )  # fmt: skip
        for (
            number, event, contribute, source, project, agent, version, agent_id, user, team,
            memory, place, when_ms, told_ms,
        ) in every:  # fmt: skip
            step.memory = memory
            step.number, step.place, step.when_ms, step.told_ms = number, place, when_ms, told_ms
            step.ingest_path = paths[source]
            step.doing = memory.doing if not agent_id else memory.doing_of(agent_id)
            if project != memory.project or agent != memory.agent:
                memory.move(project or memory.project, agent or memory.agent)
            if version:
                memory.version = version
            if user:
                memory.user = user
            if team:
                memory.team = team
            if when_ms > memory.last_ms:
                memory.last_ms = when_ms
            elif when_ms < memory.started_ms:
                memory.started_ms = when_ms
            said = contribute(step, event)
            tell(said)
            if said is INHERITED:
                continue
            work(follow(step, event, said[1], pace))
            if memory.fresh:
                memory.begin(when_ms)
                entries.changes.append((said[0], SESSIONS, 1))
        kept, deltas = heads.raw(
            told, [one.offset for one in arrivals], [one.payload for one in arrivals]
        )
        batch.raw += kept
        entries.events += deltas
        batch.duplicate_count += len(events) - len(deltas)

    def _times(self, arrivals: Sequence[Arrival], events: Sequence[Event], batch: Batch) -> Times:
        """Settle when and where arrivals are counted, and move the watermark."""
        rules = self._rules
        readings = readings_of(events, [arrival.received_ms for arrival in arrivals])
        times = Times(
            readings,
            self._watermark_ms,
            future_skew_ms=rules.future_skew_ms,
            lateness_ms=rules.lateness_ms,
        )
        self._watermark_ms = times.watermark_ms
        batch.late_count += times.late_count
        batch.backfill_count += sum(readings.apart)
        return times

    def _outcome(
        self, batch: Batch, seen: tuple[SeenRow, ...], *, first_offset: int, next_offset: int,
        now_ms: int,
    ) -> BatchOutcome:  # fmt: skip
        cells, closed = self._cells.rows(
            batch.entries, batch_offset=first_offset, watermark_ms=self._watermark_ms
        )
        self.counters.cells_spilled = self._cells.spilled_count
        apart, apart_since_ms = self._cardinality.take()
        return BatchOutcome(
            first_offset=first_offset,
            next_offset=next_offset,
            watermark_ms=self._watermark_ms,
            behind_ms=self._watermark_ms - self._cells.settled_ms(self._watermark_ms),
            raw=tuple(batch.raw),
            cells=cells,
            closed=closed,
            sessions=self._session_rows(batch.touched, now_ms),
            seen=seen,
            late_count=batch.late_count,
            duplicate_count=batch.duplicate_count,
            backfill_count=batch.backfill_count,
            apart=apart,
            apart_since_ms=apart_since_ms,
            unpriced_count=self.counters.take_unpriced(),
            limited=batch.entries.limited_events(),
            identities=self._identities.take(),
        )

    def _session_rows(
        self, touched: dict[SessionKey, SessionMemory], now_ms: int
    ) -> tuple[SessionRow, ...]:
        pace = self._rules.pace
        shown = [memory for memory in touched.values() if not memory.fresh]
        if now_ms - self._scanned_ms >= QUIET_SCAN_MS:
            self._scanned_ms = now_ms
            self._release(self._held.shed_quiet(now_ms=now_ms, kept=touched.keys()))
            shown += [
                memory
                for key, memory in self._sessions.items()
                if key not in touched and memory.is_outdated(now_ms=now_ms, pace=pace)
            ]
        sums = self._cells.sheet.read([memory.totals.row for memory in shown])
        return tuple(
            memory.row(totals, now_ms=now_ms, pace=pace)
            for memory, totals in zip(shown, sums, strict=True)
        )

    def _release(self, gone: Sequence[SessionMemory]) -> None:
        self._cells.release([memory.totals for memory in gone])
        self.counters.sessions_forgotten += len(gone)
