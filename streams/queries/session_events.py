"""One session's events: lanes, densities, spans, prompts and failures.

A session may hold hundreds of thousands of events. Nothing here returns all of them: what is drawn
is counted into slots in the store, what is read is a page. An event reported by several ingest
paths is kept raw several times; costs are therefore taken once a request, the largest report.
"""

from typing import Any, Final, TypeVar

from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from streams.series.measures import Db

_Row = TypeVar("_Row", bound=Struct)

LANES_MAX: Final = 60
SLOTS_MAX: Final = 240
MARKS_MAX: Final = 20_000
PROMPTS_MAX: Final = 500
PAGE_MAX: Final = 500
TEXT_MAX: Final = 600
"""Characters of an event's own text that an answer holds."""

KINDS: Final = {
    "prompt": ("prompt.submitted",),
    "call": ("request.finished",),
    "tool": ("tool.started", "tool.finished", "tool.decided"),
    "wait": ("attention.needed",),
    "agent": ("agent.started", "agent.finished"),
    "session": ("session.started", "session.ended", "turn.finished", "context.compacted",
                "mode.changed", "mcp.changed", "skill.used"),
}  # fmt: skip
"""What a timeline tells apart, and the event types each is made of; `error` is whatever failed."""

_KIND: Final = """
case when failed then 'error'
     when type = 'prompt.submitted' then 'prompt'
     when type = 'request.finished' then 'call'
     when type in ('tool.started', 'tool.finished', 'tool.decided') then 'tool'
     when type = 'attention.needed' then 'wait'
     else 'other' end
"""

_OF_SESSION: Final = """
 tenant = %(tenant)s and session_id = %(id)s
 and at >= to_timestamp(%(from_ms)s / 1000.0) and at < to_timestamp(%(until_ms)s / 1000.0)
"""


_TEXT: Final = """
left(coalesce(nullif(payload->>'text', ''), nullif(payload->>'error', ''),
              nullif(payload->>'summary', ''), nullif(payload->>'message', ''),
              nullif(payload->>'subject', ''), nullif(payload->>'name', ''),
              nullif(payload->>'skill', ''), nullif(payload->>'reason', ''),
              nullif(payload->>'agent_type', ''), ''), %(text_max)s)
"""

_LANES: Final = f"""
select agent_id,
       coalesce(max(payload->>'parent_agent_id') filter (where agent_id <> ''), '')
         as parent_agent_id,
       coalesce(max(payload->>'agent_type') filter (where agent_id <> ''), '') as agent_type,
       (extract(epoch from min(at)) * 1000)::bigint as first_ms,
       (extract(epoch from max(at)) * 1000)::bigint as last_ms,
       count(*) as events,
       count(*) filter (where type = 'tool.finished') as tool_calls,
       count(*) filter (where failed) as failures
  from events
 where {_OF_SESSION}
 group by agent_id
 order by agent_id <> '', min(at), agent_id
 limit %(limit)s
"""  # noqa: S608 - built from constants of this file only

_MARKS: Final = f"""
select agent_id, {_KIND} as kind,
       width_bucket(at, array(
         select to_timestamp((%(from_ms)s + edge * (%(until_ms)s - %(from_ms)s) / %(slots)s::float8)
                             / 1000.0)
           from generate_series(1, %(slots)s - 1) as edge
       )) as slot,
       count(*) as number,
       coalesce(max(duration_ms), 0) as busy_ms
  from events
 where {_OF_SESSION}
 group by 1, 2, 3
 order by 4 desc
 limit %(limit)s
"""  # noqa: S608 - built from constants of this file only

