"""Tumbling windows by key over columns: counts, and sums and sketches of a value, in event time.

A batch of readings comes as columns and is folded by column, so that a reading costs a fraction of
a microsecond. It promises what the fold of sessions promises (`analytics.measures.fold`):

- a reading counts once at every width that still keeps it, in the window of its event time;
- the watermark is the newest event time less the lateness, and moves reading by reading: whether a
  reading is late does not depend on how readings are cut into batches;
- a closed window never opens again: late readings are counted, and go into panes apart, to be
  written beside the others; whoever reads adds up the panes of one key and window;
- panes are absolute and replace what was written of the same window before; the same readings in
  any batching give the same closed panes, to the byte;
- the state is the open panes and the watermark, and is restored from panes as they were written.

A pane is what one key's readings over one window come to (the word is the Dataflow model's, Akidau
et al., VLDB 2015). A window holds its buckets as two sorted columns, codes (row of the key, then
bucket) and counts: 16 bytes a bucket that is not empty, and sketches are slices of them. Open panes
have a limit: beyond it further keys go into panes apart of each batch, which cost the store more
and change no sum.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final, Generic, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from analytics.measures.buckets import Ints, buckets_of, sketches
from analytics.measures.sketch import from_bytes

K = TypeVar("K", bound=Hashable)

NO_VALUE: Final = -1
"""In a column of values: this reading has none and is only counted."""
VALUE_MAX: Final = 2**35
"""What a larger value counts as: a year of ms. The sum of 2**18 is still exact as a float."""
FOREVER_MS: Final = 2**62

_BUCKET_BITS: Final = 16
_BUCKET_OFFSET: Final = 1 << (_BUCKET_BITS - 1)
_BUCKET_MASK: Final = (1 << _BUCKET_BITS) - 1


class Width(Struct, frozen=True):
    """A window width, and how old a reading may be, on arrival, to be counted at it."""

    width_ms: int
    kept_ms: int = FOREVER_MS


class WindowSpec(Struct, frozen=True, kw_only=True):
    """Which windows there are, how long they wait and how many may be open."""

    widths: tuple[Width, ...]
    """From the narrowest, each kept at least as long as the one before."""
    rolled: tuple[Width, ...] = ()
    """Wider ones that take, apart, what is too old for all of `widths`."""
    lateness_ms: int
    future_skew_ms: int = FOREVER_MS
    """How far an event time may be ahead of its arrival before it is held back."""
    panes_max: int = 200_000


class KeyedBatch(Struct, Generic[K], frozen=True):
    """A batch as columns of one length."""

    keys: Sequence[K]
    at_ms: Sequence[int]
    received_ms: Sequence[int]
    values: Sequence[int]


class Pane(Struct, Generic[K], frozen=True, gc=False):
    """What the readings of one key over one window come to."""

    key: K
    width_ms: int
    start_ms: int
    count: int
    value_count: int
    value_sum: int
    sketch: bytes


class Panes(Struct, Generic[K], frozen=True):
    """What is to be written after a batch."""

    open: list[Pane[K]]
    """Those that changed, of windows that are open."""
    closed: list[Pane[K]]
    """All of windows that the watermark closed; they never come again."""
    apart: list[Pane[K]]
    """What the batch adds to windows that are closed or cannot be open."""


class KeyedWindows(Generic[K]):
    """The open windows of one partition."""

    def __init__(
        self, spec: WindowSpec, *, watermark_ms: int = 0, restored: Iterable[Pane[K]] = ()
    ) -> None:
        self.watermark_ms = watermark_ms
        """How far event time has come; may be moved on by whoever sees that time passes."""
        self.late_count = 0
        """Readings, so far, whose narrowest window was closed to them."""
        self.spilled_count = 0
        """Panes apart, so far, for want of room among the open ones."""
        self._spec = spec
        self._open: dict[int, dict[int, _Window[K]]] = {one.width_ms: {} for one in spec.widths}
        self._apart: dict[tuple[int, int], _Window[K]] = {}
        for pane in restored:
            self._window(pane.width_ms, pane.start_ms).restore(pane)

    @property
    def open_count(self) -> int:
        """How many panes are open."""
        return sum(
            len(window.keys) for windows in self._open.values() for window in windows.values()
        )

    def add(self, readings: KeyedBatch[K]) -> None:
        """Count a batch of readings, in the order in which they came."""
        if not readings.keys:
            return
        batch = _Batch(readings, self._spec.future_skew_ms)
        newest = np.maximum.accumulate(batch.when_ms) - self._spec.lateness_ms
        marks = np.maximum(newest, self.watermark_ms)
        self.watermark_ms = int(marks[-1])
        self._spread(batch, marks)

    def add_apart(self, readings: KeyedBatch[K]) -> None:
        """Count readings apart, whatever is open: they do not tell how far event time is."""
        if readings.keys:
            batch = _Batch(readings, self._spec.future_skew_ms)
            self._spread(batch, None)

    def take(self) -> Panes[K]:
        """Return what is to be written by now, and begin anew."""
        closed = [pane for window in self._closing() for pane in window.panes(all_rows=True)]
        changed = [
            pane
            for windows in self._open.values()
            for window in windows.values()
            for pane in window.panes(all_rows=False)
        ]
        apart = [pane for window in self._apart.values() for pane in window.panes(all_rows=True)]
        self._apart = {}
        return Panes(changed, closed, apart)

    def _spread(self, batch: "_Batch[K]", marks: Ints | None) -> None:
        """Add a batch to the windows of each width; without marks, all of it apart."""
        age_ms = batch.received_ms - batch.when_ms
        oldest_ms = int(age_ms.max())
        for level, width in enumerate(self._spec.widths):
            starts = batch.when_ms - batch.when_ms % width.width_ms
            late = starts + width.width_ms <= marks if marks is not None else starts >= 0
            if level == 0 and marks is not None:
                self.late_count += int(late.sum())
            kept = age_ms <= width.kept_ms
            for start_ms, chosen in _runs(starts, kept & ~late):
                window = self._window(width.width_ms, start_ms)
                spilled = window.add(batch, chosen, room=self._spec.panes_max - self.open_count)
                if spilled.size:
                    self.spilled_count += self._put_apart(batch, spilled, width.width_ms, start_ms)
            for start_ms, chosen in _runs(starts, kept & late):
                self._put_apart(batch, chosen, width.width_ms, start_ms)
        if self._spec.rolled and oldest_ms > self._spec.widths[-1].kept_ms:
            self._roll(batch, age_ms)

    def _roll(self, batch: "_Batch[K]", age_ms: Ints) -> None:
        """Count apart, at the wider widths, what is too old for the others."""
        old = age_ms > self._spec.widths[-1].kept_ms
        for width in self._spec.rolled:
            starts = batch.when_ms - batch.when_ms % width.width_ms
            for start_ms, chosen in _runs(starts, old & (age_ms <= width.kept_ms)):
                self._put_apart(batch, chosen, width.width_ms, start_ms)

    def _put_apart(self, batch: "_Batch[K]", chosen: Ints, width_ms: int, start_ms: int) -> int:
        window = self._apart.get((width_ms, start_ms))
        if window is None:
            window = self._apart[width_ms, start_ms] = _Window(width_ms, start_ms)
        before = len(window.keys)
        window.add(batch, chosen, room=len(batch.keys))
        return len(window.keys) - before

    def _window(self, width_ms: int, start_ms: int) -> "_Window[K]":
        windows = self._open[width_ms]
        window = windows.get(start_ms)
        if window is None:
            window = windows[start_ms] = _Window(width_ms, start_ms)
        return window

    def _closing(self) -> Iterator["_Window[K]"]:
        for width_ms, windows in self._open.items():
            ended = [start for start in windows if start + width_ms <= self.watermark_ms]
            for start_ms in sorted(ended):
                yield windows.pop(start_ms)


class _Batch(Generic[K]):
    """The columns of a batch, its keys numbered in the order in which they come."""

    def __init__(self, readings: KeyedBatch[K], future_skew_ms: int) -> None:
        numbers = _Numbers[K]()
        self.numbers = np.array([numbers[key] for key in readings.keys], np.int64)
        self.keys = list(numbers)
        self.received_ms = np.array(readings.received_ms, np.int64)
        self.when_ms = np.minimum(
            np.array(readings.at_ms, np.int64), self.received_ms + future_skew_ms
        )
        values = np.minimum(np.array(readings.values, np.int64), VALUE_MAX)
        self.has_value = values >= 0
        self.all_valued = bool(self.has_value.all())
        self.values = values if self.all_valued else np.maximum(values, 0)
        self.codes = buckets_of(self.values) + _BUCKET_OFFSET


class _Numbers(dict[K, int]):
    """Numbers things as they are asked for."""

    def __missing__(self, key: K) -> int:
        number = self[key] = len(self)
        return number


class _Window(Generic[K]):
    """One window: a row a key, and the buckets of all rows as sorted columns."""

    def __init__(self, width_ms: int, start_ms: int) -> None:
        self.width_ms = width_ms
        self.start_ms = start_ms
        self.keys: list[K] = []
        self._row_of: dict[K, int] = {}
        self._sums = np.zeros((_COLUMNS, 0), np.int64)
        self._changed = np.zeros(0, np.bool_)
        self._codes = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)

    def add(self, batch: _Batch[K], chosen: Ints, *, room: int) -> Ints:
        """Count what is chosen of a batch; return what of it has a key for which is no room."""
        numbers = batch.numbers[chosen]
        rows = self._rows(batch, numbers, room)
        spilled = chosen[rows < 0]
        if spilled.size:
            chosen, rows = chosen[rows >= 0], rows[rows >= 0]
        added = np.bincount(rows, minlength=self._changed.size)
        self._sums[_COUNT] += added
        self._changed |= added > 0
        if not batch.all_valued:
            valued = batch.has_value[chosen]
            chosen, rows = chosen[valued], rows[valued]
            added = np.bincount(rows, minlength=self._changed.size)
        self._sums[_VALUE_COUNT] += added
        summed = np.bincount(rows, weights=batch.values[chosen], minlength=self._changed.size)
        self._sums[_VALUE_SUM] += summed.astype(np.int64)
        codes = rows << _BUCKET_BITS | batch.codes[chosen]
        self._count(*np.unique(codes, return_counts=True))
        return spilled

    def restore(self, pane: Pane[K]) -> None:
        """Take up a pane as it was written."""
        row = self._row(pane.key)
        self._sums[:, row] += (pane.count, pane.value_count, pane.value_sum)
        counts = sorted(from_bytes(pane.sketch).items())
        codes = [row << _BUCKET_BITS | bucket + _BUCKET_OFFSET for bucket, _ in counts]
        self._count(np.array(codes, np.int64), np.array([count for _, count in counts], np.int64))

    def panes(self, *, all_rows: bool) -> list[Pane[K]]:
        """Return the panes that changed since the last time, or all; they count as written."""
        rows = np.arange(len(self.keys)) if all_rows else np.flatnonzero(self._changed)
        if not rows.size:
            return []
        codes, counts = self._codes, self._counts
        if rows.size < len(self.keys):
            wanted = np.zeros(len(self.keys), np.bool_)
            wanted[rows] = True
            among = wanted[codes >> _BUCKET_BITS]
            codes, counts = codes[among], counts[among]
        ends = np.searchsorted(codes, (rows + 1) << _BUCKET_BITS)
        columns = (
            [self.keys[row] for row in rows.tolist()],
            repeat(self.width_ms),
            repeat(self.start_ms),
            *self._sums[:, rows].tolist(),
            sketches((codes & _BUCKET_MASK) - _BUCKET_OFFSET, counts, ends),
        )
        self._changed[:] = False
        return list(map(Pane, *columns))

    def _rows(self, batch: _Batch[K], numbers: Ints, room: int) -> Ints:
        """Return the row of each number's key, or -1 where there is no room for another."""
        present = np.flatnonzero(np.bincount(numbers))
        keys = [batch.keys[number] for number in present.tolist()]
        found = list(map(self._row_of.get, keys))
        for place, row in enumerate(found):
            if row is None and room > 0:
                room -= 1
                found[place] = self._row(keys[place])
        row_of = np.empty(len(batch.keys), np.int64)
        row_of[present] = [-1 if row is None else row for row in found]
        rows: Ints = row_of[numbers]
        return rows

    def _row(self, key: K) -> int:
        """Return a row for a key that has none."""
        row = self._row_of[key] = len(self.keys)
        self.keys.append(key)
        if row >= self._changed.size:
            size = max(_ROWS_MIN, 2 * row)
            self._sums = np.concatenate(
                (self._sums, np.zeros((_COLUMNS, size - row), np.int64)), axis=1
            )
            self._changed = np.concatenate((self._changed, np.zeros(size - row, np.bool_)))
        return row

    def _count(self, codes: Ints, counts: Ints) -> None:
        """Add counts to sorted codes, making those that are not there yet."""
        if not self._codes.size:
            self._codes, self._counts = codes, counts
            return
        places = np.searchsorted(self._codes, codes)
        known = self._codes[np.minimum(places, self._codes.size - 1)] == codes
        self._counts[places[known]] += counts[known]
        fresh = np.flatnonzero(~known)
        if fresh.size:
            at = places[fresh] + np.arange(fresh.size)
            self._codes = _inserted(self._codes, at, codes[fresh])
            self._counts = _inserted(self._counts, at, counts[fresh])


_COLUMNS: Final = 3
_COUNT, _VALUE_COUNT, _VALUE_SUM = range(_COLUMNS)
_ROWS_MIN: Final = 16


def _inserted(column: Ints, at: Ints, values: Ints) -> Ints:
    """Return the column with more values, each where it is then to be."""
    more = np.empty(column.size + at.size, np.int64)
    is_old = np.ones(more.size, np.bool_)
    is_old[at] = False
    more[at] = values
    more[is_old] = column
    return more


def _runs(starts: Ints, among: NDArray[np.bool_]) -> Iterator[tuple[int, Ints]]:
    """Yield each start of those among, and the places in the batch that have it, in order."""
    chosen = np.flatnonzero(among)
    if not chosen.size:
        return
    ordered = chosen[np.argsort(starts[chosen], kind="stable")]
    changes = np.flatnonzero(np.diff(starts[ordered])) + 1
    for run in np.split(ordered, changes):
        yield int(starts[run[0]]), run
