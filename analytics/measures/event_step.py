"""One event on its way into the sums: where it goes, and what its handler says of its session.

An `EventStep` is made once a run of events and set anew for each, so that the hot path makes no
value of its own. A handler asks once which delta the event is counted in (`reach`) and notes in
`entries` what it adds there; what every event adds, whatever its type, is noted by the fold.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from analytics.measures.accounts import (
    COUNTED,
    PLACES,
    PLACES_TOLD,
    Changes,
)
from analytics.measures.activity import Activity
from analytics.measures.cells import Cells
from analytics.measures.columns import LATENCY_COUNT, LATENCY_SUM_MS, UNPRICED_TOKENS
from analytics.measures.entries import Entries
from analytics.measures.identities import Identities
from analytics.measures.merging import Dimensions
from analytics.measures.prices import PriceTable
from analytics.measures.session_accumulators import Labels, SessionAccumulator
from analytics.measures.session_memory import Counters, SessionMemory
from analytics.measures.sessions import SessionSignal
from analytics.measures.sketch import bucket_of
from analytics.measures.times import Times

Counted = tuple[Dimensions, tuple[int, ...], tuple[int, ...]]
"""A series, what a fact adds to the columns of its kind there, and what of the sender's own metrics
is another session's (empty where nothing is)."""

Told = tuple[int, SessionSignal | None, str, str, int | None, int | None, bool]
"""What a handler says of an event: its delta and signal; then model, tool, duration, cost and
failure, as columns of the raw row."""


INHERITED: Final[Told] = (-1, None, "", "", None, None, False)
"""What a handler says of an event that tells again what another session told before."""


class StepRules(Struct, frozen=True):
    """What is the same for all events of a batch."""

    prices: PriceTable
    counters: Counters
    identities: Identities
    batch: int
    """The number of the batch: none before had it."""
    repeats_max: int
    busy_ms: int
    """For so long after a sign of work another one only goes on."""


