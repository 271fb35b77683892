"""How measures move over time: one row a point, and the quantiles of request durations.

A point without events is a row of zeros for counts and a gap for quantiles: nothing took no time.
"""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from psycopg import sql

from streams.queries import sketches
from streams.series import cover
from streams.series import measures as measured
from streams.series.measures import EVENT_MEASURES, Db
from streams.series.span import Span
from streams.store import holdings

SKETCHES_MAX: Final = 30_000
"""Sketches that one answer merges; totals and the span's resolution keep well below it."""

_WHOLE: Final = (holdings.WHOLE,)
_MEASURES = sql.SQL("""
select (extract(epoch from point) * 1000)::bigint, {counted}
  from (select {point} as point, {sums} from ({rows}) w group by 1) points
 limit %(limit)s
""")
_SKETCHES = sql.SQL("""
select (extract(epoch from point) * 1000)::bigint, count(*), string_agg(latency, ''::bytea)
  from (select {point} as point, w.latency from ({rows}) w
         order by w.start_at desc limit %(limit)s) found
 group by point
""")


class Trend(Struct, frozen=True):
    """Points of equal distance, oldest first, and one column of values a measure."""

    at_ms: NDArray[np.int64]
    columns: dict[str, NDArray[np.int64]]

    def total(self, name: str) -> int:
        """Return the sum of one measure over the whole span."""
        return int(self.columns[name].sum())


class Latency(Struct, frozen=True):
    """Quantiles of request durations a point, and over the whole span; NaN where none was."""

    at_ms: NDArray[np.int64]
    quantiles: dict[float, NDArray[np.float64]]
    overall: dict[float, float]
    complete: bool
    """False where there were more sketches than one answer merges."""


def measures(db: Db, tenant: str, span: Span) -> Trend:
    """Return every measure at each point of the span."""
    parts = cover.of_points(span, cover.standing(db, span))
    columns_read = measured.first(EVENT_MEASURES)
    rows = [
        *measured.totals(parts, columns_read, by=_WHOLE),
        *measured.fleet(parts, columns_read, by=_WHOLE),
    ]
    query = _MEASURES.format(
        point=measured.point(span),
        counted=sql.SQL(", ").join(columns_read),
        sums=measured.sums(EVENT_MEASURES),
        rows=measured.together(rows),
    )
    found = db.execute(query, _bound(tenant, span, limit=span.points)).fetchall()
    points, places = _points(span)
    columns = {name: np.zeros(len(points), dtype=np.int64) for name in EVENT_MEASURES}
    for at_ms, *values in found:
        place = places[at_ms]
        for name, value in zip(EVENT_MEASURES, values, strict=True):
            columns[name][place] = value
    return Trend(points, columns)


def latency(
    db: Db, tenant: str, span: Span, *, wanted: tuple[float, ...], limit: int = SKETCHES_MAX
) -> Latency:
    """Return quantiles of request durations in ms at each point of the span."""
    parts = cover.of_points(span, cover.standing(db, span))
    columns, timed = [sql.Identifier("latency")], sql.SQL(" and latency_count > 0")
    rows = [
        *measured.totals(parts, columns, by=_WHOLE, wanted=timed),
        *measured.fleet(parts, columns, by=_WHOLE, wanted=timed),
    ]
    query = _SKETCHES.format(point=measured.point(span), rows=measured.together(rows))
    most = min(limit, SKETCHES_MAX)
    with db.cursor(binary=True) as cursor:
        found = cursor.execute(query, _bound(tenant, span, limit=most)).fetchall()
    points, places = _points(span)
    merged = sketches.merge(
        [data for _, _, data in found], [places[at_ms] for at_ms, _, _ in found], groups=len(points)
    )
    whole = sketches.together(merged)
    return Latency(
        at_ms=points,
        quantiles={q: sketches.quantile(merged, q) for q in wanted},
        overall={q: float(sketches.quantile(whole, q)[0]) for q in wanted},
        complete=sum(count for _, count, _ in found) < most,
    )


def _points(span: Span) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Return when the steps begin, and the place of each."""
    points = span.points_ms
    return np.array(points, dtype=np.int64), {at_ms: place for place, at_ms in enumerate(points)}


def _bound(tenant: str, span: Span, *, limit: int) -> dict[str, object]:
    return {
        "tenant": tenant,
        **measured.steps(span),
        "limit": limit,
    }