_PROMPTS: Final = f"""
with asked as (
  select coalesce(nullif(payload->>'prompt_id', ''), id) as fact, min(at) as at,
         (array_agg({_TEXT} order by length({_TEXT}) desc))[1] as text
    from events
   where {_OF_SESSION} and type = 'prompt.submitted'
   group by 1
), done as (
  select type, min(at) as at, max(cost_nanousd) as cost_nanousd, bool_or(failed) as failed
    from events
   where {_OF_SESSION} and type in ('request.finished', 'request.failed', 'tool.finished')
   group by type, coalesce(nullif(payload->>'request_id', ''),
                           nullif(payload->>'tool_use_id', ''), id)
), placed as (
  select type, at, text, cost_nanousd, failed,
         count(*) filter (where type = '') over (
           order by at, type rows between unbounded preceding and current row
         ) as number
    from (select '' as type, at, text, null::bigint as cost_nanousd, false as failed from asked
          union all
          select type, at, '', cost_nanousd, failed from done) everything
)
select number, (extract(epoch from min(at)) * 1000)::bigint as at_ms,
       coalesce((extract(epoch from lead(min(at)) over (order by number)) * 1000)::bigint,
                %(until_ms)s) as until_ms,
       coalesce(max(text), '') as text,
       count(*) filter (where type = 'request.finished') as calls,
       count(*) filter (where type = 'tool.finished') as tools,
       count(*) filter (where failed) as failures,
       coalesce(sum(cost_nanousd), 0)::bigint as cost_nanousd
  from placed
 group by number
 order by number
 limit %(limit)s
"""  # noqa: S608 - built from constants of this file only

_FAILURES: Final = f"""
select case when tool <> '' then tool when model <> '' then model else type end as what,
       coalesce(nullif(payload->>'kind', ''), nullif(payload->>'error_type', ''), type) as kind,
       count(*) as number,
       (extract(epoch from min(at)) * 1000)::bigint as first_ms,
       (extract(epoch from max(at)) * 1000)::bigint as last_ms,
       max({_TEXT}) as example
  from events
 where {_OF_SESSION} and failed
 group by 1, 2
 order by 3 desc, 5 desc
 limit %(limit)s
"""  # noqa: S608 - built from constants of this file only

_WAITED: Final = f"""
select count(*), coalesce(sum(extract(epoch from (
         coalesce(went.at, to_timestamp(%(until_ms)s / 1000.0)) - asked.at)) * 1000), 0)::bigint
  from (select at from events
         where {_OF_SESSION} and type = 'attention.needed' and payload->>'reason' = 'permission'
         order by at limit %(limit)s) asked
  left join lateral (
    select at from events
     where tenant = %(tenant)s and session_id = %(id)s and events.at > asked.at
     order by events.at limit 1
  ) went on true
"""  # noqa: S608 - built from constants of this file only

_PAGE: Final = f"""
select (extract(epoch from at) * 1000)::bigint as at_ms, id, type, source, agent_id, model, tool,
       duration_ms, cost_nanousd, failed, {_TEXT} as text
  from events
 where {_OF_SESSION} {{chosen}}
 order by at, log_offset
 limit %(limit)s offset %(offset)s
"""  # noqa: S608 - built from constants of this file only


class Stretch(Struct, frozen=True, kw_only=True):
    """Which session, and which part of it."""

    session_id: str
    from_ms: int
    until_ms: int


class AgentTimeline(Struct, frozen=True, kw_only=True):
    """One agent within a session; the main one has no id."""

    agent_id: str
    parent_agent_id: str
    agent_type: str
    first_ms: int
    last_ms: int
    events: int
    tool_calls: int
    failures: int


class Mark(Struct, frozen=True, kw_only=True):
    """How many events of one kind an agent had within one slot of time."""

    agent_id: str
    kind: str
    slot: int
    number: int
    busy_ms: int
    """The longest duration among them; they ended within the slot."""


class Prompt(Struct, frozen=True, kw_only=True):
    """One prompt and what was done until the next one."""

    number: int
    at_ms: int
    until_ms: int
    text: str
    calls: int
    tools: int
    failures: int
    cost_nanousd: int


class SessionFailure(Struct, frozen=True, kw_only=True):
    """One way in which things failed, and how often."""

    what: str
    kind: str
    number: int
    first_ms: int
    last_ms: int
    example: str


class Happening(Struct, frozen=True, kw_only=True):
    """One event as the list of a session shows it."""

    at_ms: int
    id: str
    type: str
    source: str
    agent_id: str
    model: str
    tool: str
    duration_ms: int | None
    cost_nanousd: int | None
    failed: bool
    text: str


