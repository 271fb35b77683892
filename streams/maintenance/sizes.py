"""How much room the store's tables take, how they are cut by time, and what is overdue in them.

A time table is cut into partitions, or into chunks where it is a hypertable; a continuous aggregate
counts as the table that holds what it has materialized.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow

from streams.store import partitions
from streams.store.levels import Level
from streams.store.partitions import TimeTable

Db = Connection[TupleRow]

PLAIN: Final = (
    "series",
    "sessions",
    "seen",
    "identities",
    "outbox",
    "parcels",
    "dead_letters",
    "rollup_due",
)
"""Tables that are not cut by time and may grow."""


class TableFacts(Struct, frozen=True, kw_only=True):
    """One table: its size on disk with indexes, how many rows about, and in how many parts."""

    name: str
    size_bytes: int
    rows_about: int | None
    """By the database's own statistics; None where it has none yet."""
    parts: int
    """Partitions or chunks; 0 where the table is not cut."""
    rowwise_late: int = 0
    """Chunks that a columnstore policy should have converted a day ago and has not."""
    retention_lag_ms: int = 0
    """By how much the oldest part has outlived its term; a little is how parts are dropped."""


def tables(db: Db, level: Level, terms: Mapping[str, timedelta]) -> tuple[TableFacts, ...]:
    """Return the store's tables, the largest first; `terms` say how long each is kept."""
    now = _now(db)
    found = []
    query = _HYPERTABLES if level.has_hypertables else _NATIVE
    for name, size, rows, parts, late, first_end in db.execute(
        query.encode(), [[*partitions.NAMED, *PLAIN]]
    ):
        lag_ms = 0
        if name in terms and name in partitions.NAMED:
            ends = first_end if level.has_hypertables else _first_end(db, partitions.NAMED[name])
            lag_ms = 0 if ends is None else max(0, (now - ends - terms[name]) // _MILLISECOND)
        found.append(
            TableFacts(
                name=name,
                size_bytes=size,
                rows_about=rows,
                parts=parts,
                rowwise_late=late,
                retention_lag_ms=lag_ms,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.size_bytes, one.name)))


_MILLISECOND: Final = timedelta(milliseconds=1)
_NATIVE: Final = """
select named.name,
       coalesce(sum(pg_total_relation_size(part.oid)),
                pg_total_relation_size(to_regclass(named.name)))::bigint,
       coalesce(sum(nullif(part.reltuples, -1)), nullif(max(whole.reltuples), -1))::bigint,
       count(part.oid), 0, null::timestamptz
  from unnest(%s::text[]) as named (name)
  join pg_class whole on whole.oid = to_regclass(named.name)
  left join pg_inherits on pg_inherits.inhparent = whole.oid
  left join pg_class part on part.oid = pg_inherits.inhrelid
 group by named.name
"""
_HYPERTABLES: Final = """
with placed as (
    select named.name, to_regclass(case when kept.view_name is null then named.name else
               format('%%I.%%I', kept.materialization_hypertable_schema,
                                 kept.materialization_hypertable_name) end) as place
      from unnest(%s::text[]) as named (name)
      left join timescaledb_information.continuous_aggregates kept
             on kept.view_name = named.name and kept.view_schema = current_schema()
)
select placed.name,
       coalesce(hypertable_size(place), pg_total_relation_size(place))::bigint,
       approximate_row_count(place)::bigint,
       cut.parts, cut.late, cut.first_end
  from placed
 cross join lateral (
    select count(*) as parts,
           count(*) filter (
               where not chunk.is_compressed
                 and chunk.range_end < now() - interval '1 day'
                                     - (policy.config ->> 'compress_after')::interval) as late,
           min(chunk.range_end) as first_end
      from timescaledb_information.chunks chunk
      left join timescaledb_information.jobs policy
             on policy.proc_name = 'policy_compression'
            and policy.hypertable_schema = chunk.hypertable_schema
            and policy.hypertable_name = chunk.hypertable_name
     where to_regclass(format('%%I.%%I', chunk.hypertable_schema, chunk.hypertable_name)) = place
 ) cut
 where place is not null
"""


def _first_end(db: Db, table: TimeTable) -> datetime | None:
    span = partitions.oldest(db, table)
    return None if span is None else span[1]


def _now(db: Db) -> datetime:
    row = db.execute("select now()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
