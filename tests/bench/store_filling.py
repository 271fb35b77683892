"""A store as it is after months: ten million raw events, ninety days of rollups, many sessions.

All rows are made by the server itself. One whole day of windows is made and rolled up by the
store's own job; the rollups of the days before are that day's, moved. Raw events lie on seven days
in sessions of some 1,300 events each, one of them of 100,000.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.numeric import Int4

from analytics.measures.rows import MEASURES
from streams.maintenance import rollups
from streams.store import levels, partitions
from streams.store.levels import Level

TENANT: Final = "bench"
PROJECTS: Final = 10
AGENTS: Final = 2
KINDS: Final = 10
"""Four models and six tools: a fleet series is a project, an agent and one of these."""
SERIES: Final = PROJECTS * AGENTS * KINDS
SESSION_S: Final = 2_000
SESSIONS_A_DAY: Final = 1_100
RAW_DAYS: Final = 7
DAYS: Final = 90
MINUTE_DAYS: Final = 30
LARGE: Final = "large"
LARGE_EVENTS: Final = 100_000
NARROW_HOURS: Final = 2
"""For how long every series has 10-second windows; before, one in fifty has."""
ROUNDS_MAX: Final = 200
HOUR_MS: Final = 3_600_000

Db = psycopg.Connection[TupleRow]


class Filled(Struct, frozen=True):
    """What there is in the store now."""

    now_ms: int
    events: int
    window_rows: int
    rollup_rows: int
    typical: str
    """A session of usual size that ended lately."""


def fill(url: str, *, events: int, now_ms: int) -> Filled:
    """Fill the migrated, empty store at `url`, on two connections at once."""
    now = datetime.fromtimestamp(now_ms // HOUR_MS * HOUR_MS / 1_000, tz=UTC)
    sessions = SESSIONS_A_DAY * RAW_DAYS
    each = events // sessions
    with _connected(url) as db:
        _make_partitions(db, now)
        db.execute(_SERIES, _bound(now))
        db.execute(_SESSION_SERIES, _bound(now))
        db.execute(_SESSIONS, _bound(now, each=each))
        db.execute(_LARGE_SESSION, _bound(now, events=LARGE_EVENTS))
    with ThreadPoolExecutor(2) as threads:
        raw = threads.submit(_fill_events, url, now, each)
        windows = threads.submit(_fill_windows, url, now)
        raw.result()
        windows.result()
    with _connected(url) as db:
        db.execute("analyze")
        return Filled(
            now_ms=int(now.timestamp() * 1_000),
            events=_count(db, ("events",)),
            window_rows=_count(db, ("window_10s", "window_1m")),
            rollup_rows=_count(db, _ROLLED),
            typical=f"s{SESSIONS_A_DAY // 24}",
        )


def _connected(url: str) -> Db:
    return psycopg.connect(url, autocommit=True, options="-c timezone=UTC -c work_mem=64MB")


def _bound(now: datetime, **more: int) -> dict[str, object]:
    numbers = {
        "projects": PROJECTS, "agents": AGENTS, "kinds": KINDS, "series": SERIES, "days": DAYS,
        "raw_days": RAW_DAYS, "a_day": SESSIONS_A_DAY, "lasts": SESSION_S, **more,
    }  # fmt: skip
    return {
        "now": now, "tenant": TENANT, "large": LARGE,
        **{name: Int4(number) for name, number in numbers.items()},
    }  # fmt: skip


def _make_partitions(db: Db, now: datetime) -> None:
    level = levels.detect(db)
    for table in partitions.TABLES:
        reach = RAW_DAYS if table.name in {"events", "window_10s", "window_1m"} else DAYS
        times = [now - timedelta(days=back) for back in range(reach + 2)]
        partitions.ensure(db, level, table, times)


def _fill_events(url: str, now: datetime, each: int) -> None:
    with _connected(url) as db:
        for day in range(RAW_DAYS):
            first, last = day * SESSIONS_A_DAY, (day + 1) * SESSIONS_A_DAY - 1
            db.execute(_EVENTS, _bound(now, each=each, first=first, last=last))
        db.execute(_LARGE_EVENTS, _bound(now, events=LARGE_EVENTS))


def _fill_windows(url: str, now: datetime) -> None:
    """Make one day of windows, roll it up, and move its rollups to the days before."""
    with _connected(url) as db:
        level = levels.detect(db)
        for width_ms, table, hours in ((10_000, "window_10s", NARROW_HOURS),
                                       (60_000, "window_1m", 24)):  # fmt: skip
            bound = _bound(now, width_ms=width_ms, hours=hours)
            for query in (_WINDOWS, _SESSION_WINDOWS):
                db.execute(SQL(query).format(table=Identifier(table), sums=_sums()), bound)
        db.execute(_DUE)
        _roll_up(db, level, now)
        for day in range(1, DAYS):
            for table in _ROLLED if day < MINUTE_DAYS else _ROLLED_LONG:
                db.execute(_moved(table), _bound(now, day=day))


def _roll_up(db: Db, level: Level, now: datetime) -> None:
    """Run the store's own job until nothing is marked, as if a day had passed each time."""
    for turn in range(1, ROUNDS_MAX):
        later_ms = int((now + timedelta(days=turn)).timestamp() * 1_000)
        rollups.run(db, level, now_ms=later_ms)
        if _count(db, ("rollup_due",)) == 0:
            return
    raise AssertionError("the rollups of a day were not made")


