"""Which rows answer a span: of the widest rollup that is settled, and of narrower ones elsewhere.

A period that commits have marked is not settled at its width nor at any wider one: it is answered
by the next narrower level, and in the end by the windows that the stream writes, so an answer is
exact at any moment and costs little more than the rollups alone. Beside them count rows apart, of
what was too old for the stream's windows when it came: they are written at each width that keeps
something so old, so those of the widest periods count that lie within a point, or a whole. Every
function here is bounded, and must see one moment with the query that it is for.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from msgspec import Struct
from psycopg import Connection

from analytics.measures.rows import ROLLED_MS, WIDTHS_MS
from streams.series.span import Span
from streams.store import holdings
from streams.store.holdings import Grouping

Db = Connection[Any]
Range = tuple[int, int]
"""From and until, in epoch milliseconds."""

MARKS_MAX: Final = 1_000
"""Marked periods of a width that one answer tells apart; the rest counts as one stretch."""
RANGES_MAX: Final = 16
"""Stretches of marked periods that one answer tells apart; the closest are taken together."""

NARROW_MS, SOURCE_MS = WIDTHS_MS
FIVE_MINUTES_MS: Final = ROLLED_MS[0]
_NARROW, _SOURCE = (holdings.WINDOWS[width].table for width in WIDTHS_MS)
Part = tuple[str, tuple[Range, ...]]
"""A table, and the stretches of it that count."""


class TableCover(Struct, frozen=True):
    """From when on tables are whole, and which stretches are not settled at a width."""

    since: Mapping[str, int]
    unsettled: Mapping[int, Sequence[Range]]


class Cover(Struct, frozen=True):
    """Stretches of tables that add up to a span: of totals, and of series where none is kept.

    A total is read only for what it holds (`holdings`); for whatever else is asked, the series that
    it adds up are read over the same stretches.
    """

    settled: tuple[Part, ...]
    """Stretches of totals."""
    rows: tuple[Part, ...]
    """Stretches of series that no total adds up."""

    def totals(self, *groupings: Grouping) -> tuple[Part, ...]:
        """Return the totals that hold all of these groupings."""
        return tuple(one for one in self.settled if holdings.hold(one[0], groupings))

    def series(self, *groupings: Grouping) -> tuple[Part, ...]:
        """Return the series of what `totals` does not answer of these groupings."""
        unheld = [one for one in self.settled if not holdings.hold(one[0], groupings)]
        return (*_sources(unheld), *self.rows)

    @property
    def every_series(self) -> tuple[Part, ...]:
        """Return the same span in series alone, which hold whatever is asked."""
        return (*_sources(self.settled), *self.rows)


def _sources(totals: Iterable[Part]) -> tuple[Part, ...]:
    return tuple((holdings.TABLES[table].source, ranges) for table, ranges in totals)


_SINCE: Final = """
select name, (extract(epoch from since) * 1000)::bigint from kept
"""
_SWEPT: Final = """
select kind, (extract(epoch from swept_to) * 1000)::bigint from retention_settings
 where tenant = %s and kind in ('10s', '1m', '5m', '1h', '1d')
"""
_BY_KIND: Final = {
    "10s": "window_10s", "1m": "window_1m", "5m": "rollup_5m", "1h": "rollup_1h",
    "1d": "rollup_1d",
}  # fmt: skip
_MARKS: Final = """
select width.ms, (extract(epoch from mark.start_at) * 1000)::bigint
  from unnest(%(widths)s::int[]) as width (ms),
       lateral (
         with recursive period (start_at, place) as (
           (select start_at, 1 from rollup_due
             where width_ms = width.ms and start_at < %(until)s
               and start_at > %(from)s - width.ms * interval '1 millisecond'
             order by start_at limit 1)
           union all
           select (select start_at from rollup_due
                    where width_ms = width.ms and start_at > period.start_at
                      and start_at < %(until)s
                    order by start_at limit 1), place + 1
             from period where start_at is not null and place < %(limit)s
         )
         select start_at from period where start_at is not null
         union
         (select start_at from rollup_due
           where width_ms = width.ms and start_at < %(until)s
             and start_at > %(from)s - width.ms * interval '1 millisecond'
           order by start_at desc limit 1)
       ) mark
 order by 1, 2
