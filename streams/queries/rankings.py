"""Who and what it was: the busiest agents, models, tools, skills and projects of a span."""

from typing import Final

from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from streams.series import cover, measures
from streams.series.measures import Db
from streams.series.span import Span
from streams.store.holdings import DIMENSIONS

_BY: Final = tuple((name,) for name in DIMENSIONS)
"""There is a ranking over each of the dimensions that totals are kept apart by."""
RANKED_MAX: Final = 50
"""Names that one ranking may hold."""


class Ranked(Struct, frozen=True, kw_only=True):
    """What one agent, model, tool, skill or project amounts to over a span."""

    dimension: str
    name: str
    calls: int
    call_errors: int
    prompts: int
    tokens: int
    cost_nanousd: int
    cost_estimated_nanousd: int
    unpriced_tokens: int
    tool_calls: int
    tool_errors: int


_COUNTED: Final = (
    "calls", "call_errors", "prompts", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "cost_nanousd", "cost_estimated_nanousd", "tool_calls", "tool_errors",
    "unpriced_tokens", "events",
)  # fmt: skip
"""The measures that a ranking needs."""

_BY_SERIES = sql.SQL("""
select null::timestamptz as start_at, 0::bigint as series_id, named.dimension, named.name, {columns}
  from (select w.series_id, {sums} from ({rows}) w group by 1) one
  join series s on s.series_id = one.series_id
 cross join lateral (values {names}) as named (dimension, name)
 where named.name <> ''
""")

_RANKED = sql.SQL("""
with counted as (
  select w.dimension, w.name, {sums} from ({rows}) w group by 1, 2
), ranked as (
  select *, input_tokens + output_tokens + cache_read_tokens + cache_write_tokens as tokens,
         row_number() over (
           partition by dimension
           order by case when dimension = 'tool' then tool_calls else 0 end desc,
                    cost_nanousd desc,
                    input_tokens + output_tokens + cache_read_tokens + cache_write_tokens desc,
                    calls desc, events desc, name
         ) as place
    from counted
   where name <> ''
)
select dimension, name, calls, call_errors, prompts, tokens, cost_nanousd,
       cost_estimated_nanousd, unpriced_tokens, tool_calls, tool_errors
  from ranked
 where place <= %(limit)s
 order by dimension, place
""")


def top(db: Db, tenant: str, span: Span, *, limit: int = 6) -> dict[str, tuple[Ranked, ...]]:
    """Return up to `limit` names of each dimension, the most costly (tools: most called) first."""
    parts = cover.of_whole(span, cover.standing(db, span))
    columns = measures.first(_COUNTED)
    rows, series = measures.totals(parts, columns, by=_BY), measures.fleet(parts, columns, by=_BY)
    if series:
        rows.append(
            _BY_SERIES.format(
                columns=sql.SQL(", ").join(columns),
                sums=measures.sums(_COUNTED),
                rows=measures.together(series),
                names=sql.SQL(", ").join(
                    sql.SQL("({}, {})").format(sql.Literal(name), sql.Identifier("s", name))
                    for name in DIMENSIONS
                ),
            )
        )
    query = _RANKED.format(sums=measures.sums(_COUNTED), rows=measures.together(rows))
    parameters = {
        "tenant": tenant,
        "limit": min(limit, RANKED_MAX),
    }
    with db.cursor(row_factory=class_row(Ranked)) as cursor:
        found = cursor.execute(query, parameters).fetchall()
    return {name: tuple(row for row in found if row.dimension == name) for name in DIMENSIONS}
