"""Which rows count for a tenant over a span, and from which of a session's two books.

The first book is the events. The second, the `usage_*` columns, is what a sender's own metrics say;
it counts only for sessions of which no model call was ever seen as an event, so that nothing is
counted twice. Sessions of the second book are few; at most `SECOND_BOOK_MAX` are read.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from psycopg import sql

from analytics.measures.rows import MEASURES
from streams.store.queries import cover
from streams.store.queries.cover import Cover, Range
from streams.store.rolling import SUM_MAX

Db = cover.Db
Part = tuple[str, tuple[Range, ...]]
"""A table, and the stretches of it that count."""

SECOND_BOOK_MAX: Final = 500
"""Sessions whose own metrics are read beside the events."""

_SECOND_OF: Final = {
    name.removeprefix("usage_"): name for name in MEASURES if name.startswith("usage_")
}
FIRST_BOOK: Final = tuple(name for name in MEASURES if not name.startswith("usage_"))
"""The measures that people see; each is filled from one of the two books."""

_SECOND_BOOK = """
select session_id
  from sessions
 where tenant = %(tenant)s
   and last_at >= to_timestamp(%(from_ms)s / 1000.0)
   and last_period >= date_bin('10 minutes', to_timestamp(%(from_ms)s / 1000.0),
                               '2000-01-01 00:00:00+00')
   and second_book
 order by last_period desc, last_at desc
 limit %(limit)s
"""

_ALL = sql.SQL("")

_TOTALS = sql.SQL("""
select start_at, 0::bigint as series_id, dimension, name, {columns}
  from {table}
 where tenant = %(tenant)s and dimension = any(%(dimensions)s) and {within}
""")
_FLEET = sql.SQL("""
select w.start_at, w.series_id, '' as dimension, '' as name, {columns}
  from {table} w
  join series s on s.series_id = w.series_id
 where s.tenant = %(tenant)s and s.grain = 'fleet' and {within}
""")
_SECOND = sql.SQL("""
select w.start_at, w.series_id, '' as dimension, '' as name, {columns}
  from {table} w
  join series s on s.series_id = w.series_id
 where s.tenant = %(tenant)s and s.session_id = any(%(second)s) and s.grain = 'session' and {within}
""")


def second_book(
    db: Db, tenant: str, *, from_ms: int, limit: int = SECOND_BOOK_MAX
) -> tuple[str, ...]:
    """Return the sessions since `from_ms` that only their sender's own metrics tell of."""
    bound = {"tenant": tenant, "from_ms": from_ms, "limit": min(limit, SECOND_BOOK_MAX)}
    return tuple(row[0] for row in db.execute(_SECOND_BOOK, bound).fetchall())


def totals(
    parts: Cover, columns: Sequence[sql.Composable], *, wanted: sql.Composable = _ALL
) -> list[sql.Composed]:
    """Return queries for the totals of a span; they need `tenant` and `dimensions`."""
    return [_query(_TOTALS, part, columns, wanted) for part in parts.totals]


def fleet(
    parts: Cover, columns: Sequence[sql.Composable], *, wanted: sql.Composable = _ALL
) -> list[sql.Composed]:
    """Return queries for the windows of a tenant's fleet that no total holds."""
    return [_query(_FLEET, part, columns, wanted) for part in parts.rows]


def second_rows(parts: Cover, names: Sequence[str]) -> list[sql.Composed]:
    """Return queries for what sessions of the second book count; they need `second`."""
    columns = [from_second(name) for name in names]
    return [_query(_SECOND, part, columns, _ALL) for part in parts.series]


def first(names: Sequence[str]) -> list[sql.Composable]:
    """Return the columns of measures in the first book."""
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


def from_second(name: str) -> sql.Composable:
    """Return the column that a measure has in the second book, or nothing."""
    other = _SECOND_OF.get(name)
    if other is None:
        return sql.SQL("null::bigint as {}").format(sql.Identifier(name))
    return sql.SQL("{} as {}").format(sql.Identifier(other), sql.Identifier(name))


def either_book(name: str) -> sql.Composable:
    """Return a measure of a session's series, from the book that counts; it needs `second`."""
    other = _SECOND_OF.get(name)
    if other is None:
        return sql.Identifier(name)
    return sql.SQL("case when s.session_id = any(%(second)s) then {} else {} end as {}").format(
        sql.Identifier(other), sql.Identifier(name), sql.Identifier(name)
    )


def _query(
    query: sql.SQL,
    part: Part,
    columns: Sequence[sql.Composable],
    wanted: sql.Composable,
) -> sql.Composed:
    table, ranges = part
    return query.format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(columns),
        within=sql.Composed([within(ranges), wanted]),
    )


def _at(at_ms: int) -> sql.Literal:
    return sql.Literal(datetime.fromtimestamp(at_ms / 1000, tz=UTC))
