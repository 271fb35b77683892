"""Which rows of a window table count for a tenant, and from which of a session's two books.

The first book is the events. The second, the `usage_*` columns, is what a sender's own metrics say;
it counts only for sessions of which no model call was ever seen as an event, so that nothing is
counted twice. Sessions of the second book are few; at most `SECOND_BOOK_MAX` are read.
"""

from typing import Any, Final

from psycopg import Connection, sql

from analytics.measures.rows import MEASURES
from streams.store.queries.span import Span

Db = Connection[Any]

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
   and last_period >= date_bin('10 minutes', to_timestamp(%(from_ms)s / 1000.0),
                               '2000-01-01 00:00:00+00')
   and last_at >= to_timestamp(%(from_ms)s / 1000.0)
   and calls = 0
   and (usage_input_tokens > 0 or usage_output_tokens > 0 or usage_cost_nanousd > 0)
 order by last_period desc, last_at desc
 limit %(limit)s
"""

_ROWS = sql.SQL("""
  from {table} w
  join series s on s.series_id = w.series_id
 where s.tenant = %(tenant)s
   and w.start_at >= to_timestamp(%(from_ms)s / 1000.0)
   and w.start_at < to_timestamp(%(until_ms)s / 1000.0)
   and (s.grain = 'fleet' or (s.grain = 'session' and s.session_id = any(%(second)s)))
""")


def second_book(
    db: Db, tenant: str, *, from_ms: int, limit: int = SECOND_BOOK_MAX
) -> tuple[str, ...]:
    """Return the sessions since `from_ms` that only their sender's own metrics tell of."""
    bound = {"tenant": tenant, "from_ms": from_ms, "limit": min(limit, SECOND_BOOK_MAX)}
    return tuple(row[0] for row in db.execute(_SECOND_BOOK, bound).fetchall())


def rows_of(span: Span) -> sql.Composed:
    """Return the `from … where …` over the windows that count for a span."""
    return _ROWS.format(table=sql.Identifier(span.table))


def sums() -> sql.Composed:
    """Return the sums of all measures, each from the book that counts."""
    return sql.SQL(", ").join(_sum(name) for name in FIRST_BOOK)


def bound(tenant: str, span: Span, second: tuple[str, ...]) -> dict[str, object]:
    """Return the parameters that `rows_of` needs."""
    return {
        "tenant": tenant,
        "from_ms": span.from_ms,
        "until_ms": span.until_ms,
        "step_ms": span.step_ms,
        "second": list(second),
    }


def _sum(name: str) -> sql.Composed:
    other = _SECOND_OF.get(name)
    first = sql.Identifier("w", name)
    if other is None:
        summed = sql.SQL("sum({0}) filter (where s.grain = 'fleet')").format(first)
    else:
        summed = sql.SQL("sum(case when s.grain = 'fleet' then {0} else {1} end)").format(
            first, sql.Identifier("w", other)
        )
    return sql.SQL("coalesce({0}, 0)::bigint as {1}").format(summed, sql.Identifier(name))