"""


def since(db: Db, tenant: str = "") -> dict[str, int]:
    """Return from when on each table is whole, for `span.over`, and whole for a tenant."""
    whole_from = dict(db.execute(_SINCE).fetchall())
    for kind, swept_ms in db.execute(_SWEPT, [tenant]) if tenant else ():
        table = _BY_KIND[kind]
        whole_from[table] = max(whole_from.get(table, 0), swept_ms)
    return whole_from


def standing(db: Db, span: Span) -> TableCover:
    """Return how the rollups stand over a span."""
    whole_from = since(db)
    bound = {
        "widths": list(ROLLED_MS),
        "from": span.starts,
        "until": span.ends,
        "limit": MARKS_MAX,
    }
    marks: dict[int, list[int]] = {width: [] for width in ROLLED_MS}
    for width, start in db.execute(_MARKS, bound):
        marks[width].append(start)
    return TableCover(whole_from, unsettled(marks, whole_from))


def unsettled(
    marks: Mapping[int, Sequence[int]], since: Mapping[str, int]
) -> dict[int, tuple[Range, ...]]:
    """Return the stretches that are not settled at each width, given the marks of each."""
    found: dict[int, tuple[Range, ...]] = {}
    narrower: list[Range] = []
    for width in ROLLED_MS:
        whole_from = since.get(holdings.ROLLUPS[width].source, 0)
        starts = [start for start in marks.get(width, ()) if start >= whole_from]
        own = [(start, start + width) for start in starts]
        if len(starts) > MARKS_MAX:
            own.append((starts[MARKS_MAX - 1], starts[-1] + width))
        narrower = _joined([*own, *(_outward(one, width) for one in narrower)])
        found[width] = tuple(_fewer(narrower))
    return found


def of_points(span: Span, stand: TableCover) -> Cover:
    """Return what adds up to every point of a span: no row reaches over the edge of a step."""
    widths = [width for width in ROLLED_MS if width <= span.width_ms]
    totals, left = _taken(span, stand, widths)
    rows: list[tuple[str, Sequence[Range]]] = []
    if span.width_ms == NARROW_MS:
        rows.append((_NARROW, left))
    else:
        marked = stand.unsettled.get(FIVE_MINUTES_MS, ())
        totals.append((holdings.TOTALS[SOURCE_MS].table, _without(left, marked)))
        rows.append((_SOURCE, _within(left, marked)))
    return _cover(totals, [*rows, *_apart(span, stand, widths)])


def of_whole(span: Span, stand: TableCover) -> Cover:
    """Return what adds up to a span as a whole."""
    totals, left = _taken(span, stand, ROLLED_MS)
    rows: list[tuple[str, Sequence[Range]]] = []
    if span.width_ms == NARROW_MS:
        minutes = [inner for one in left if (inner := _inward(one, SOURCE_MS)) is not None]
        rows.append((_NARROW, _without(left, minutes)))
        left = minutes
    rows.append((_SOURCE, left))
    return _cover(totals, [*rows, *_apart(span, stand, ROLLED_MS)])


def _taken(
    span: Span, stand: TableCover, widths: Sequence[int]
) -> tuple[list[tuple[str, Sequence[Range]]], Sequence[Range]]:
    """Take settled periods, the widest first; return them and what is left of the span."""
    left: Sequence[Range] = [(span.from_ms, span.until_ms)]
    totals: list[tuple[str, Sequence[Range]]] = []
    for width in reversed(widths):
        periods = [inner for one in left if (inner := _inward(one, width)) is not None]
        settled = _without(periods, stand.unsettled.get(width, ()))
        totals.append((holdings.TOTALS[width].table, settled))
        left = _without(left, settled)
    return totals, left


def _apart(
    span: Span, stand: TableCover, widths: Sequence[int]
) -> list[tuple[str, Sequence[Range]]]:
    """Return the rows apart of a span, of the widest whole periods, and those still to be moved."""
    left: Sequence[Range] = [(span.from_ms, span.until_ms)]
    rows: list[tuple[str, Sequence[Range]]] = []
    for width in reversed(widths):
        periods = [inner for one in left if (inner := _inward(one, width)) is not None]
        rows.append((holdings.WINDOWS[width].table, periods))
        left = _without(left, periods)
    strays = (span.from_ms, min(span.until_ms, stand.since.get(_SOURCE, 0)))
    return [*rows, (_SOURCE, [strays] if strays[0] < strays[1] else [])]


def _cover(
    totals: Iterable[tuple[str, Sequence[Range]]], rows: Iterable[tuple[str, Sequence[Range]]]
) -> Cover:
    return Cover(
        settled=tuple((table, tuple(ranges)) for table, ranges in totals if ranges),
        rows=tuple((table, tuple(ranges)) for table, ranges in rows if ranges),
    )


def _inward(one: Range, width: int) -> Range | None:
    """Return the whole periods in a stretch."""
    start, end = -(-one[0] // width) * width, one[1] // width * width
    return (start, end) if start < end else None


def _outward(one: Range, width: int) -> Range:
    """Return the periods that a stretch touches."""
    return one[0] // width * width, -(-one[1] // width) * width


def _joined(ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _fewer(ranges: list[Range]) -> list[Range]:
    """Return at most `RANGES_MAX` stretches that hold these, over the smallest gaps."""
    if len(ranges) <= RANGES_MAX:
        return ranges
    gaps = sorted(
        range(1, len(ranges)), key=lambda n: ranges[n][0] - ranges[n - 1][1], reverse=True
    )
    cuts = sorted(gaps[: RANGES_MAX - 1])
    edges = [0, *cuts, len(ranges)]
    return [(ranges[first][0], ranges[after - 1][1]) for first, after in pairwise(edges)]


def _without(ranges: Sequence[Range], taken: Sequence[Range]) -> list[Range]:
    """Return what is left of stretches without others; both are in order and apart."""
    left: list[Range] = []
    for start, end in ranges:
        at = start
        for first, after in taken:
            if after <= at or first >= end:
                continue
            if first > at:
                left.append((at, first))
            at = after
        if at < end:
            left.append((at, end))
    return left


def _within(ranges: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """Return what stretches have in common with others."""
    return [
        (max(start, first), min(end, after))
        for start, end in ranges
        for first, after in others
        if max(start, first) < min(end, after)
    ]
