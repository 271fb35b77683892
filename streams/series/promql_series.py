"""The store's windows as series of PromQL, in the shape that Prometheus would have scraped.

A measure is a counter: at the end of each window its value is the sum of all windows so far, as far
back as the store goes. It begins where its first window begins, stays level while nothing happens,
and ends an hour after its last window, so that what is long over is not listed. No value depends on
what else is asked. Series of the fleet and of sessions have names apart, so a sum counts nothing
twice.

A storage answers for one tenant in one transaction, and bounds how much one question may read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from psycopg import sql

from analytics.alerts.rules.exposed import EXPOSED, FLEET, SESSION, Exposed, Sort
from analytics.measures.sketch import Counts, from_bytes
from analytics.promql.errors import BadEvaluation
from analytics.promql.series import (
    NAME,
    Labels,
    MatchOperator,
    Series,
    SeriesMatcher,
    Sketches,
    labelled,
)
from streams.series import cover, measures
from streams.series.measures import Db
from streams.series.recent import COLUMNS as RECENT
from streams.series.recent import MINUTE_MS, Recent, WindowRows
from streams.series.span import KEPT_BY, KEPT_MS, Span

WIDTHS_MS: Final = (60_000, 300_000)
"""The windows that samples are made of; wider ones would lie further apart than a lookback."""
ALIVE_MS: Final = 3_600_000
"""For how long after its last window a series is told of."""
ROWS_MAX: Final = 500_000
"""Windows that one selector may read."""
LABELS: Final = {"fleet": FLEET, "session": SESSION}
LABELS_REMEMBERED: Final = 100_000
LATENCY: Final = "latency"
_COLUMNS: Final = {"user": "u.user_name", "team": "u.team"}
Ints = NDArray[np.int64]


FAMILIES: Final = {one.name: one for one in EXPOSED if one.measure}
"""The series that windows hold, by name."""

_ROWS = sql.SQL("""
select series_id, (extract(epoch from point) * 1000)::bigint + %(width_ms)s, {sums}
  from (select w.series_id, {point} as point, {columns} from ({rows}) w
         where {timed}) counted
 group by 1, 2
 order by 1, 2
 limit %(limit)s
""")
_PART = sql.SQL("""
select w.series_id, w.start_at, {columns}
  from {table} w
  join series s on s.series_id = w.series_id {sessions}
 where s.tenant = %(tenant)s and s.grain = %(grain)s and {only} and {within}
""")
_SESSIONS = sql.SQL("join sessions u on u.tenant = s.tenant and u.session_id = s.session_id")
_LABELS = sql.SQL("""
select s.series_id, {labels} from series s {sessions} where s.series_id = any(%(ids)s)
""")
_POINT = sql.SQL(
    "date_bin(%(width_ms)s * interval '1 millisecond', w.start_at, 'epoch'::timestamptz)"
)


class _Wanted(Struct, frozen=True):
    """What a selector asks of one grain."""

    grain: str
    matchers: Sequence[SeriesMatcher]
    from_ms: int
    to_ms: int
    width_ms: int

    @property
    def first_ms(self) -> int:
        """From when on windows are read one by one."""
        return max(0, (self.from_ms - ALIVE_MS) // self.width_ms * self.width_ms)


class _Read(Struct, frozen=True):
    """Windows of several series, by series and then by end."""

    ids: Ints
    ends: Ints
    columns: Mapping[str, Sequence[object] | NDArray[np.float64]]
    labels: dict[int, tuple[str, ...]]

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Yield each series with the rows that are its."""
        if not len(self.ids):
            return
        cuts = np.flatnonzero(np.diff(self.ids)) + 1
        edges = [0, *cuts.tolist(), len(self.ids)]
        for first, after in pairwise(edges):
            yield int(self.ids[first]), slice(first, after)


