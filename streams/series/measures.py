"""Which rows count for a tenant over a span, and the sums of measures in them.

A row holds of each session the fuller of its two accounts (see `analytics.measures.accounts`), so
nobody who reads chooses between them; the `usage_` columns are what the senders' own metrics say.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from psycopg import sql

from analytics.measures.rows import MEASURES
from streams.series import cover
from streams.series.cover import Cover, Part, Range
from streams.series.span import Span
from streams.store.holdings import Grouping
from streams.store.rollup_sums import SUM_MAX

Db = cover.Db

EVENT_MEASURES: Final = tuple(name for name in MEASURES if not name.startswith("usage_"))
"""The measures that people see, and may ask for."""

_ALL = sql.SQL("")
_EVEN = sql.SQL(
    "date_bin(%(step_ms)s * interval '1 millisecond', w.start_at, 'epoch'::timestamptz)"
)
_EDGED = sql.SQL(
    "to_timestamp((%(edges)s::bigint[])[width_bucket("
    "(extract(epoch from w.start_at) * 1000)::bigint, %(edges)s::bigint[])] / 1000.0)"
)

_TOTALS = sql.SQL("""
select start_at, 0::bigint as series_id, dimension, name, {columns}
  from {table}
 where tenant = %(tenant)s and dimension = any({dimensions}) and {within}
""")
_FLEET = sql.SQL("""
select w.start_at, w.series_id, '' as dimension, '' as name, {columns}
  from {table} w
  join series s on s.series_id = w.series_id
 where s.tenant = %(tenant)s and s.grain = 'fleet' and {within}
""")


def totals(
    parts: Cover,
    columns: Sequence[sql.Composable],
    *,
    by: Sequence[Grouping],
    wanted: sql.Composable = _ALL,
) -> list[sql.Composed]:
    """Return queries for the totals of a span by each of these groupings; they need `tenant`."""
    dimensions = sql.Literal([one[0] if one else "" for one in by])
    return [
        _query(_TOTALS, part, columns, wanted, dimensions=dimensions) for part in parts.totals(*by)
    ]


def fleet(
    parts: Cover,
    columns: Sequence[sql.Composable],
    *,
    by: Sequence[Grouping],
    wanted: sql.Composable = _ALL,
) -> list[sql.Composed]:
    """Return queries for the series of a tenant's fleet that no total holds, `by` as asked."""
    return [_query(_FLEET, part, columns, wanted) for part in parts.series(*by)]


def point(span: Span) -> sql.Composable:
    """Return the start of the step that a row is in; it needs what `steps` binds."""
    return _EDGED if span.edges else _EVEN


def steps(span: Span) -> dict[str, object]:
    """Return what `point` needs."""
    return {"edges": list(span.edges)} if span.edges else {"step_ms": span.step_ms}


def first(names: Sequence[str]) -> list[sql.Composable]:
    """Return the columns of measures."""
    return [sql.Identifier(name) for name in names]


def sums(names: Sequence[str]) -> sql.Composed:
    """Return the sums of measures, within what a column holds."""
    return sql.SQL(", ").join(
        sql.SQL("least(greatest(coalesce(sum({0}), 0), -{1}), {1})::bigint as {0}").format(
            sql.Identifier(name), sql.Literal(SUM_MAX)
        )
        for name in names
    )


def together(queries: Sequence[sql.Composed]) -> sql.Composed:
    """Return queries as one; a span is never without any."""
    return sql.SQL("\nunion all\n").join(queries)


def within(ranges: tuple[Range, ...]) -> sql.Composed:
    """Return the condition that a row starts in one of these, in literals by which plans prune."""
    stretches = [
        sql.SQL("(start_at >= {} and start_at < {})").format(_at(start), _at(end))
        for start, end in ranges
    ]
    whole = sql.SQL("start_at >= {} and start_at < {}").format(
        _at(ranges[0][0]), _at(ranges[-1][1])
    )
    if len(stretches) == 1:
        return whole
    return sql.SQL("{} and ({})").format(whole, sql.SQL(" or ").join(stretches))


def _query(
    query: sql.SQL,
    part: Part,
    columns: Sequence[sql.Composable],
    wanted: sql.Composable,
    **literals: sql.Literal,
) -> sql.Composed:
    table, ranges = part
    return query.format(
        **literals,
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(columns),
        within=sql.Composed([within(ranges), wanted]),
    )


def _at(at_ms: int) -> sql.Literal:
    return sql.Literal(datetime.fromtimestamp(at_ms / 1000, tz=UTC))
