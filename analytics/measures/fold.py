"""The fold: what a batch of one partition's events amounts to.

A `PartitionFold` is fed batches in the order of the log and answers each with an `Outcome` for the
store. It promises: an event counts once by its id within its session, however often it comes; the
same events in any batching add up to the same sums, sessions and sketches; what comes late, or is
imported, goes to rows of its own and never changes a closed window. It is rebuilt from what the
store holds (open cells, and the memory of sessions as they come up), so one whose outcome was not
committed is thrown away.

Memory is bounded by `FoldRules`: sessions least recently heard of are forgotten first and must be
recalled when they come up again; what happens at the other limits is said in `memory` and `cells`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting
from analytics.contracts.events import TYPES, Event
from analytics.contracts.facts import AgentFact, Fact, Source
from analytics.measures.batch import (
    Batch,
    are_mixed,
    are_of_agents,
    heads_of,
    heard_before,
    raw_apart,
    session_of,
)
from analytics.measures.cells import Cells, Tally
from analytics.measures.columns import SESSIONS, sums_of
from analytics.measures.contributions import CONTRIBUTIONS, Contribution
from analytics.measures.following import Pace, follow
from analytics.measures.memory import (
    Counters,
    MemoryLimits,
    SessionKey,
    SessionMemory,
)
from analytics.measures.prices import PriceTable
from analytics.measures.rows import CellRow, Outcome, RawRow, SeenRow, SessionRow
from analytics.measures.step import Step, StepRules
from analytics.measures.times import Readings, Times
from analytics.windows.watermark import Quiet

_IMPORTED: Final = Source.TRANSCRIPT
RUN_LENGTH: Final = 512
"""So many arrivals are gone through at a time, since each is looked at more than once: what they
hold stays in the processor's cache meanwhile."""
QUIET_SCAN_MS: Final = 1_000
"""How long after a look for sessions that fell quiet the next one may come."""