def _count(db: Db, tables: Sequence[str]) -> int:
    rows = [
        db.execute(SQL("select count(*) from {}").format(Identifier(table))).fetchone()
        for table in tables
    ]
    return sum(row[0] for row in rows if row)


def _sums() -> Composed:
    """Return the sums of a window's row: a request or a tool call, by what kind of series it is."""
    made = {
        "calls": "case when tool = '' then 3 end",
        "input_tokens": "case when tool = '' then 2400 + place end",
        "output_tokens": "case when tool = '' then 700 end",
        "cache_read_tokens": "case when tool = '' then 41000 end",
        "cost_nanousd": "case when tool = '' then 52000000 + place end",
        "latency_sum_ms": "3600 + place",
        "latency_count": "3",
        "tool_calls": "case when tool <> '' then 3 end",
        "tool_errors": "case when tool <> '' and place %% 17 = 0 then 1 end",
        "events": "3",
    }
    return SQL(", ").join(
        SQL("({})::bigint").format(SQL(made.get(name, "null"))) for name in MEASURES
    )


def _moved(table: str) -> Composed:
    """Return the statement that copies a rolled table's last day to a day before it."""
    keys = ["series_id"] if table.startswith("rollup") else ["tenant", "dimension", "name"]
    of_fleet = "series_id <= %(series)s" if keys == ["series_id"] else "true"
    last_day = "start_at >= %(now)s - interval '1 day'"
    if table.endswith("_1d"):
        last_day = "start_at = date_bin('1 day', %(now)s - interval '1 day', timestamptz 'epoch')"
    return SQL(
        "insert into {table} (start_at, {listed})"
        " select start_at - %(day)s * interval '1 day', {listed}"
        "   from {table} where {of_fleet} and {last_day}"
    ).format(
        table=Identifier(table),
        listed=SQL(", ").join(map(Identifier, (*keys, *MEASURES, "latency"))),
        of_fleet=SQL(of_fleet),
        last_day=SQL(last_day),
    )


