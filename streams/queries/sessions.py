"""Sessions: which there are, in what state, and which of them need a person.

Lists are filtered, sorted, counted and cut in the store. A search looks for text in the id, the
first prompt, the project and the user; it is matched as it stands, never as a pattern.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from streams.series.measures import Db

PAGE_MAX: Final = 1_000
"""Sessions that one answer holds."""

NUMBER_MAX: Final = 2**63 - 1
"""Above every session's number."""

COUNTED_MAX: Final = 100_000
"""Sessions that are counted; beyond it an answer says "more"."""

ARRIVED: Final = "arrived"
"""The order in which sessions came, the newest first: no event changes it, so pages go by it."""
SORTS: Final = {
    ARRIVED: "number desc",
    "recent": "last_period desc, last_at desc",
    "started": "started_at desc",
    "cost": "cost_nanousd desc",
    "tokens": "tokens desc",
    "errors": "errors desc",
    "duration": "(last_at - started_at) desc",
}
"""By what a list can be sorted; ties go by the id."""

_SINCE: Final = """
last_at >= to_timestamp(%({0})s / 1000.0)
and last_period >= date_bin('10 minutes', to_timestamp(%({0})s / 1000.0), '2000-01-01 00:00:00+00')
"""
"""Whose last event is not older than a parameter: the second line is what the index knows."""

FACETS: Final = {
    "state": "state", "agent": "agent", "project": "project", "model": "model", "user": "user_name",
}  # fmt: skip
"""By what a list can be filtered, and the column it is."""


class Filter(Struct, frozen=True, kw_only=True):
    """Which sessions are asked for; an empty field does not filter."""

    from_ms: int
    until_ms: int
    state: str = ""
    agent: str = ""
    project: str = ""
    model: str = ""
    user: str = ""
    search: str = ""


class Session(Struct, frozen=True, kw_only=True):
    """One session as lists and its own page show it."""

    session_id: str
    number: int
    """In which order it came."""
    project: str
    agent: str
    version: str
    user_name: str
    team: str
    model: str
    state: str
    state_since_ms: int
    attention: str
    started_ms: int
    last_ms: int
    ended_ms: int | None
    first_prompt: str
    prompts: int
    calls: int
    call_errors: int
    rate_limits: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_nanousd: int
    cost_estimated_nanousd: int
    unpriced_calls: int
    unpriced_tokens: int
    tool_calls: int
    tool_errors: int
    tool_refusals: int
    lines_added: int
    lines_removed: int
    active_ms: int
    events: int
    metrics_only: bool
    """Only the sender's own metrics tell of it: no call was seen as an event."""

    @property
    def tokens(self) -> int:
        """All tokens, of the four kinds."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )

    @property
    def errors(self) -> int:
        """What failed: model requests and tools."""
        return self.call_errors + self.tool_errors


_SORTED_BY: Final = """
  select session_id, number, last_period, last_at, started_at, cost_nanousd,
         input_tokens + output_tokens + cache_read_tokens + cache_write_tokens as tokens,
         call_errors + tool_errors as errors
    from sessions
   where tenant = %(tenant)s
"""

_SHOWN: Final = """
  select tenant, session_id, number, project, agent, version, user_name, team, model, state,
         (extract(epoch from state_since) * 1000)::bigint as state_since_ms, attention,
         (extract(epoch from started_at) * 1000)::bigint as started_ms,
         (extract(epoch from last_at) * 1000)::bigint as last_ms,
         (extract(epoch from ended_at) * 1000)::bigint as ended_ms,
         started_at, last_at, last_period, state_since,
         left(first_prompt, 400) as first_prompt,
         prompts, calls, call_errors, rate_limits,
         input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_nanousd,
         lines_added, lines_removed, active_ms,
         least(cost_estimated_nanousd, cost_nanousd) as cost_estimated_nanousd,
         unpriced_calls, unpriced_tokens,
         tool_calls, tool_errors, tool_refusals, events,
         second_book as metrics_only,
         call_errors + tool_errors as errors,
         input_tokens + output_tokens + cache_read_tokens + cache_write_tokens as tokens
    from sessions
   where tenant = %(tenant)s
