"""One event on its way into the sums: where it goes, and what its handler says of its session.

A `Step` is made once a run of events and set anew for each, so that the hot path makes no value of
its own. A handler asks once which delta the event is counted in (`reach`) and notes in `entries`
what it adds there; what every event adds, whatever its type, is noted by the fold.
"""

from collections.abc import Sequence

from msgspec import Struct

from analytics.measures.cells import Cells
from analytics.measures.columns import LATENCY_COUNT, LATENCY_SUM_MS
from analytics.measures.entries import Entries
from analytics.measures.lanes import Lane
from analytics.measures.memory import Counters, SessionMemory
from analytics.measures.merging import Dimensions
from analytics.measures.prices import PriceTable
from analytics.measures.sessions import Signal
from analytics.measures.sketch import bucket_of
from analytics.measures.times import Times

Counted = tuple[Dimensions, tuple[int, ...]]
"""A series and what a fact adds to the columns of its kind there."""

Told = tuple[int, Signal | None, str, str, int | None, int | None, bool]
"""What a handler says of an event: its delta and signal; then model, tool, duration, cost and
failure, as columns of the raw row."""


class StepRules(Struct, frozen=True):
    """What is the same for all events of a batch."""

    prices: PriceTable
    counters: Counters
    batch: int
    """The number of the batch: none before had it."""
    repeats_max: int


class Step:
    """The event at hand."""

    memory: SessionMemory
    """The memory of the event's session."""

    __slots__ = (
        "_cells",
        "_times",
        "attention",
        "batch",
        "counters",
        "entries",
        "memory",
        "number",
        "place",
        "prices",
        "repeats_max",
        "when_ms",
    )

    def __init__(self, cells: Cells, times: Times, entries: Entries, rules: StepRules) -> None:
        self.prices = rules.prices
        self.counters = rules.counters
        self.batch = rules.batch
        self.repeats_max = rules.repeats_max
        self.entries = entries
        self.number = self.when_ms = self.place = 0
        """Which of the run's arrivals it is, when it happened and where it goes."""
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
            lane = memory.lanes.find(memory.project, memory.agent, labels, self._cells)
        if lane.batch != self.batch or lane.place != self.place:
            self._turn(lane, self.place)
        return lane.delta

    def reach_other(self, dimensions: Dimensions, place: int) -> int:
        """Return the number of the delta of another series of the session, in another place."""
        project, agent, *_ = dimensions
        lane = self.memory.lanes.find(project, agent, dimensions[2:], self._cells)
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

    def _add(
        self, columns: tuple[int, ...], place: int, dimensions: Dimensions, amounts: Sequence[int]
    ) -> None:
        if any(amounts):
            self.entries.note(self.reach_other(dimensions, place), columns, amounts)

    def _turn(self, lane: Lane, place: int) -> None:
        """Open a delta in this batch for a lane in a place."""
        if lane.place != place or not lane.lasting:
            lane.place = place
            rows, lane.lasting = self._cells.reach(place, lane.pair)
            rows.append(self.memory.totals.row)
            lane.rows = rows
        lane.batch = self.batch
        lane.delta = self.entries.open(lane.rows)
