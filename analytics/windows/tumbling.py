"""Tumbling windows over event time: `[start_ms, start_ms + width_ms)`, aligned to the epoch.

A window is closed once the watermark has reached its end, and never opens again: what comes later
is counted apart. Widths divide one another, so a moment's narrowest window says in which wider ones
it lies, and a `WindowPlace` says for all widths at once where a reading goes: how many of them,
from the narrowest, are closed to it, and how many are too narrow to be kept for something so old.

A reading is counted at those of `WIDTHS_MS` that keep it, and wider windows are rolled up from the
widest of them. One too old for that is counted at each of `ROLLED_MS` that keeps it instead.
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from analytics.measures.rows import ROLLED_MS, WIDTHS_MS

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_DAY_MS: Final = 86_400_000
ALL_MS: Final = (*WIDTHS_MS, *ROLLED_MS)
"""Every width that a reading may be counted at, from the narrowest: what a level is an index of."""
RETENTIONS_MS: Final = (7 * _DAY_MS, 30 * _DAY_MS, 90 * _DAY_MS, 365 * _DAY_MS, 1_826 * _DAY_MS)
"""How old a reading may be, on arrival, to be counted at each of `ALL_MS`."""

NARROWEST_MS: Final = WIDTHS_MS[0]
NEWEST_RETENTION_MS: Final = RETENTIONS_MS[0]
WIDTH_COUNT: Final = len(WIDTHS_MS)
"""How many widths, from the narrowest, the stream folds; wider ones are never open."""

_LEVEL_BITS: Final = 3
_LEVEL_MASK: Final = (1 << _LEVEL_BITS) - 1
PLACE_SHIFT: Final = 2 * _LEVEL_BITS
"""A place whose windows are all open and kept is its narrowest start, shifted by this."""


class WindowPlace(Struct, frozen=True):
    """Where a reading goes, spelled out."""

    start_ms: int
    """The start of its narrowest window."""
    closed_count: int
    """So many widths, from the narrowest, are closed to it."""
    skipped_count: int
    """So many of `ALL_MS`, from the narrowest, no longer keep anything so old."""

    @property
    def levels(self) -> range:
        """The indices in `ALL_MS` of the widths that the reading is counted at."""
        return _LEVELS[self.skipped_count]

    def is_apart(self, level: int) -> bool:
        """Say whether the reading goes to a row apart at this level."""
        return level < self.closed_count or level >= WIDTH_COUNT


_LEVELS: Final = tuple(
    range(skipped, WIDTH_COUNT if skipped < WIDTH_COUNT else len(ALL_MS))
    for skipped in range(len(ALL_MS) + 1)
)


def start_of(at_ms: int, width_ms: int) -> int:
    """Return the start of the window of `width_ms` in which `at_ms` lies."""
    return at_ms - at_ms % width_ms


def is_closed(start_ms: int, width_ms: int, *, watermark_ms: int) -> bool:
    """Say whether the watermark has reached the window's end."""
    return start_ms + width_ms <= watermark_ms


def place_of(at_ms: int, *, received_ms: int, watermark_ms: int, apart: bool) -> int:
    """Return the place of a reading as one number, to be read with `place`.

    `apart` is for readings that must not touch open windows, such as imported ones.
    """
    closed = WIDTH_COUNT if apart else _closed_count(at_ms, watermark_ms)
    age_ms = received_ms - at_ms
    skipped = sum(age_ms > retention_ms for retention_ms in RETENTIONS_MS)
    return (at_ms - at_ms % NARROWEST_MS) << PLACE_SHIFT | closed << _LEVEL_BITS | skipped


def passes_an_end(before_ms: int, watermark_ms: int) -> bool:
    """Say whether a watermark that rose from `before_ms` has reached the end of a window."""
    return watermark_ms // NARROWEST_MS > before_ms // NARROWEST_MS


def places_of(
    at_ms: Integers, *, received_ms: Integers, watermarks_ms: Integers, apart: Flags
) -> Integers:
    """Return the places of many readings, each as `place_of` does."""
    closed = np.zeros_like(at_ms)
    for width_ms in WIDTHS_MS:
        closed += at_ms - at_ms % width_ms + width_ms <= watermarks_ms
    closed[apart] = WIDTH_COUNT
    age_ms = received_ms - at_ms
    skipped = np.zeros_like(at_ms)
    for retention_ms in RETENTIONS_MS:
        skipped += age_ms > retention_ms
    return (at_ms - at_ms % NARROWEST_MS) << PLACE_SHIFT | closed << _LEVEL_BITS | skipped


def are_late(numbers: Integers) -> Flags:
    """Say of many places whether their narrowest window is closed."""
    late: Flags = np.not_equal(numbers & (_LEVEL_MASK << _LEVEL_BITS), 0)
    return late


def place(number: int) -> WindowPlace:
    """Return what a place's number says."""
    return WindowPlace(
        number >> PLACE_SHIFT, (number >> _LEVEL_BITS) & _LEVEL_MASK, number & _LEVEL_MASK
    )


def is_open(number: int) -> bool:
    """Say whether a place's windows are all open and all kept."""
    return not number & ((1 << PLACE_SHIFT) - 1)


def is_late(number: int) -> bool:
    """Say whether a place's narrowest window is closed."""
    return bool(number & (_LEVEL_MASK << _LEVEL_BITS))


def _closed_count(at_ms: int, watermark_ms: int) -> int:
    closed = 0
    for width_ms in WIDTHS_MS:
        if at_ms - at_ms % width_ms + width_ms > watermark_ms:
            break
        closed += 1
    return closed