_ROLLED_LONG: Final = ("rollup_5m", "rollup_1h", "rollup_1d", "total_5m", "total_1h", "total_1d")
_ROLLED: Final = (*_ROLLED_LONG, "total_1m")
_MODEL: Final = "(array['claude-sonnet-4-5', 'claude-opus-4-5', 'claude-haiku-4-5', 'gpt-5.2'])"
_TOOL: Final = "(array['Bash', 'Edit', 'Read', 'Write', 'Grep', 'WebFetch'])"
_AGENT: Final = "(array['claude-code', 'codex'])"
_SERIES: Final = f"""
insert into series (series_id, tenant, grain, project, session_id, agent, model, tool, skill,
                    query_source)
select id, %(tenant)s, 'fleet', 'project-' || id %% %(projects)s, '',
       {_AGENT}[1 + id / %(projects)s %% %(agents)s],
       case when kind < 4 then {_MODEL}[1 + kind] else '' end,
       case when kind >= 4 then {_TOOL}[kind - 3] else '' end, '', 'main'
  from (select id::int, (id / %(projects)s / %(agents)s %% %(kinds)s)::int as kind
          from generate_series(1, %(series)s) as id) made
"""
_SESSION_SERIES: Final = f"""
insert into series (series_id, tenant, grain, project, session_id, agent, model, tool, skill,
                    query_source)
select 1000000 + 2 * number + half, %(tenant)s, 'session', 'project-' || number %% %(projects)s,
       's' || number, {_AGENT}[1 + number %% 2],
       case when half = 0 then {_MODEL}[1 + number %% 4] else '' end, '', '', ''
  from generate_series(0, %(a_day)s * %(raw_days)s - 1) as number, generate_series(0, 1) as half
"""
_ZEROS: Final = ", ".join(
    "0" for name in MEASURES
    if name not in {"prompts", "calls", "input_tokens", "output_tokens", "cost_nanousd", "events",
                    "tool_calls", "tool_errors"}
)  # fmt: skip
_SESSION_COLUMNS: Final = ", ".join(
    ("prompts", "calls", "input_tokens", "output_tokens", "cost_nanousd", "events", "tool_calls",
     "tool_errors",
     *(name for name in MEASURES
       if name not in {"prompts", "calls", "input_tokens", "output_tokens", "cost_nanousd",
                       "events", "tool_calls", "tool_errors"}))
)  # fmt: skip
_SESSIONS: Final = f"""
insert into sessions (tenant, session_id, project, agent, version, user_name, team, model, state,
                      state_since, attention, started_at, last_at, ended_at, first_prompt, latency,
                      {_SESSION_COLUMNS})
select %(tenant)s, 's' || number, 'project-' || number %% %(projects)s,
       {_AGENT}[1 + number %% 2], '2.1.0', 'user-' || number %% 40, 'core',
       {_MODEL}[1 + number %% 4],
       case when began + lasts < %(now)s then 'ended'
            else (array['running', 'waiting', 'idle', 'stuck'])[1 + number %% 4] end,
       least(began + lasts, %(now)s), '', began, least(began + lasts, %(now)s),
       case when began + lasts < %(now)s then began + lasts end,
       'please look at issue ' || number || ' and mend what it tells of', '\\x',
       %(each)s / 40, %(each)s / 4, 3000 * %(each)s::bigint, 900 * %(each)s::bigint,
       13000000 * %(each)s::bigint,
       %(each)s, %(each)s / 4, number %% 5, {_ZEROS}
  from (select number,
               %(now)s - (number + 1) * (interval '1 day' / %(a_day)s) as began,
               %(lasts)s * interval '1 second' as lasts
          from generate_series(0, %(a_day)s * %(days)s - 1) as number) made
"""
_LARGE_SESSION: Final = f"""
insert into sessions (tenant, session_id, project, agent, version, user_name, team, model, state,
                      state_since, attention, started_at, last_at, ended_at, first_prompt, latency,
                      {_SESSION_COLUMNS})
select %(tenant)s, %(large)s, 'project-1', 'codex', '2.1.0', 'user-1', 'core', 'gpt-5.2', 'ended',
       %(now)s - interval '1 hour', '', %(now)s - interval '2 hours', %(now)s - interval '1 hour',
       %(now)s - interval '1 hour', 'all of it', '\\x', %(events)s / 40, %(events)s / 4,
       3000 * %(events)s::bigint, 900 * %(events)s::bigint, 13000000 * %(events)s::bigint,
       %(events)s, %(events)s / 4, 0, {_ZEROS}
"""
_RAW: Final = f"""
insert into events (received_at, at, tenant, session_id, id, type, source, project, agent, agent_id,
                    model, tool, duration_ms, cost_nanousd, failed, log_id, partition, log_offset,
                    payload)
select at + interval '80 milliseconds', at, %(tenant)s, session, session || '-' || step,
       (array['prompt.submitted', 'request.finished', 'tool.started', 'tool.finished'])[kind],
       'otel', 'project-' || number %% %(projects)s, {_AGENT}[1 + number %% 2],
       case when step / 16 %% 3 = 0 then '' else 'sub-' || step / 16 %% 3 end,
       case when kind = 2 then {_MODEL}[1 + number %% 4] else '' end,
       case when kind > 2 then {_TOOL}[1 + step / 4 %% 6] else '' end,
       case when kind in (2, 4) then 40 + step * 37 %% 4000 end,
       case when kind = 2 then 13000000 + step end,
       kind = 4 and step %% 97 = 0, 1, number %% 12, step,
       (array[
         '{{"type": "prompt.submitted", "text": "go on with the next part of the plan, please",
            "length": 44, "permission_mode": "default"}}',
         '{{"type": "request.finished", "input_tokens": 2400, "output_tokens": 700,
            "cache_read_tokens": 41000, "stop_reason": "tool_use", "query_source": "main",
            "speed": "standard", "attempt": 1, "service_tier": "standard"}}',
         '{{"type": "tool.started", "tool_kind": "builtin", "summary": "src/app/main.py",
            "input_bytes": 210}}',
         '{{"type": "tool.finished", "tool_kind": "builtin", "summary": "src/app/main.py",
            "output_bytes": 1800, "error": ""}}'
       ]::jsonb[])[kind]
  from (select *, case when step %% 40 = 0 then 1 else 2 + step %% 3 end as kind from {{made}}) made
"""
_EVENTS: Final = _RAW.replace(
    "{made}",
    """
(select number, 's' || number as session, step::int,
        %(now)s - (number + 1) * (interval '1 day' / %(a_day)s)
                + step * (%(lasts)s * interval '1 second' / %(each)s) as at
   from generate_series(%(first)s, %(last)s) as number, generate_series(0, %(each)s - 1) as step
) steps
""",
)
_LARGE_EVENTS: Final = _RAW.replace(
    "{made}",
    """
(select 1 as number, %(large)s::text as session, step::int,
        %(now)s - interval '2 hours' + step * (interval '1 hour' / %(events)s) as at
   from generate_series(0, %(events)s - 1) as step
) steps
""",
)
_WINDOWS: Final = """
insert into {table}
select start_at, series_id, 1, (series_id %% 12)::int, -1, {sums},
       decode(lpad(to_hex(64 + series_id::int %% 128), 2, '0') || '0103000000', 'hex'), true
  from (select start_at, s.series_id, s.tool, s.series_id::int as place
          from generate_series(%(now)s - interval '1 day',
                               %(now)s - %(width_ms)s * interval '1 millisecond',
                               %(width_ms)s * interval '1 millisecond') as start_at, series s
         where s.grain = 'fleet'
           and (start_at >= %(now)s - %(hours)s * interval '1 hour'
                or (s.series_id * 31 + extract(epoch from start_at)::bigint / 10) %% 50 = 0)) made
"""
_SESSION_WINDOWS: Final = """
insert into {table}
select start_at, series_id, 1, (series_id %% 12)::int, -1, {sums},
       decode('400103000000', 'hex'), true
  from (select date_bin(%(width_ms)s * interval '1 millisecond', began, timestamptz 'epoch')
                 + step * %(width_ms)s * interval '1 millisecond' as start_at,
               1000000 + 2 * number + half as series_id, half as place, '' as tool
          from (select number, %(now)s - (number + 1) * (interval '1 day' / %(a_day)s) as began
                  from generate_series(0, %(a_day)s - 1) as number) sessions,
               generate_series(0, %(lasts)s * 1000 / %(width_ms)s) as step,
               generate_series(0, 1) as half) made
 where start_at < %(now)s
   and start_at >= %(now)s - %(hours)s * interval '1 hour'
"""
_DUE: Final = """
insert into rollup_due (start_at, marked_at)
select distinct date_bin('5 minutes', start_at, timestamptz 'epoch'), timestamptz 'epoch'
  from window_1m
"""
