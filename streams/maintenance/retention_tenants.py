"""The removal of what a tenant keeps for less time than everybody, row by row, by a worker's job.

It is done at every level alike, with or without policies of the database, and ends where retention
for everybody drops whole partitions and chunks anyway. One run removes what became too old since
the run before, and once a day it looks further back, for what came late.

Minutes are not deleted but added up, in place, to 5-minute rows of log 0, which no topic has: a
period that is made again from them comes to the same sums, whoever makes it. Rollups go row by row;
what a wider one is still to be made of waits (see `tenant_terms` for what a tenant can have).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Composed, Identifier

from analytics.measures.rows import MEASURES, ROLLED_MS
from streams.maintenance import tenant_terms
from streams.maintenance.retention import ROUND_MAX, ROUNDS_MAX, Retention
from streams.store import rollup_sums
from streams.store.levels import Level

Db = Connection[TupleRow]

LOOK_BACK: Final = timedelta(days=1)
"""How often all that is older is looked for."""
SLICES_MAX: Final = 8
"""Days that are removed one by one; what is older goes at once."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_DUE_MS: Final = {"5m": ROLLED_MS[1], "1h": ROLLED_MS[2]}
"""The width that is made of this one."""

_SETTINGS: Final = """
select tenant, kind, days, swept_to, looked_at from retention_settings order by tenant, kind
"""
_SWEPT: Final = """
update retention_settings set swept_to = %s, looked_at = %s where tenant = %s and kind = %s
"""
_OLDEST_DUE: Final = "select min(start_at) from rollup_due where width_ms = %s"
_MATERIALIZED: Final = """
select materialization_hypertable_schema, materialization_hypertable_name
  from timescaledb_information.continuous_aggregates where view_name = %s
"""
_EVENTS: Final = """
delete from events
 where tenant = %(tenant)s and received_at >= %(from)s and received_at < %(until)s
"""
_DEAD_LETTERS: Final = """
delete from dead_letters where tenant = %(tenant)s and at >= %(from)s and at < %(until)s
"""
_MEMORIES: Final = """
delete from seen where ctid = any(array(
    select seen.ctid from seen join sessions using (tenant, session_id)
     where tenant = %(tenant)s and sessions.last_at < %(until)s limit %(limit)s))
"""
_SESSIONS: Final = """
delete from sessions where ctid = any(array(
    select ctid from sessions kept where tenant = %(tenant)s and last_at < %(until)s
       and not exists (select from seen where (seen.tenant, seen.session_id)
                                            = (kept.tenant, kept.session_id))
     limit %(limit)s))
"""
_OF_SERIES: Final = """
delete from {table} w using series s
 where s.series_id = w.series_id and s.tenant = %(tenant)s
   and w.start_at >= %(from)s and w.start_at < %(until)s
"""
_OF_TENANT: Final = """
delete from {table}
 where tenant = %(tenant)s and start_at >= %(from)s and start_at < %(until)s
"""
_LUMP_WINDOWS: Final = """
with gone as (
  delete from window_1m w using series s
   where s.series_id = w.series_id and s.tenant = %(tenant)s and w.log_id <> 0 and w.closed
     and w.start_at >= %(from)s and w.start_at < %(until)s
  returning w.*
)
insert into window_1m as kept (start_at, {key}, {measures}, latency, closed)
select {bin}, series_id, 0, 0, 0, {sums},
       coalesce(string_agg(w.latency, ''::bytea), ''::bytea), true
  from gone w group by 1, 2
on conflict (start_at, {key}) do update
   set {changes}, latency = kept.latency || excluded.latency
"""
_LUMP_TOTALS: Final = """
with gone as (
  delete from total_1m w
   where tenant = %(tenant)s and start_at >= %(from)s and start_at < %(until)s
     and start_at <> {bin}
  returning w.*
)
insert into total_1m as kept (start_at, tenant, dimension, name, {measures}, latency)
select {bin}, tenant, dimension, name, {sums},
       coalesce(string_agg(w.latency, ''::bytea), ''::bytea)
  from gone w group by 1, 2, 3, 4
on conflict (tenant, dimension, start_at, name) do update
   set {changes}, latency = kept.latency || excluded.latency
"""


class _Setting(Struct, frozen=True):
    tenant: str
    kind: str
    days: int
    swept_to: datetime
    looked_at: datetime


def sweep(db: Db, level: Level, kept: Retention, *, now_ms: int) -> dict[str, int]:
    """Remove what is older than tenants keep it; return how many rows went, by kind."""
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    removed: dict[str, int] = {}
    settings = [_Setting(*row) for row in db.execute(_SETTINGS).fetchall()]
    limits = tenant_terms.everybodys(kept)
    for tenant in dict.fromkeys(one.tenant for one in settings):
        mine = [one for one in settings if one.tenant == tenant]
        days = tenant_terms.effective({one.kind: one.days for one in mine}, kept)
        for one in mine:
            if days[one.kind] >= limits[one.kind]:
                continue
            at_once = one.kind == "1d" and days["1d"] < limits["1m"]
            count = _sweep(db, level, one, days=days[one.kind], at_once=at_once, now=now)
            removed[one.kind] = removed.get(one.kind, 0) + count
    return {kind: count for kind, count in removed.items() if count}