class StoreSeries:
    """See the module: `analytics.promql.Storage` over the store."""

    def __init__(self, db: Db, tenant: str, *, until_ms: int, recent: Recent | None = None) -> None:
        """Read no window that ends after `until_ms`, and none from the store that is `recent`."""
        self._recent = recent
        self._db = db
        self._tenant = tenant
        self._until_ms = until_ms
        self._since = cover.since(db, tenant)

    def select(self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """Return the counters for which all of `matchers` hold."""
        found: list[Series] = []
        for grain in LABELS:
            wanted = self._wanted(grain, matchers, from_ms, to_ms)
            families = [one for one in _named(wanted) if one.sort is Sort.COUNTER]
            if families:
                found += self._counters(wanted, families)
        return found

    def select_sketches(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> list[Sketches]:
        """Return the sketches for which all of `matchers` hold."""
        found: list[Sketches] = []
        for grain in LABELS:
            wanted = self._wanted(grain, matchers, from_ms, to_ms)
            for family in _named(wanted):
                if family.sort is Sort.SKETCH:
                    found += self._sketches(wanted, family)
        return found

    def _counters(self, wanted: _Wanted, families: Sequence[Exposed]) -> Iterator[Series]:
        names = [one.measure for one in families]
        read = self._read(wanted, names)
        grid = self._grid(wanted)
        before = self._before(wanted, np.unique(read.ids).tolist(), sorted(set(names)))
        for series_id, rows in read.runs():
            ends = read.ends[rows]
            times = _alive(grid, ends, wanted.width_ms)
            if not len(times):
                continue
            places = np.searchsorted(ends, times, side="right")
            for family in families:
                labels, by_name = _labels(family.name, read.labels[series_id])
                if not _hold(wanted.matchers, by_name):
                    continue
                values = np.array(read.columns[family.measure][rows], dtype=np.float64)
                sums = np.concatenate(([0.0], np.cumsum(values)))[places]
                base = before.get((series_id, family.measure), 0)
                yield Series(labels, times, (sums + base) * family.scale)

    def _sketches(self, wanted: _Wanted, family: Exposed) -> Iterator[Sketches]:
        read = self._read(wanted, [LATENCY])
        for series_id, rows in read.runs():
            labels, by_name = _labels(family.name, read.labels[series_id])
            if _hold(wanted.matchers, by_name):
                counts = tuple(map(_counts, read.columns[LATENCY][rows]))
                yield Sketches(labels, read.ends[rows], counts)

    def _wanted(
        self, grain: str, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> _Wanted:
        """Take the narrowest windows that are kept that far back, and nothing from before them."""
        for width in WIDTHS_MS:
            kept = max(self._until_ms - KEPT_MS[width], self._since.get(KEPT_BY[width], 0))
            first = -(-kept // width) * width + ALIVE_MS
            if from_ms >= first:
                break
        return _Wanted(grain, matchers, max(from_ms, first), min(to_ms, self._until_ms), width)

    def _at_hand(self, wanted: _Wanted, first: int, after: int) -> Recent | None:
        """Return what is in memory if it holds all that is asked for."""
        recent, width = self._recent, wanted.width_ms
        if recent is None or width != MINUTE_MS or not recent.covers(first, after):
            return None
        return recent

    def _grid(self, wanted: _Wanted) -> Ints:
        """Return the ends of all windows in the range."""
        width = wanted.width_ms
        first = -(-wanted.from_ms // width) * width
        return np.arange(first, wanted.to_ms + 1, width, dtype=np.int64)

    def _read(self, wanted: _Wanted, names: Sequence[str]) -> _Read:
        width, first = wanted.width_ms, wanted.first_ms
        after = wanted.to_ms // width * width
        if after <= first:
            return _Read(np.zeros(0, np.int64), np.zeros(0, np.int64), {}, {})
        if (recent := self._at_hand(wanted, first, after)) is not None:
            return _remembered(recent, recent.rows(wanted.grain, first, after), names)
        rows = self._rows(Span(first, after, width, width), wanted, names)
        if len(rows) > ROWS_MAX:
            raise BadEvaluation(
                f"more than {ROWS_MAX} windows; ask for a shorter range, or name labels"
            )
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        return _Read(
            ids,
            np.array([row[1] for row in rows], dtype=np.int64),
            {name: [row[place] for row in rows] for place, name in enumerate(names, start=2)},
            self._labels_of(wanted.grain, np.unique(ids).tolist()),
        )

    def _rows(self, span: Span, wanted: _Wanted, names: Sequence[str]) -> list[tuple[object, ...]]:
        parts = cover.of_points(span, cover.standing(self._db, span))
        only, bound = _only(wanted)
        sketched = LATENCY in names
        query = _ROWS.format(
            point=_POINT,
            columns=sql.SQL(", ").join(map(sql.Identifier, names)),
            sums=sql.SQL("string_agg(latency, ''::bytea)") if sketched else measures.sums(names),
            timed=sql.SQL("length(latency) > 0" if sketched else "true"),
            rows=measures.together([
                _PART.format(
                    table=sql.Identifier(table),
                    columns=sql.SQL(", ").join(sql.Identifier("w", name) for name in names),
                    sessions=_SESSIONS if wanted.grain == "session" else sql.SQL(""),
                    only=only,
                    within=measures.within(ranges),
                )
                for table, ranges in parts.every_series
            ]),
        )  # fmt: skip
        with self._db.cursor(binary=True) as cursor:
            return cursor.execute(query, {
                **bound, "tenant": self._tenant, "grain": wanted.grain,
                "width_ms": span.width_ms, "limit": ROWS_MAX + 1,
            }).fetchall()  # fmt: skip

    def _labels_of(self, grain: str, ids: list[int]) -> dict[int, tuple[str, ...]]:
        query = _LABELS.format(
            labels=sql.SQL(", ").join(map(_column, LABELS[grain])),
            sessions=_SESSIONS if grain == "session" else sql.SQL(""),
        )
        return {row[0]: row[1:] for row in self._db.execute(query, {"ids": ids})}

    def _before(
        self, wanted: _Wanted, ids: list[int], names: Sequence[str]
    ) -> dict[tuple[int, str], float]:
        """Return what each series had counted before the first window that was read."""
        width, first = wanted.width_ms, wanted.first_ms
        if first <= 0 or not ids:
            return {}
        if self._at_hand(wanted, first, wanted.to_ms // width * width) is not None:
            assert self._recent is not None
            return self._recent.before(wanted.grain, first, ids, names)
        return self.before(ids, names, first, width)

    def before(
        self, ids: Sequence[int], names: Sequence[str], first: int, width: int
    ) -> dict[tuple[int, str], float]:
        """Return what series had counted in all windows that end by `first`."""
        span = Span(0, first, width, width)
        parts = cover.of_whole(span, cover.standing(self._db, span))
        query = sql.SQL("select series_id, {} from ({}) w group by 1").format(
            measures.sums(names),
            measures.together([
                sql.SQL(
                    "select w.series_id, {} from {} w where series_id = any(%(ids)s) and {}"
                ).format(
                    sql.SQL(", ").join(sql.Identifier("w", name) for name in names),
                    sql.Identifier(table),
                    measures.within(ranges),
                )
                for table, ranges in parts.every_series
            ]),
        )  # fmt: skip
        return {
            (row[0], name): row[place]
            for row in self._db.execute(query, {"ids": list(ids)})
            for place, name in enumerate(names, start=1)
        }


def follow(recent: Recent, db: Db, tenant: str, at_ms: int) -> None:
    """Have the last hours of a tenant up to a moment at hand."""
    fresh = recent.follow(db, at_ms)
    if not fresh:
        return
    series = StoreSeries(db, tenant, until_ms=at_ms)
    before = series.before(fresh, RECENT, recent.since_ms, MINUTE_MS)
    for one in fresh:
        recent.found(one, {name: before.get((one, name), 0) for name in RECENT})


def _counts(value: object) -> Counts:
    """Return a sketch, which is at hand or as the store keeps it."""
    if isinstance(value, dict):
        return value
    assert isinstance(value, bytes | memoryview), value
    return from_bytes(bytes(value))


def _remembered(recent: Recent, rows: WindowRows, names: Sequence[str]) -> _Read:
    """Return windows at hand as the store would give them."""
    ids, ends, sums, latency = rows.ids, rows.ends, rows.sums, rows.latency
    columns: dict[str, Sequence[object] | NDArray[np.float64]] = {}
    if LATENCY in names:
        measured_too = latency.astype(np.bool_)
        ids, ends, sums = ids[measured_too], ends[measured_too], sums[measured_too]
        columns[LATENCY] = latency[measured_too].tolist()
    columns |= {name: sums[:, RECENT.index(name)] for name in names if name != LATENCY}
    labels = {one: recent.labels(one) for one in np.unique(ids).tolist()}
    return _Read(ids, ends, columns, labels)


def _named(wanted: _Wanted) -> list[Exposed]:
    """Return the families whose name the matchers take."""
    names = [one for one in wanted.matchers if one.name == NAME]
    return [
        family
        for family in FAMILIES.values()
        if family.labels == LABELS[wanted.grain] and all(one.holds(family.name) for one in names)
    ]


@lru_cache(LABELS_REMEMBERED)
def _labels(name: str, values: tuple[str, ...]) -> tuple[Labels, dict[str, str]]:
    """Return the labels of a family's series, in order and by name."""
    by_name = {NAME: name, **dict(zip(FAMILIES[name].labels, values, strict=True))}
    return labelled(by_name), by_name


def _hold(matchers: Iterable[SeriesMatcher], labels: dict[str, str]) -> bool:
    return all(one.holds(labels.get(one.name, "")) for one in matchers)


def _alive(grid: Ints, ends: Ints, width_ms: int) -> Ints:
    """Return the times at which a series with windows of these ends is told of."""
    last = np.searchsorted(ends, grid + width_ms, side="right") - 1
    begun = last >= 0
    recent = grid - ends[np.maximum(last, 0)] <= ALIVE_MS
    return grid[begun & recent]


def _only(wanted: _Wanted) -> tuple[sql.Composable, dict[str, object]]:
    """Return as a condition what the store can look for itself: labels with one value."""
    named = [
        one
        for one in wanted.matchers
        if one.sign is MatchOperator.EQUAL and one.value and one.name in LABELS[wanted.grain]
    ]
    bound: dict[str, object] = {f"is_{place}": one.value for place, one in enumerate(named)}
    conditions: list[sql.Composable] = [
        sql.SQL("{} = {}").format(_column(one.name), sql.Placeholder(f"is_{place}"))
        for place, one in enumerate(named)
    ]
    return sql.SQL(" and ").join(conditions or [sql.SQL("true")]), bound


def _column(name: str) -> sql.Composable:
    special = _COLUMNS.get(name)
    return sql.SQL(special) if special is not None else sql.Identifier("s", name)
