"""What the events of a batch add to the sums, noted down while they are read, added up at its end.

A *delta* stands for one series of one session in one place, and for all rows of the
`AccumulatorTable` that are counted there. Each event notes the number of its delta and its amounts,
as plain integers in lists. The lists are added up as whole columns: first by delta, then by row.
Sums are exact whatever their order, so the same events in any batches come to the same.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import numpy as np

from analytics.contracts.ids import TenantId
from analytics.measures.accumulator_table import AMOUNT_MAX, AccumulatorTable, Integers
from analytics.measures.columns import (
    ACTIVE_MS,
    CACHE_READ_TOKENS,
    CACHE_WRITE_TOKENS,
    CALLS,
    COLUMN_COUNT,
    COST_ESTIMATED_NANOUSD,
    COST_NANOUSD,
    EVENTS,
    INPUT_TOKENS,
    LATENCY_COUNT,
    LATENCY_SUM_MS,
    LINES_ADDED,
    LINES_REMOVED,
    OUTPUT_TOKENS,
    TOOL_CALLS,
    TOOL_ERRORS,
)
from analytics.measures.rows import Limited

ANSWER_COLUMNS: Final = (
    CALLS, INPUT_TOKENS, OUTPUT_TOKENS, CACHE_READ_TOKENS, CACHE_WRITE_TOKENS, COST_NANOUSD,
    COST_ESTIMATED_NANOUSD, LATENCY_SUM_MS, LATENCY_COUNT,
)  # fmt: skip
"""What follows the delta in an entry of an answered request."""

CALL_COLUMNS: Final = (TOOL_CALLS, TOOL_ERRORS, LINES_ADDED, LINES_REMOVED)
"""What follows the delta in an entry of a finished tool call."""

_BUCKET_BITS: Final = 17
_BUCKET_OFFSET: Final = 1 << 15

Answer = tuple[int, int, int, int, int, int, int, int, int, int]
Call = tuple[int, int, int, int, int]


class Entries:
    """What has been noted since the batch began."""

    __slots__ = (
        "active_ms", "answers", "calls", "changes", "durations", "events", "limited", "reached",
    )  # fmt: skip

    def __init__(self) -> None:
        self.reached: list[Sequence[int]] = []
        """The rows of each delta."""
        self.limited: list[tuple[int, TenantId, tuple[str, ...]]] = []
        """The deltas that met limits of their tenant, and which."""
        self.events: list[int] = []
        """The delta of each event."""
        self.active_ms: list[int] = []
        """What each event adds to the time of work, in the same order."""
        self.answers: list[Answer] = []
        self.calls: list[Call] = []
        self.changes: list[tuple[int, int, int]] = []
        """Delta, column and amount of whatever else is added."""
        self.durations: list[tuple[int, int, int]] = []
        """Delta and bucket of each duration, and whether it comes (1) or goes (-1)."""

    def open(self, rows: Sequence[int]) -> int:
        """Return the number of a delta that reaches these rows."""
        self.reached.append(rows)
        return len(self.reached) - 1

    def note(self, delta: int, columns: Sequence[int], amounts: Sequence[int]) -> None:
        """Note amounts of any size, each for its column."""
        self.changes += [
            (delta, column, amount)
            for column, amount in zip(columns, amounts, strict=True)
            if amount
        ]

    def post(self, sheet: AccumulatorTable) -> list[int]:
        """Add everything noted to the sheet; return the rows that were reached."""
        if not self.reached:
            return []
        deltas = self._by_delta(sheet)
        rows, owners = self._spread(range(len(self.reached)))
        order, starts = _grouped(rows)
        reached = rows[order[starts]]
        sheet.add(reached, np.add.reduceat(deltas[owners[order]], starts, axis=0))
        found: list[int] = reached.tolist()
        return found

    def limited_events(self) -> tuple[Limited, ...]:
        """Return how many events of which tenant met which limit."""
        if not self.limited:
            return ()
        counts = np.bincount(_integers(self.events, len(self.events)), minlength=len(self.reached))
        met: dict[tuple[TenantId, str], int] = {}
        for delta, tenant, dimensions in self.limited:
            for dimension in dimensions:
                met[tenant, dimension] = met.get((tenant, dimension), 0) + int(counts[delta])
        return tuple(Limited(*one, events) for one, events in sorted(met.items()) if events)

    def durations_by_row(self) -> Iterable[tuple[int, int, int]]:
        """Return row, bucket and count of all durations noted."""
        if not self.durations:
            return ()
        noted = _integers(chain.from_iterable(self.durations), 3 * len(self.durations))
        deltas, buckets, signs = noted.reshape(-1, 3).T
        rows, owners = self._spread(deltas.tolist())
        keys = (rows << _BUCKET_BITS) + (buckets[owners] + _BUCKET_OFFSET)
        order, starts = _grouped(keys)
        found = keys[order[starts]]
        counts = np.add.reduceat(signs[owners[order]], starts)
        buckets = (found & ((1 << _BUCKET_BITS) - 1)) - _BUCKET_OFFSET
        return zip((found >> _BUCKET_BITS).tolist(), buckets.tolist(), counts.tolist(), strict=True)

    def _spread(self, deltas: Sequence[int]) -> tuple[Integers, Integers]:
        """Return all rows that some deltas reach, and which of these deltas each is of."""
        lists = [self.reached[delta] for delta in deltas]
        counts = _integers(map(len, lists), len(lists))
        rows = _integers(chain.from_iterable(lists), int(counts.sum()))
        return rows, np.repeat(np.arange(len(lists)), counts)

    def _by_delta(self, sheet: AccumulatorTable) -> Integers:
        deltas = np.zeros((len(self.reached), COLUMN_COUNT), np.int64)
        flat = deltas.reshape(-1)
        events = _integers(self.events, len(self.events)) * COLUMN_COUNT
        np.add.at(flat, events + EVENTS, 1)
        np.add.at(flat, events + ACTIVE_MS, _integers(self.active_ms, len(self.active_ms)))
        _post(flat, self.answers, _ANSWER_PLACES)
        _post(flat, self.calls, _CALL_PLACES)
        moderate: list[int] = []
        for delta, column, amount in self.changes:
            if -AMOUNT_MAX <= amount <= AMOUNT_MAX:
                moderate += (delta * COLUMN_COUNT + column, amount)
            else:
                for row in self.reached[delta]:
                    sheet.add_aside(row, column, amount)
        places, amounts = _integers(moderate, len(moderate)).reshape(-1, 2).T
        np.add.at(flat, places, amounts)
        return deltas


_ANSWER_PLACES: Final = np.array(ANSWER_COLUMNS)
_CALL_PLACES: Final = np.array(CALL_COLUMNS)


def _integers(numbers: Iterable[int], count: int) -> Integers:
    return np.fromiter(numbers, np.int64, count)


def _grouped(keys: Integers) -> tuple[Integers, Integers]:
    """Return the order that sorts keys, and where in it each key is met first."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.empty(len(keys), np.bool_)
    is_first[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return order, np.flatnonzero(is_first)


def _post(flat: Integers, entries: Sequence[tuple[int, ...]], columns: Integers) -> None:
    """Add entries of a delta and an amount for each of some columns."""
    if entries:
        width = len(columns) + 1
        noted = _integers(chain.from_iterable(entries), width * len(entries)).reshape(-1, width)
        places = noted[:, :1] * COLUMN_COUNT + columns
        np.add.at(flat, places.reshape(-1), noted[:, 1:].reshape(-1))