def _sweep(db: Db, level: Level, one: _Setting, *, days: int, at_once: bool, now: datetime) -> int:
    """Remove what became too old of one kind since the last run, or all where that is due."""
    cutoff = _cutoff(db, one.kind, now - timedelta(days=days))
    looks_back = now - one.looked_at >= LOOK_BACK
    since = EPOCH if looks_back else one.swept_to
    if cutoff <= since:
        return 0
    removed = 0
    for start, end in _slices(since, cutoff):
        bound = {"tenant": one.tenant, "from": start, "until": end, "limit": ROUND_MAX}
        removed += _remove(db, level, one.kind, bound, at_once=at_once)
    looked = now if looks_back else one.looked_at
    db.execute(_SWEPT, [cutoff, looked, one.tenant, one.kind])
    return removed


def _cutoff(db: Db, kind: str, cutoff: datetime) -> datetime:
    """Return up to when rows go: of windows by whole days, and none that is still needed."""
    if kind not in tenant_terms.WIDTHS:
        return cutoff
    if kind in _DUE_MS:
        row = db.execute(_OLDEST_DUE, [_DUE_MS[kind]]).fetchone()
        if row is not None and row[0] is not None:
            cutoff = min(cutoff, row[0])
    return cutoff.replace(hour=0, minute=0, second=0, microsecond=0)


def _slices(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a stretch into days, what is long past as one."""
    start = max(since, until - SLICES_MAX * _DAY)
    if start > since:
        yield since, start
    while start < until:
        end = min(start + _DAY, until)
        yield start, end
        start = end


def _remove(db: Db, level: Level, kind: str, bound: Mapping[str, object], *, at_once: bool) -> int:
    match kind:
        case "events":
            return _run(db, SQL(_EVENTS), bound)
        case "dead_letters":
            return _run(db, SQL(_DEAD_LETTERS), bound)
        case "sessions":
            return _rounds(db, _MEMORIES, bound) + _rounds(db, _SESSIONS, bound)
        case "10s":
            return _run(db, SQL(_OF_SERIES).format(table=Identifier("window_10s")), bound)
        case "1m":
            with db.transaction():
                return _run(db, _lump(_LUMP_WINDOWS), bound) + _run(db, _lump(_LUMP_TOTALS), bound)
        case _:
            return _remove_rollups(db, level, kind, bound, at_once=at_once)


def _remove_rollups(
    db: Db, level: Level, width: str, bound: Mapping[str, object], *, at_once: bool
) -> int:
    """Remove a width's rollups, totals and rows apart; minutes too where nothing is to be left."""
    tables: list[Composable] = [Identifier(f"window_{width}"), _rollup(db, level, width)]
    totals = [Identifier(f"total_{width}")]
    if at_once:
        tables.append(Identifier("window_1m"))
        totals.append(Identifier("total_1m"))
    with db.transaction():
        return sum(
            [_run(db, SQL(_OF_SERIES).format(table=table), bound) for table in tables]
            + [_run(db, SQL(_OF_TENANT).format(table=table), bound) for table in totals]
        )


def _rollup(db: Db, level: Level, width: str) -> Composable:
    """Return the table with a width's rollups; what an aggregate holds is in one of its own."""
    name = f"rollup_{width}"
    if not level.has_policies:
        return Identifier(name)
    row = db.execute(_MATERIALIZED, [name]).fetchone()
    assert row is not None
    return Identifier(*row)


def _lump(statement: str) -> Composed:
    comma = SQL(", ")
    return SQL(statement).format(
        key=comma.join(map(Identifier, ("series_id", "log_id", "partition", "batch_offset"))),
        measures=comma.join(map(Identifier, MEASURES)),
        sums=rollup_sums.sums(),
        bin=rollup_sums.bin_of(ROLLED_MS[0], Identifier("w", "start_at")),
        changes=comma.join(
            SQL("{0} = nullif(coalesce(kept.{0}, 0) + coalesce(excluded.{0}, 0), 0)").format(
                Identifier(measure)
            )
            for measure in MEASURES
        ),
    )


def _run(db: Db, statement: Composable, bound: Mapping[str, object]) -> int:
    return db.execute(statement.as_string(db).encode(), bound).rowcount


def _rounds(db: Db, statement: str, bound: Mapping[str, object]) -> int:
    removed = 0
    for _ in range(ROUNDS_MAX):
        count = db.execute(statement.encode(), bound).rowcount
        removed += count
        if count < ROUND_MAX:
            break
    return removed
