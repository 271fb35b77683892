"""Who and what it was: the busiest agents, models, tools, skills and projects of a span."""

from typing import Final

from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from streams.store.queries.measured import Db, bound, rows_of, sums
from streams.store.queries.span import Span

DIMENSIONS: Final = ("agent", "model", "tool", "skill", "project")
"""What a ranking can be over."""

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
    tool_calls: int
    tool_errors: int


_RANKED = sql.SQL("""
with counted as (
  select case {names} end as dimension,
         coalesce({values}) as name,
         {sums}
  {rows}
  group by grouping sets ({sets})
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
       cost_estimated_nanousd, tool_calls, tool_errors
  from ranked
 where place <= %(limit)s
 order by dimension, place
""")


def top(
    db: Db, tenant: str, span: Span, *, second: tuple[str, ...] = (), limit: int = 6
) -> dict[str, tuple[Ranked, ...]]:
    """Return up to `limit` names of each dimension, the most costly (tools: most called) first."""
    query = _RANKED.format(
        names=sql.SQL(" ").join(
            sql.SQL("when grouping({0}) = 0 then {1}").format(_column(name), sql.Literal(name))
            for name in DIMENSIONS
        ),
        values=sql.SQL(", ").join(
            sql.SQL("case when grouping({0}) = 0 then {0} end").format(_column(name))
            for name in DIMENSIONS
        ),
        sums=sums(),
        rows=rows_of(span),
        sets=sql.SQL(", ").join(sql.SQL("({0})").format(_column(name)) for name in DIMENSIONS),
    )
    parameters = {**bound(tenant, span, second), "limit": min(limit, RANKED_MAX)}
    with db.cursor(row_factory=class_row(Ranked)) as cursor:
        found = cursor.execute(query, parameters).fetchall()
    return {name: tuple(row for row in found if row.dimension == name) for name in DIMENSIONS}


def _column(name: str) -> sql.Identifier:
    return sql.Identifier("s", name)