def lanes(
    db: Db, tenant: str, part: Stretch, *, limit: int = LANES_MAX
) -> tuple[AgentTimeline, ...]:
    """Return the agents at work in a stretch, in the order in which they began."""
    return _all(db, AgentTimeline, _LANES, _bound(tenant, part, limit=min(limit, LANES_MAX)))


def marks(
    db: Db, tenant: str, part: Stretch, *, slots: int = SLOTS_MAX, limit: int = MARKS_MAX
) -> tuple[Mark, ...]:
    """Return what each agent did in each of `slots` equal parts of a stretch."""
    cut = max(1, min(slots, SLOTS_MAX))
    return _all(db, Mark, _MARKS, {**_bound(tenant, part, limit=limit), "slots": cut})


def prompts(db: Db, tenant: str, part: Stretch, *, limit: int = PROMPTS_MAX) -> tuple[Prompt, ...]:
    """Return the prompts of a stretch with what each led to until the next, oldest first."""
    return _all(db, Prompt, _PROMPTS, _bound(tenant, part, limit=min(limit, PROMPTS_MAX)))


def failures(db: Db, tenant: str, part: Stretch, *, limit: int = 8) -> tuple[SessionFailure, ...]:
    """Return what went wrong, grouped, the most frequent first."""
    return _all(db, SessionFailure, _FAILURES, _bound(tenant, part, limit=limit))


def waited_ms(db: Db, tenant: str, part: Stretch, *, limit: int = 10_000) -> tuple[int, int]:
    """Return how often an agent waited for a person, and for how long in all."""
    row = db.execute(_WAITED, _bound(tenant, part, limit=limit)).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def page(
    db: Db, tenant: str, part: Stretch, *, kind: str = "", agent_id: str | None = None,
    offset: int = 0, limit: int = 50,
) -> tuple[Happening, ...]:  # fmt: skip
    """Return one page of a stretch's events, oldest first."""
    query = sql.SQL(_PAGE).format(chosen=_chosen(kind, agent_id))
    bound = _bound(tenant, part, limit=min(limit, PAGE_MAX))
    return _all(db, Happening, query, {
        **bound, "offset": max(offset, 0), "agent_id": agent_id, "types": list(KINDS.get(kind, ())),
    })  # fmt: skip


def count(
    db: Db, tenant: str, part: Stretch, *, kind: str = "", agent_id: str | None = None,
    limit: int = 1_000_000,
) -> int:  # fmt: skip
    """Return how many events a stretch has, at most `limit`."""
    query = sql.SQL(
        "select count(*) from (select 1 from events where {of} {chosen} limit %(limit)s) found"
    ).format(of=sql.SQL(_OF_SESSION), chosen=_chosen(kind, agent_id))
    bound = _bound(tenant, part, limit=limit)
    row = db.execute(
        query, {**bound, "agent_id": agent_id, "types": list(KINDS.get(kind, ()))}
    ).fetchone()
    return int(row[0]) if row else 0


def _chosen(kind: str, agent_id: str | None) -> sql.Composed:
    parts = []
    if kind == "error":
        parts.append(sql.SQL("and failed"))
    elif kind in KINDS:
        parts.append(sql.SQL("and type = any(%(types)s)"))
    if agent_id is not None:
        parts.append(sql.SQL("and agent_id = %(agent_id)s"))
    return sql.SQL(" ").join(parts)


def _bound(tenant: str, part: Stretch, *, limit: int) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "id": part.session_id,
        "from_ms": part.from_ms,
        "until_ms": part.until_ms,
        "limit": limit,
        "text_max": TEXT_MAX,
    }


def _all(
    db: Db, kind: type[_Row], query: str | sql.Composed, bound: dict[str, Any]
) -> tuple[_Row, ...]:
    with db.cursor(row_factory=class_row(kind)) as cursor:
        composed = sql.SQL(query) if isinstance(query, str) else query
        return tuple(cursor.execute(composed, bound).fetchall())
