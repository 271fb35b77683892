"""The windows of one partition that are still open, and the rows that a batch makes of them.

A delta of a session reaches two series, the fleet's and the session's own, in each width: open
windows take it into their absolute sums, and for windows that are closed to it (late or imported)
it makes a row of the batch's own. Open cells have a limit: beyond it further series go into rows of
the batch too, which cost the store more and change no sum.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from analytics.contracts.ids import TenantId
from analytics.measures.columns import Sums, measures_of, sums_of, zeros
from analytics.measures.memory import Delta, DeltaKey, SessionKey
from analytics.measures.rows import ON_TIME, WIDTHS_MS, CellKey, CellRow, Grain
from analytics.measures.sketch import Counts, from_bytes, merge, to_bytes
from analytics.windows.tumbling import ALL_MS, is_closed, place, start_of

Series = tuple[str, Grain, str, str, str, str, str, str, str]
"""A `CellKey` as a plain tuple, quick to look up."""

_WIDTHS: Final = tuple(enumerate(WIDTHS_MS))


class Cell:
    """The sums of one series over one window."""

    __slots__ = ("latency", "series", "start_ms", "sums", "touched", "width_ms")

    def __init__(self, series: Series, width_ms: int, start_ms: int) -> None:
        self.series = series
        self.width_ms = width_ms
        self.start_ms = start_ms
        self.sums: Sums = zeros()
        self.latency: Counts = {}
        self.touched = False

    def row(self, *, batch_offset: int, closed: bool) -> CellRow:
        """Return the cell as the store keeps it."""
        return CellRow(
            _key(self.series),
            self.width_ms,
            self.start_ms,
            batch_offset,
            measures_of(self.sums),
            to_bytes(self.latency) if self.latency else b"",
            closed,
        )


class Cells:
    """The open cells of a partition, and what the batch at hand did to them."""

    def __init__(self, open_cells: Iterable[CellRow], *, open_max: int) -> None:
        self._open_max = open_max
        self._open_count = 0
        self._open: tuple[dict[int, dict[Series, Cell]], ...] = tuple({} for _ in WIDTHS_MS)
        self._apart: dict[tuple[int, int, Series], Cell] = {}
        self._touched: list[Cell] = []
        self._gathered: dict[tuple[int, Series], Delta] = {}
        """What the batch at hand told of each series in each place."""
        self.spilled_count = 0
        for row in open_cells:
            self._restore(row)

    @property
    def open_count(self) -> int:
        """How many cells are open."""
        return self._open_count

    def add(self, session: SessionKey, deltas: Mapping[DeltaKey, Delta]) -> None:
        """Add what a batch told of one session."""
        tenant, session_id = session
        gathered = self._gathered
        for (number, project, agent, model, tool, skill, query_source), delta in deltas.items():
            fleet = (tenant, Grain.FLEET, project, "", agent, model, tool, skill, query_source)
            own = (tenant, Grain.SESSION, project, session_id, agent, model, "", "", "")
            for key in ((number, fleet), (number, own)):
                into = gathered.get(key)
                if into is None:
                    into = gathered[key] = Delta()
                into.add(delta)

    def rows(
        self, *, batch_offset: int, watermark_ms: int
    ) -> tuple[tuple[CellRow, ...], tuple[CellRow, ...]]:
        """Return all cells to write, and those of them that the watermark closed; begin anew."""
        self._spread()
        closed = [
            cell.row(batch_offset=ON_TIME, closed=True) for cell in self._closing(watermark_ms)
        ]
        rows = [
            cell.row(batch_offset=ON_TIME, closed=False) for cell in self._touched if cell.touched
        ]
        rows += [cell.row(batch_offset=batch_offset, closed=True) for cell in self._apart.values()]
        for cell in self._touched:
            cell.touched = False
        self._touched = []
        self._apart = {}
        return (*rows, *closed), tuple(closed)

    def _spread(self) -> None:
        """Add what the batch gathered of each series in each place to the cells it reaches."""
        for (number, series), delta in self._gathered.items():
            amounts = [item for item in delta.sums.items() if item[1]]
            if not amounts and not delta.latency:
                continue
            where = place(number)
            for level in where.levels:
                find = self._cell_apart if where.is_apart(level) else self._cell
                cell = find(level, where.start_ms, series)
                sums = cell.sums
                for column, amount in amounts:
                    sums[column] += amount
                if delta.latency:
                    merge(cell.latency, delta.latency)
        self._gathered = {}

    def _cell(self, level: int, at_ms: int, series: Series) -> Cell:
        start_ms = start_of(at_ms, WIDTHS_MS[level])
        window = self._open[level].get(start_ms)
        if window is None:
            window = self._open[level][start_ms] = {}
        cell = window.get(series)
        if cell is None:
            if self._open_count >= self._open_max:
                self.spilled_count += 1
                return self._cell_apart(level, start_ms, series)
            cell = window[series] = Cell(series, WIDTHS_MS[level], start_ms)
            self._open_count += 1
        if not cell.touched:
            cell.touched = True
            self._touched.append(cell)
        return cell

    def _cell_apart(self, level: int, at_ms: int, series: Series) -> Cell:
        start_ms = start_of(at_ms, ALL_MS[level])
        key = (level, start_ms, series)
        cell = self._apart.get(key)
        if cell is None:
            cell = self._apart[key] = Cell(series, ALL_MS[level], start_ms)
        return cell

    def _closing(self, watermark_ms: int) -> Iterator[Cell]:
        for level, width_ms in _WIDTHS:
            windows = self._open[level]
            for start_ms in sorted(
                start for start in windows if is_closed(start, width_ms, watermark_ms=watermark_ms)
            ):
                for cell in windows.pop(start_ms).values():
                    self._open_count -= 1
                    cell.touched = False
                    yield cell

    def _restore(self, row: CellRow) -> None:
        level = WIDTHS_MS.index(row.width_ms)
        series = _series(row.key)
        cell = Cell(series, row.width_ms, row.start_ms)
        cell.sums = sums_of(row.measures)
        cell.latency = from_bytes(row.latency)
        self._open[level].setdefault(row.start_ms, {})[series] = cell
        self._open_count += 1


def _key(series: Series) -> CellKey:
    tenant, grain, project, session_id, agent, model, tool, skill, query_source = series
    return CellKey(
        TenantId(tenant), grain, project, session_id, agent, model, tool, skill, query_source
    )


def _series(key: CellKey) -> Series:
    return (
        key.tenant,
        key.grain,
        key.project,
        key.session_id,
        key.agent,
        key.model,
        key.tool,
        key.skill,
        key.query_source,
    )
