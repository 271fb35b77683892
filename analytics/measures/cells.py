"""The windows of one partition that are still open, and the rows that a batch makes of them.

What an event adds reaches two series, the fleet's and the session's own, in each width: open
windows take it into their absolute sums, and windows that are closed to it (late, imported or too
old) get a row of the batch's own. Open cells have a limit: beyond it further series go into rows of
the batch too, which cost the store more and change no sum. What has ended is closed in slices (see
`windows.closing`): an outcome closes no more than its limit, or as much as it writes anyway.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from analytics.measures.accumulator_table import AccumulatorTable
from analytics.measures.cardinality import Cardinality
from analytics.measures.columns import sums_of
from analytics.measures.entries import Entries
from analytics.measures.rows import ON_TIME, WIDTHS_MS, CellKey, CellRow, Measures
from analytics.measures.sketch import Counts, from_bytes, to_bytes
from analytics.windows.closing import Closing
from analytics.windows.tumbling import (
    ALL_MS,
    PLACE_SHIFT,
    WindowPlace,
    is_closed,
    is_open,
    place,
    start_of,
)

KEYS_MAX: Final = 100_000
"""Series that have one value each; beyond it, those least recently used get another one."""
_WIDTHS: Final = tuple(enumerate(WIDTHS_MS))


class Accumulator:
    """Something that is counted: its row of the sheet, and the durations of its requests."""

    __slots__ = ("_packed", "latency", "row")

    def __init__(self, row: int) -> None:
        self.row = row
        self.latency: Counts | None = None
        """How many durations fell into each bucket; None as long as there was none."""
        self._packed = b""
        """The sketch of `latency`, unless that has changed since."""

    def add_durations(self, bucket: int, count: int) -> None:
        """Count durations that fall into `bucket`."""
        latency = self.latency
        if latency is None:
            latency = self.latency = {}
        latency[bucket] = latency.get(bucket, 0) + count
        self._packed = b""

    def sketch(self) -> bytes:
        """Return the durations as the store keeps them."""
        if self.latency is not None and not self._packed:
            self._packed = to_bytes(self.latency)
        return self._packed

    def restore(self, latency: bytes) -> None:
        """Take up the durations that the store holds."""
        self.latency = from_bytes(latency) if latency else None


class Cell(Accumulator):
    """One series over one window."""

    __slots__ = ("is_open", "key", "start_ms", "width_ms")

    def __init__(self, row: int, key: CellKey, level: int, start_ms: int) -> None:
        self.row = row
        self.latency = None
        self._packed = b""
        self.key = key
        self.width_ms = ALL_MS[level]
        self.start_ms = start_ms
        self.is_open = False


Window = tuple[int, int, dict[CellKey, Cell]]
"""Level, start and open cells."""


class Cells:
    """The open cells of a partition, and what the batch at hand did to them."""

    def __init__(
        self,
        open_cells: Iterable[CellRow],
        *,
        open_max: int,
        closing_max: int,
        cardinality: Cardinality,
    ) -> None:
        self.sheet = AccumulatorTable()
        self.cardinality = cardinality
        self.spilled_count = 0
        self._open_max = open_max
        self._closing_max = closing_max
        self._closing: Closing[Cell] = Closing()
        self._open_count = 0
        self._open: tuple[dict[int, dict[CellKey, Cell]], ...] = tuple({} for _ in WIDTHS_MS)
        self._keys: dict[CellKey, CellKey] = {}
        self._former_keys: dict[CellKey, CellKey] = {}
        """Those of before the last of the widest windows ended."""
        self._windows: dict[int, tuple[Window, ...]] = {}
        """The windows of places that were all open when they were last looked for."""
        self._apart: dict[tuple[int, int, CellKey], Cell] = {}
        self._tallies: dict[int, Accumulator] = {}
        """Whatever has a row of the sheet, by that."""
        for written in open_cells:
            self._restore(written)

    @property
    def open_count(self) -> int:
        """How many cells are open, or have ended and are not closed yet."""
        return self._open_count

    @property
    def known_count(self) -> int:
        """How many series have one value each."""
        return len(self._keys.keys() | self._former_keys.keys())

    @property
    def closing_count(self) -> int:
        """How many cells have ended and are not closed yet."""
        return len(self._closing)

    def settled_ms(self, watermark_ms: int) -> int:
        """Return up to when all windows are closed."""
        return self._closing.settled_ms(watermark_ms)

    def known(self, key: CellKey) -> CellKey:
        """Return the one value that stands for a series: to find it again takes a tenth."""
        found = self._keys.get(key)
        if found is None:
            if len(self._keys) >= KEYS_MAX:
                self._age_keys()
            found = self._keys[key] = self._former_keys.get(key, key)
        return found

    def _age_keys(self) -> None:
        """Forget the series that did not come up since this was done last."""
        self._former_keys, self._keys = self._keys, {}

    def tally(self) -> Accumulator:
        """Return something else to count; give it back by `release`."""
        made = Accumulator(self.sheet.take())
        self._tallies[made.row] = made
        return made

    def release(self, tallies: Iterable[Accumulator]) -> None:
        """Count these no longer."""
        rows = [one.row for one in tallies]
        for row in rows:
            del self._tallies[row]
        self.sheet.release(rows)

    def reach(self, number: int, pair: tuple[CellKey, CellKey]) -> tuple[list[int], bool]:
        """Return the rows that readings of a place in two series are added to.

        The rows are the same as long as the place is, if the second value says so; else they are
        the batch's.
        """
        if is_open(number):
            rows = self._reach_open(number, pair)
            if rows is not None:
                return rows, True
        return self._reach_any(place(number), pair)

    def _reach_open(self, number: int, pair: tuple[CellKey, CellKey]) -> list[int] | None:
        """Return the rows of a place whose windows are all open, or None if there are too many."""
        windows = self._windows.get(number)
        if windows is None:
            windows = self._windows[number] = self._windows_of(number >> PLACE_SHIFT)
        rows: list[int] = []
        for level, start_ms, window in windows:
            for key in pair:
                cell = window.get(key)
                if cell is None:
                    if self._open_count >= self._open_max:
                        return None
                    cell = self._opened(window, level, start_ms, key)
                rows.append(cell.row)
        return rows

    def _windows_of(self, at_ms: int) -> tuple[Window, ...]:
        return tuple(
            (level, start, self._open[level].setdefault(start, {}))
            for level, start in ((level, start_of(at_ms, width)) for level, width in _WIDTHS)
        )

    def _reach_any(
        self, where: WindowPlace, pair: tuple[CellKey, CellKey]
    ) -> tuple[list[int], bool]:
        rows: list[int] = []
        lasting = True
        for level in where.levels:
            start_ms = start_of(where.start_ms, ALL_MS[level])
            for key in pair:
                cell = self._cell(level, start_ms, key, where)
                rows.append(cell.row)
                lasting = lasting and cell.is_open
        return rows, lasting

    def rows(
        self, entries: Entries, *, batch_offset: int, watermark_ms: int
    ) -> tuple[tuple[CellRow, ...], tuple[CellRow, ...]]:
        """Return all cells to write, and those of them that are closed now; begin anew."""
        tallies = self._tallies
        reached = entries.post(self.sheet)
        for row, bucket, count in entries.durations_by_row():
            tallies[row].add_durations(bucket, count)
        self._closing.add(self._ended(watermark_ms))
        closing = self._closing.take(max(self._closing_max, len(reached)))
        self._open_count -= len(closing)
        for cell in closing:
            cell.is_open = False
        touched = [
            cell
            for cell in map(tallies.__getitem__, reached)
            if isinstance(cell, Cell) and cell.is_open
        ]
        closed = tuple(self._written(closing, ON_TIME, closed=True))
        apart = list(self._apart.values())
        rows = (
            *self._written(touched, ON_TIME, closed=False),
            *(row for row in self._written(apart, batch_offset, closed=True) if _counts(row)),
            *closed,
        )
        self.release([*closing, *apart])
        if not self._open_count:
            self._keys, self._former_keys = {}, {}
        self._apart = {}
        return rows, closed

    def _written(self, cells: list[Cell], batch_offset: int, *, closed: bool) -> Iterator[CellRow]:
        read = self.sheet.read([cell.row for cell in cells])
        for cell, sums in zip(cells, read, strict=True):
            yield CellRow(
                cell.key,
                cell.width_ms,
                cell.start_ms,
                batch_offset,
                Measures(*sums),
                cell.sketch(),
                closed,
            )

    def _cell(self, level: int, start_ms: int, key: CellKey, where: WindowPlace) -> Cell:
        if where.is_apart(level):
            return self._cell_apart(level, start_ms, key)
        window = self._open[level].setdefault(start_ms, {})
        cell = window.get(key)
        if cell is not None:
            return cell
        if self._open_count >= self._open_max:
            self.spilled_count += (level, start_ms, key) not in self._apart
            return self._cell_apart(level, start_ms, key)
        return self._opened(window, level, start_ms, key)

    def _opened(self, window: dict[CellKey, Cell], level: int, start_ms: int, key: CellKey) -> Cell:
        cell = window[key] = self._new(level, start_ms, key)
        cell.is_open = True
        self._open_count += 1
        return cell

    def _cell_apart(self, level: int, start_ms: int, key: CellKey) -> Cell:
        cell = self._apart.get((level, start_ms, key))
        if cell is None:
            cell = self._apart[level, start_ms, key] = self._new(level, start_ms, key)
        return cell

    def _new(self, level: int, start_ms: int, key: CellKey) -> Cell:
        made = Cell(self.sheet.take(), key, level, start_ms)
        self._tallies[made.row] = made
        return made

    def _ended(self, watermark_ms: int) -> Iterator[Cell]:
        for level, width_ms in _WIDTHS:
            windows = self._open[level]
            for start_ms in sorted(
                start for start in windows if is_closed(start, width_ms, watermark_ms=watermark_ms)
            ):
                self._windows.clear()
                if level == len(WIDTHS_MS) - 1:
                    self._age_keys()
                yield from windows.pop(start_ms).values()

    def _restore(self, written: CellRow) -> None:
        level = WIDTHS_MS.index(written.width_ms)
        window = self._open[level].setdefault(written.start_ms, {})
        cell = self._opened(window, level, written.start_ms, self.known(written.key))
        cell.restore(written.latency)
        self.sheet.set(cell.row, sums_of(written.measures))


def _counts(row: CellRow) -> bool:
    return bool(row.latency) or row.measures != _NOTHING


_NOTHING: Final = Measures()