"""

_FIELDS: Final = sql.SQL(", ").join(sql.Identifier(name) for name in Session.__struct_fields__)


def listed(
    db: Db,
    tenant: str,
    wanted: Filter,
    *,
    sort: str = "recent",
    offset: int = 0,
    before: int = NUMBER_MAX,
    limit: int = 25,
) -> tuple[Session, ...]:
    """Return one page of the sessions that `wanted` describes, of those that came `before` one."""
    query = sql.SQL("""
        select {fields}
          from ({shown} and session_id = any(array(
                  select session_id from ({sorted_by} and number < %(before)s {where}) sorted
                   order by {sort}, session_id
                   limit %(limit)s offset %(offset)s
               ))) shown
         order by {sort}, session_id
    """).format(
        fields=_FIELDS,
        shown=sql.SQL(_SHOWN),
        sorted_by=sql.SQL(_SORTED_BY),
        where=_where(wanted),
        sort=sql.SQL(SORTS[sort]),
    )
    return _sessions(db, query, {
        **_bound(tenant, wanted), "limit": min(limit, PAGE_MAX), "offset": max(offset, 0),
        "before": before,
    })  # fmt: skip


def count(db: Db, tenant: str, wanted: Filter, *, limit: int = COUNTED_MAX) -> int:
    """Return how many sessions `wanted` describes, at most `limit`."""
    query = sql.SQL(
        "select least(count(*), %(limit)s) from sessions where tenant = %(tenant)s {where}"
    ).format(where=_where(wanted))
    row = db.execute(query, {**_bound(tenant, wanted), "limit": limit}).fetchone()
    return int(row[0]) if row else 0


def count_by_metrics(db: Db, tenant: str, wanted: Filter, *, limit: int = COUNTED_MAX) -> int:
    """Return how many sessions of `wanted` only their sender's own metrics tell of."""
    query = sql.SQL(
        "select count(*) from (select from sessions where tenant = %(tenant)s {where} "
        "and second_book limit %(limit)s) met"
    ).format(where=_where(wanted))
    row = db.execute(query, {**_bound(tenant, wanted), "limit": limit}).fetchone()
    return int(row[0]) if row else 0


def states(db: Db, tenant: str, wanted: Filter, *, limit: int = 20) -> dict[str, int]:
    """Return how many sessions of `wanted` are in each state."""
    query = sql.SQL(
        "select state, count(*) from sessions where tenant = %(tenant)s {where} "
        "group by state order by 2 desc limit %(limit)s"
    ).format(where=_where(wanted))
    found = db.execute(query, {**_bound(tenant, wanted), "limit": limit}).fetchall()
    return {str(state): int(number) for state, number in found}


def facets(db: Db, tenant: str, wanted: Filter, *, limit: int = 200) -> dict[str, tuple[str, ...]]:
    """Return the values that each filter can take among the sessions of `wanted`."""
    query = sql.SQL("""
        with met as materialized (
            select {columns}, count(*) as number from sessions
             where tenant = %(tenant)s {where} group by {columns}
        )
        {each}
    """).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, FACETS.values())),
        where=_where(wanted),
        each=sql.SQL(" union all ").join(map(_values, FACETS)),
    )
    found = db.execute(query, {**_bound(tenant, wanted), "limit": limit}).fetchall()
    return {name: tuple(str(value) for facet, value in found if facet == name) for name in FACETS}


def one(db: Db, tenant: str, session_id: str, *, limit: int = 1) -> Session | None:
    """Return one session, or None where the tenant has none of that id."""
    query = sql.SQL("select {fields} from ({shown} and session_id = %(id)s limit %(limit)s) shown")
    composed = query.format(fields=_FIELDS, shown=sql.SQL(_SHOWN))
    found = _sessions(db, composed, {"tenant": tenant, "id": session_id, "limit": limit})
    return found[0] if found else None