class EventStep:
    """The event at hand."""

    memory: SessionMemory
    """The memory of the event's session."""

    __slots__ = (
        "_cells",
        "_times",
        "attention",
        "batch",
        "busy_ms",
        "counters",
        "doing",
        "entries",
        "identities",
        "ingest_path",
        "memory",
        "number",
        "place",
        "prices",
        "repeats_max",
        "told_ms",
        "when_ms",
    )

    def __init__(self, cells: Cells, times: Times, entries: Entries, rules: StepRules) -> None:
        self.prices = rules.prices
        self.counters = rules.counters
        self.identities = rules.identities
        self.batch = rules.batch
        self.repeats_max = rules.repeats_max
        self.busy_ms = rules.busy_ms
        self.entries = entries
        self.number = self.when_ms = self.place = 0
        """Which of the run's arrivals it is, when it happened and where it goes."""
        self.ingest_path = 0
        """The bit of the ingest path by which it came, if that is not its source's traces."""
        self.told_ms = 0
        """When it happened, by a clock that is not ahead of the broker's."""
        self.doing = Activity()
        """What the event's agent is doing."""
        self.attention = ""
        self._cells = cells
        self._times = times

    @property
    def project(self) -> str:
        """The project that the session is at."""
        return self.memory.project

    @property
    def agent(self) -> str:
        """The agent that the session is of."""
        return self.memory.agent

    def reach(self, model: str, tool: str, skill: str, query_source: str) -> int:
        """Return the number of the delta that the event is counted in."""
        labels = (model, tool, skill, query_source)
        memory = self.memory
        lane = memory.lanes.here.get(labels)
        if lane is None:
            lane = memory.lanes.find(memory.project, memory.agent, labels)
        if lane.batch != self.batch or lane.place != self.place:
            self._turn(lane, self.place)
        return lane.delta

    def reach_other(self, dimensions: Dimensions, place: int) -> int:
        """Return the number of the delta of another series of the session, in another place."""
        project, agent, *_ = dimensions
        lane = self.memory.lanes.find(project, agent, dimensions[2:])
        if lane.batch != self.batch or lane.place != place:
            self._turn(lane, place)
        return lane.delta

    def change(self, columns: tuple[int, ...], place: int, before: Counted, after: Counted) -> None:
        """Count the difference that a merge made, moving sums whose series changed."""
        if before == after:
            return
        taken, given = before[1], after[1]
        if before[0] == after[0]:
            grown = [new - old for old, new in zip(taken, given, strict=True)]
            self._add(columns, place, after[0], grown)
        else:
            self._add(columns, place, before[0], [-amount for amount in taken])
            self._add(columns, place, after[0], given)
        if before[2] or after[2]:
            self._discount(columns, place, after[0], [-amount for amount in after[2]])
            self._discount(columns, place, before[0], before[2])

    def count(
        self, delta: int, labels: Labels, columns: Sequence[int], amounts: Sequence[int]
    ) -> None:
        """Note what an event tells, under labels and in a delta of these.

        Of what the sender's own metrics tell too, that is by how much the fuller account grows.
        """
        changes, accounts = self.entries.changes, self.memory.accounts
        for column, amount in zip(columns, amounts, strict=True):
            if not amount:
                continue
            place = PLACES.get(column)
            if place is None:
                changes.append((delta, column, amount))
            else:
                self._count(delta, column, accounts.take_event(place, labels, amount))
        if accounts.costless:
            self._settle_costless(labels)

    def settle(self, first: int, labels: Labels, amounts: Sequence[int]) -> list[int]:
        """Let an event tell of the measures of an account from a place on.

        Returns what is counted where the event is, and notes what is counted under other labels.
        """
        accounts, own = self.memory.accounts, [0] * len(amounts)
        for number, amount in enumerate(amounts):
            if amount:
                for to, counted in accounts.take_event(first + number, labels, amount):
                    if to is None:
                        own[number] += counted
                    else:
                        place = COUNTED[first + number]
                        self.entries.changes.append((self._reach_here(to), place, counted))
        if accounts.costless:
            self._settle_costless(labels)
        return own

    def count_metric(
        self, delta: int, labels: Labels, column: int, amount: int, *, costless: bool = False
    ) -> None:
        """Note what the sender's own metrics tell, and by how much the fuller account grows.

        `costless` are tokens of which the sender's metrics never state a cost.
        """
        accounts = self.memory.accounts
        self.entries.changes.append((delta, column, amount))
        place = PLACES_TOLD[column]
        self._count(delta, COUNTED[place], accounts.take_metric(place, labels, amount))
        if costless:
            accounts.take_costless(labels, amount)
            self._settle_costless(labels)

    def latency_in(self, dimensions: Dimensions, place: int, duration_ms: int, sign: int) -> None:
        """Count a duration in a series of the session, or (sign -1) take it back."""
        self.latency(self.reach_other(dimensions, place), duration_ms, sign)

    def latency(self, delta: int, duration_ms: int, sign: int = 1) -> None:
        """Count a duration in a delta, or (sign -1) take it back."""
        entries = self.entries
        entries.note(delta, (LATENCY_SUM_MS, LATENCY_COUNT), (sign * duration_ms, sign))
        entries.durations.append((delta, bucket_of(duration_ms), sign))

    def place_at(self, at_ms: int) -> int:
        """Return the place of another moment, as open windows are by now."""
        return self._times.place_at(self.number, at_ms)

    def _count(self, delta: int, column: int, changes: Changes) -> None:
        for labels, amount in changes:
            where = delta if labels is None else self._reach_here(labels)
            self.entries.changes.append((where, column, amount))

    def _settle_costless(self, labels: Labels) -> None:
        for to, amount in self.memory.accounts.settle_costless(labels):
            where = self._reach_here(labels if to is None else to)
            self.entries.changes.append((where, UNPRICED_TOKENS, amount))

    def _reach_here(self, labels: Labels) -> int:
        """Return the number of the delta of other labels where the event is counted."""
        return self.reach_other((self.memory.project, self.memory.agent, *labels), self.place)

    def _add(
        self, columns: tuple[int, ...], place: int, dimensions: Dimensions, amounts: Sequence[int]
    ) -> None:
        if any(amounts):
            delta = self.reach_other(dimensions, place)
            self.count(delta, dimensions[2:], columns, amounts)

    def _discount(
        self, columns: tuple[int, ...], place: int, dimensions: Dimensions, amounts: Sequence[int]
    ) -> None:
        """Let the sender's own metrics tell less (or more) of what is another session's."""
        accounts = self.memory.accounts
        for column, amount in zip(columns, amounts, strict=False):
            measure = PLACES.get(column)
            if not amount or measure is None:
                continue
            changes = accounts.take_metric(measure, dimensions[2:], amount)
            if changes:
                self._count(self.reach_other(dimensions, place), column, changes)

    def _turn(self, lane: SessionAccumulator, place: int) -> None:
        """Open a delta in this batch for a lane in a place."""
        if lane.step != self._cells.cardinality.step:
            self.memory.lanes.place(lane, self._cells)
        if lane.place != place or not lane.lasting:
            lane.place = place
            rows, lane.lasting = self._cells.reach(place, lane.pair)
            rows.append(self.memory.totals.row)
            lane.rows = rows
        lane.batch = self.batch
        lane.delta = self.entries.open(lane.rows)
        if lane.limited:
            self.entries.limited.append((lane.delta, self.memory.key[0], lane.limited))