_KINDS: Final[dict[type[Fact], tuple[str, Contribution]]] = {
    TYPES[name]: (name, CONTRIBUTIONS[TYPES[name]])
    for name in TYPES
    if TYPES[name] in CONTRIBUTIONS
}


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
    ) -> None:
        self.counters = Counters()
        self._prices = prices
        self._rules = rules
        self._watermark_ms = watermark_ms
        self._cells = Cells(open_cells, open_max=rules.open_cells_max)
        self._sessions: dict[SessionKey, SessionMemory] = {}
        self._remembered = 0
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
    def remembered_count(self) -> int:
        """How many entries (ids, requests, tool calls) the sessions in memory hold together."""
        return self._remembered

    @property
    def session_count(self) -> int:
        """How many sessions are in memory."""
        return len(self._sessions)

    def unknown(self, arrivals: Sequence[Arrival]) -> set[SessionKey]:
        """Return the sessions that must be remembered before these arrivals are folded.

        Ask after the batch before has been folded: folding forgets.
        """
        return set(self._keys(arrivals)) - self._sessions.keys()

    def remember(self, key: SessionKey, row: SessionRow | None, memories: Sequence[bytes]) -> None:
        """Take up what the store knows of a session: nothing (None and ()) if it is new."""
        memory = SessionMemory(key, self._rules.memory, self._cells.tally())
        memory.recall(row, memories)
        if row is not None:
            self._cells.sheet.set(memory.totals.row, sums_of(row.totals))
        self._sessions[key] = memory
        self._weigh(memory)

    def fold(
        self, arrivals: Sequence[Arrival], *, first_offset: int, next_offset: int, now_ms: int
    ) -> Outcome:
        """Return what the arrivals amount to, for one commit that reaches `next_offset`."""
        self._batch_count += 1
        batch = Batch(self._batch_count)
        keys = self._keys(arrivals)
        self._asked = ((), [])
        for start in range(0, len(arrivals), RUN_LENGTH):
            run = slice(start, start + RUN_LENGTH)
            self._take(arrivals[run], keys[run], batch)
        if arrivals:
            self._quiet.end(self._watermark_ms, now_ms=now_ms)
        seen = tuple(
            SeenRow(
                tenant=key[0], session_id=key[1], batch_offset=first_offset, memory=memory.encode()
            )
            for key, memory in batch.touched.items()
        )
        for memory in batch.touched.values():
            memory.trim(self.counters)
        outcome = self._outcome(
            batch, seen, first_offset=first_offset, next_offset=next_offset, now_ms=now_ms
        )
        self._forget(batch.touched)
        return outcome

    def tick(self, *, next_offset: int, now_ms: int) -> Outcome | None:
        """Return what time alone changes: windows of an idle partition, sessions fallen quiet.

        Call it only when all records of the partition have been folded.
        """
        self._watermark_ms = self._quiet.moved(self._watermark_ms, now_ms=now_ms)
        outcome = self._outcome(
            Batch(self._batch_count),
            (),
            first_offset=next_offset,
            next_offset=next_offset,
            now_ms=now_ms,
        )
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

    def _take(self, arrivals: Sequence[Arrival], keys: Sequence[SessionKey], batch: Batch) -> None:
        """Take what some arrivals tell, each once."""
        if are_mixed([arrival.event for arrival in arrivals]):
            for number in range(len(arrivals)):
                one = slice(number, number + 1)
                self._take(arrivals[one], keys[one], batch)
            return
        sessions = self._sessions
        try:
            memories = [sessions[key] for key in keys]
        except KeyError as error:
            raise LookupError(
                f"session {error.args[0]!r} was not remembered before the fold"
            ) from error
        again = heard_before([arrival.event.id for arrival in arrivals], memories)
        if again:
            batch.duplicate_count += len(again)
            left = [number for number in range(len(arrivals)) if number not in again]
            arrivals = [arrivals[number] for number in left]
            memories = [memories[number] for number in left]
        for memory in dict.fromkeys(memories):
            batch.touched[memory.key] = memory
        events = [arrival.event for arrival in arrivals]
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
        step = Step(
            self._cells, times, entries,
            StepRules(self._prices, self.counters, batch.number, rules.stuck_repeats),
        )  # fmt: skip
        keep, count, work = batch.raw.append, entries.events.append, entries.active_ms.append
        pace, kinds = rules.pace, _KINDS
        columns = (
            range(len(events)), heads_of(events), events, arrivals, memories, times.places,
            times.when_ms,
        )  # fmt: skip
        for number, head, event, arrival, memory, place, when_ms in zip(*columns, strict=True):
            (
                event_id, tenant, at_ms, source, session_id, project, agent, version, agent_id,
                _, _, _, user, team,
            ) = head  # fmt: skip
            name, contribute = kinds[type(event)]
            step.memory = memory
            step.number, step.place, step.when_ms = number, place, when_ms
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
            delta, signal, model, tool, duration_ms, cost_nanousd, failed = contribute(step, event)
            count(delta)
            work(follow(memory, step, signal, pace))
            if memory.fresh:
                memory.begin(when_ms)
                entries.changes.append((delta, SESSIONS, 1))
            keep(
                RawRow(
                    event_id, tenant, session_id, at_ms, name, str(source), project, agent,
                    agent_id, model, tool, duration_ms, cost_nanousd, failed,
                    arrival.offset, arrival.payload,
                )
            )  # fmt: skip

    def _times(self, arrivals: Sequence[Arrival], events: Sequence[Event], batch: Batch) -> Times:
        """Settle when and where arrivals are counted, and move the watermark."""
        rules = self._rules
        apart = [event.source is _IMPORTED for event in events]
        readings = Readings(
            at_ms=[event.at_ms for event in events],
            received_ms=[arrival.received_ms for arrival in arrivals],
            apart=apart,
        )
        times = Times(
            readings,
            self._watermark_ms,
            future_skew_ms=rules.future_skew_ms,
            lateness_ms=rules.lateness_ms,
        )
        self._watermark_ms = times.watermark_ms
        batch.late_count += times.late_count
        batch.backfill_count += sum(apart)
        return times

    def _outcome(
        self, batch: Batch, seen: tuple[SeenRow, ...], *, first_offset: int, next_offset: int,
        now_ms: int,
    ) -> Outcome:  # fmt: skip
        cells, closed = self._cells.rows(
            batch.entries, batch_offset=first_offset, watermark_ms=self._watermark_ms
        )
        self.counters.cells_spilled = self._cells.spilled_count
        return Outcome(
            first_offset=first_offset,
            next_offset=next_offset,
            watermark_ms=self._watermark_ms,
            raw=tuple(batch.raw),
            cells=cells,
            closed=closed,
            sessions=self._session_rows(batch.touched, now_ms),
            seen=seen,
            late_count=batch.late_count,
            duplicate_count=batch.duplicate_count,
            backfill_count=batch.backfill_count,
        )

    def _session_rows(
        self, touched: dict[SessionKey, SessionMemory], now_ms: int
    ) -> tuple[SessionRow, ...]:
        idle_ms = self._rules.pace.idle_ms
        shown = [memory for memory in touched.values() if not memory.fresh]
        if now_ms - self._scanned_ms >= QUIET_SCAN_MS:
            self._scanned_ms = now_ms
            shown += [
                memory
                for key, memory in self._sessions.items()
                if not memory.shown_idle
                and key not in touched
                and memory.is_quiet(now_ms=now_ms, idle_ms=idle_ms)
            ]
        sums = self._cells.sheet.read([memory.totals.row for memory in shown])
        return tuple(
            memory.row(totals, now_ms=now_ms, idle_ms=idle_ms)
            for memory, totals in zip(shown, sums, strict=True)
        )

    def _forget(self, touched: dict[SessionKey, SessionMemory]) -> None:
        sessions, rules = self._sessions, self._rules
        for key, memory in touched.items():
            del sessions[key]
            sessions[key] = memory
            self._weigh(memory)
        forgotten: list[Tally] = []
        spare = len(sessions) - len(touched)
        while spare > 0 and (
            len(sessions) > rules.sessions_max or self._remembered > rules.remembered_max
        ):
            oldest = sessions.pop(next(iter(sessions)))
            self._remembered -= oldest.weighed
            forgotten.append(oldest.totals)
            self.counters.sessions_forgotten += 1
            spare -= 1
        self._cells.release(forgotten)

    def _weigh(self, memory: SessionMemory) -> None:
        weight = memory.weight
        self._remembered += weight - memory.weighed
        memory.weighed = weight
