"""One event on its way into the sums: where it goes, and what its handler says of its session.

A `Step` is made once a batch and set anew for each event, so that the hot path makes no value of
its own. Sums go to the deltas of the event's session; a place says which windows they reach.
"""

from analytics.measures.columns import EVENTS, LATENCY_COUNT, LATENCY_SUM_MS, Amounts
from analytics.measures.memory import Counters, Delta, SessionMemory
from analytics.measures.merging import Dimensions
from analytics.measures.prices import PriceTable
from analytics.measures.sessions import Signal
from analytics.measures.sketch import bucket_of
from analytics.windows import tumbling
from analytics.windows.tumbling import NARROWEST_MS, PLACE_SHIFT
from analytics.windows.tumbling import NEWEST_RETENTION_MS as RETENTION_MS

Counted = tuple[Dimensions, tuple[int, ...]]
"""A series and what a fact adds to the columns of its kind there."""

Shown = tuple[str, str, int | None, int | None, bool]
"""model, tool, duration, cost and failure, as columns of the raw row."""


class Step:
    """The event at hand."""

    memory: SessionMemory
    """The memory of the event's session."""

    __slots__ = (
        "agent",
        "apart",
        "attention",
        "counters",
        "current",
        "is_late",
        "memory",
        "place",
        "prices",
        "project",
        "received_ms",
        "repeats_max",
        "signal",
        "watermark_ms",
        "when_ms",
    )

    def __init__(self, prices: PriceTable, counters: Counters, *, repeats_max: int) -> None:
        self.prices = prices
        self.counters = counters
        self.repeats_max = repeats_max
        self.when_ms = self.received_ms = self.watermark_ms = self.place = 0
        self.apart = self.is_late = False
        self.project = self.agent = self.attention = ""
        self.signal: Signal | None = None
        self.current = Delta()

    def begin(
        self, memory: SessionMemory, when_ms: int, received_ms: int, mark_ms: int, *, apart: bool
    ) -> None:
        """Take up an event of the session that `memory` remembers."""
        self.memory = memory
        self.when_ms = when_ms
        self.received_ms = received_ms
        self.watermark_ms = mark_ms
        self.apart = apart
        self.signal = None
        self.attention = ""
        start_ms = when_ms - when_ms % NARROWEST_MS
        if apart or start_ms + NARROWEST_MS <= mark_ms or received_ms - when_ms > RETENTION_MS:
            self.place = self.place_at(when_ms)
            self.is_late = not apart and tumbling.is_late(self.place)
        else:
            self.place = start_ms << PLACE_SHIFT
            self.is_late = False

    def events(self, model: str, tool: str, skill: str, query_source: str) -> Amounts:
        """Count the event itself; return the sums of its series, to add more to."""
        key = (self.place, self.project, self.agent, model, tool, skill, query_source)
        deltas = self.memory.deltas
        try:
            delta = deltas[key]
        except KeyError:
            delta = deltas[key] = Delta()
        self.current = delta
        sums = delta.sums
        sums[EVENTS] += 1
        return sums

    def latency(self, duration_ms: int) -> None:
        """Count a duration in the series that the event itself is counted in."""
        delta = self.current
        delta.sums[LATENCY_SUM_MS] += duration_ms
        delta.sums[LATENCY_COUNT] += 1
        bucket = bucket_of(duration_ms)
        delta.latency[bucket] = delta.latency.get(bucket, 0) + 1

    def delta(self, dimensions: Dimensions, place: int) -> Delta:
        """Return what the batch adds to a series of the session in a place."""
        deltas = self.memory.deltas
        key = (place, *dimensions)
        if key not in deltas:
            deltas[key] = Delta()
        return deltas[key]

    def change(self, columns: tuple[int, ...], place: int, before: Counted, after: Counted) -> None:
        """Count the difference that a merge made, moving sums whose series changed."""
        if before == after:
            return
        taken = self.delta(before[0], place).sums
        given = self.delta(after[0], place).sums
        for column, old, new in zip(columns, before[1], after[1], strict=True):
            taken[column] -= old
            given[column] += new

    def latency_in(self, dimensions: Dimensions, place: int, duration_ms: int, sign: int) -> None:
        """Count a duration in a series of the session, or (sign -1) take it back."""
        delta = self.delta(dimensions, place)
        delta.sums[LATENCY_SUM_MS] += sign * duration_ms
        delta.sums[LATENCY_COUNT] += sign
        bucket = bucket_of(duration_ms)
        delta.latency[bucket] = delta.latency.get(bucket, 0) + sign

    def place_at(self, at_ms: int) -> int:
        """Return the place of another moment, as open windows are by now."""
        return tumbling.place_of(
            at_ms,
            received_ms=self.received_ms,
            watermark_ms=self.watermark_ms,
            apart=self.apart,
        )
