"""Many sums side by side: a row for whatever is counted, a column for each of `rows.MEASURES`.

Kept as one matrix of 64-bit integers, so that what a batch adds is added in a few operations over
all of it. An integer of the matrix must never overflow, so it takes amounts up to `AMOUNT_MAX` only
and hands on what has come beyond `HALF_MAX`; what is larger is kept aside, exactly, for the few
rows that have it. Read back, sums saturate at what a column of 64 bits in the store holds.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics.measures.columns import COLUMN_COUNT, SUM_MAX, Sums

AMOUNT_MAX: Final = 2**38
"""The largest amount, either sign, that the matrix takes: 2²⁴ of them in one batch are no harm."""
HALF_MAX: Final = 2**62
"""So far an integer of the matrix may have come when a batch begins."""
_ROWS_MIN: Final = 256

Integers = NDArray[np.int64]


class AccumulatorTable:
    """Rows of sums."""

    def __init__(self) -> None:
        self._sums: Integers = np.zeros((_ROWS_MIN, COLUMN_COUNT), np.int64)
        self._free: list[int] = list(range(_ROWS_MIN - 1, -1, -1))
        self._aside: dict[int, dict[int, int]] = {}
        """Sums by row and column that are to be added to the matrix's."""

    @property
    def row_count(self) -> int:
        """How many rows are taken."""
        return len(self._sums) - len(self._free)

    def take(self) -> int:
        """Return a row of nothing, to be released at some time."""
        if not self._free:
            had = len(self._sums)
            self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._free = list(range(2 * had - 1, had - 1, -1))
        return self._free.pop()

    def release(self, rows: Sequence[int]) -> None:
        """Give rows back."""
        if rows:
            self._sums[rows] = 0
            self._free += rows
            if self._aside:
                for row in rows:
                    self._aside.pop(row, None)

    def set(self, row: int, sums: Sums) -> None:
        """Let a row hold these sums."""
        self._sums[row] = sums
        self._hand_on(np.array([row]))

    def add(self, rows: Integers, sums: Integers) -> None:
        """Add to rows, each named once."""
        self._sums[rows] += sums
        self._hand_on(rows)

    def add_aside(self, row: int, column: int, amount: int) -> None:
        """Add an amount of any size to one sum."""
        aside = self._aside.setdefault(row, {})
        aside[column] = aside.get(column, 0) + amount

    def read(self, rows: Sequence[int]) -> list[Sums]:
        """Return the sums of rows."""
        if not rows:
            return []
        found: list[Sums] = self._sums[rows].tolist()
        if self._aside:
            for row, sums in zip(rows, found, strict=True):
                for column, amount in self._aside.get(row, {}).items():
                    sums[column] = max(-SUM_MAX, min(SUM_MAX, sums[column] + amount))
        return found

    def _hand_on(self, rows: Integers) -> None:
        """Set aside what has come so far that another batch might make it overflow."""
        touched = self._sums[rows]
        if touched.size and (touched.max() > HALF_MAX or touched.min() < -HALF_MAX):
            for place, column in np.argwhere((touched > HALF_MAX) | (touched < -HALF_MAX)).tolist():
                row = int(rows[place])
                self.add_aside(row, column, int(self._sums[row, column]))
                self._sums[row, column] = 0