def needing_attention(db: Db, tenant: str, *, since_ms: int, limit: int = 8) -> tuple[Session, ...]:
    """Return sessions that wait, are stuck, are rate-limited or had errors; longest waits first."""
    query = sql.SQL("""
        select {fields} from (
          {shown}
            and {since}
            and (state in ('waiting', 'stuck', 'rate_limited')
                 or (state <> 'ended' and call_errors + tool_errors > 0))
        ) shown
        order by array_position(array['waiting', 'stuck', 'rate_limited'], state) nulls last,
                 case when state in ('waiting', 'stuck', 'rate_limited')
                      then state_since end nulls last,
                 errors desc, session_id
        limit %(limit)s
    """).format(fields=_FIELDS, shown=sql.SQL(_SHOWN), since=sql.SQL(_SINCE.format("since_ms")))
    return _sessions(db, query, {
        "tenant": tenant, "since_ms": since_ms, "limit": min(limit, PAGE_MAX),
    })  # fmt: skip


def newest_ms(db: Db, tenant: str, *, limit: int = 1) -> int | None:
    """Return when the tenant's newest event was, or None where there never was one."""
    row = db.execute(
        "select (extract(epoch from last_at) * 1000)::bigint from sessions "
        "where tenant = %(tenant)s order by last_period desc, last_at desc limit %(limit)s",
        {"tenant": tenant, "limit": limit},
    ).fetchone()
    return int(row[0]) if row else None


def tenants(db: Db, names: Iterable[str]) -> frozenset[str]:
    """Return those of `names` that have a session."""
    found = db.execute(
        "select name from unnest(%(names)s::text[]) as name "
        "where exists (select from sessions where tenant = name)",
        {"names": list(names)},
    )
    return frozenset(name for (name,) in found)


def demo(db: Db, tenant: str, *, since_ms: int, limit: int = 1) -> bool:
    """Return whether the tenant has sessions of a demonstration since `since_ms`."""
    query = sql.SQL(
        "select 1 from sessions where tenant = %(tenant)s and (team = 'demo' or project = 'demo') "
        "and {since} limit %(limit)s"
    ).format(since=sql.SQL(_SINCE.format("since_ms")))
    found = db.execute(query, {"tenant": tenant, "since_ms": since_ms, "limit": limit})
    return found.fetchone() is not None


def _sessions(db: Db, query: sql.Composed, bound: dict[str, Any]) -> tuple[Session, ...]:
    with db.cursor(row_factory=class_row(Session)) as cursor:
        return tuple(cursor.execute(query, bound).fetchall())


def _values(name: str) -> sql.Composed:
    """Return the query for the values of one facet, the most frequent first."""
    return sql.SQL(
        "(select {name}, {column} from met where {column} <> '' group by {column}"
        " order by sum(number) desc, {column} limit %(limit)s)"
    ).format(name=sql.Literal(name), column=sql.Identifier(FACETS[name]))


def _where(wanted: Filter) -> sql.Composed:
    parts = [
        sql.SQL(f"and {_SINCE.format('from_ms')}"),
        sql.SQL("and started_at < to_timestamp(%(until_ms)s / 1000.0)"),
    ]
    composed = [sql.Composed([part]) for part in parts]
    for name, column in FACETS.items():
        if getattr(wanted, name):
            composed.append(
                sql.SQL("and {} = {}").format(sql.Identifier(column), sql.Placeholder(name))
            )
    if wanted.search:
        composed.append(sql.Composed([sql.SQL(_SEARCH)]))
    return sql.SQL(" ").join(composed)


_SEARCH: Final = """
and (session_id ilike %(pattern)s or first_prompt ilike %(pattern)s
     or project ilike %(pattern)s or user_name ilike %(pattern)s)
"""


def _bound(tenant: str, wanted: Filter) -> dict[str, Any]:
    escaped = wanted.search.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return {
        "tenant": tenant,
        "from_ms": wanted.from_ms,
        "until_ms": wanted.until_ms,
        "pattern": f"%{escaped}%",
        **{name: getattr(wanted, name) for name in FACETS},
    }
