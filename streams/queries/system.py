"""How the stream itself is doing: progress, windows and dead letters (see `facts` for the store).

Progress belongs to the installation, not to a tenant, and holds no tenant's data.
Dead letters show their payload only to the tenant that sent them; what had no readable tenant is
counted to the operator alone.
"""

from typing import Final

from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from analytics.contracts.ids import DEFAULT_TENANT
from streams.series.measures import Db
from streams.series.span import WINDOW_TABLES

PARTITIONS_MAX: Final = 500
SHOWN_PAYLOAD_MAX: Final = 200
"""Bytes of a dead letter's payload that an answer holds."""


class PartitionProgress(Struct, frozen=True, kw_only=True):
    """How far one partition of a log has been folded."""

    cluster_id: str
    topic: str
    partition: int
    next_offset: int
    watermark_ms: int
    event_count: int
    late_count: int
    duplicate_count: int
    backfill_count: int
    updated_ms: int


class DeadLetterRow(Struct, frozen=True, kw_only=True):
    """One thing that could not be read."""

    at_ms: int
    topic: str
    partition: int
    log_offset: int
    origin: str
    reason: str
    payload: bytes


class Reason(Struct, frozen=True, kw_only=True):
    """Why there are dead letters, and how often."""

    reason: str
    number: int
    last_ms: int


class LimitMet(Struct, frozen=True, kw_only=True):
    """A dimension of which a tenant had more values than are told apart."""

    dimension: str
    """A label, or `session`, `series`, `session_series`; see `analytics.measures.cardinality`."""
    events: int
    """How many events were counted as its value `other`, ever."""
    last_ms: int


class Windows(Struct, frozen=True, kw_only=True):
    """How many windows of one width were touched lately, and how many are still open."""

    table: str
    cells: int
    open_cells: int
    late_cells: int


def progress(db: Db, *, limit: int = PARTITIONS_MAX) -> tuple[PartitionProgress, ...]:
    """Return how far each partition got, those of the newest logs first."""
    with db.cursor(row_factory=class_row(PartitionProgress)) as cursor:
        return tuple(cursor.execute(_PROGRESS, {"limit": min(limit, PARTITIONS_MAX)}).fetchall())


def dead_letters(
    db: Db, tenant: str, *, since_ms: int, limit: int = 20
) -> tuple[DeadLetterRow, ...]:
    """Return the newest things of this tenant that could not be read."""
    bound = {"tenant": tenant, "since_ms": since_ms, "limit": limit, "most": SHOWN_PAYLOAD_MAX}
    with db.cursor(row_factory=class_row(DeadLetterRow)) as cursor:
        return tuple(cursor.execute(_DEAD_LETTERS, bound).fetchall())


def reasons(db: Db, tenant: str, *, since_ms: int, limit: int = 20) -> tuple[Reason, ...]:
    """Return why this tenant has dead letters; the operator's sees those of no known tenant too.

    The tenant that an installation begins with is its operator's.
    """
    operator = tenant == DEFAULT_TENANT
    bound = {"tenant": tenant, "operator": operator, "since_ms": since_ms, "limit": limit}
    with db.cursor(row_factory=class_row(Reason)) as cursor:
        return tuple(cursor.execute(_REASONS, bound).fetchall())


def limited(db: Db, tenant: str, *, since_ms: int, limit: int = 20) -> tuple[LimitMet, ...]:
    """Return what of this tenant was counted as `other`, the most first."""
    bound = {"tenant": tenant, "since_ms": since_ms, "limit": limit}
    with db.cursor(row_factory=class_row(LimitMet)) as cursor:
        return tuple(cursor.execute(_LIMITED, bound).fetchall())


def windows(db: Db, tenant: str, *, since_ms: int, limit: int = 200_000) -> tuple[Windows, ...]:
    """Return how the windows since `since_ms` stand, one answer a width."""
    found = []
    for width_ms, table in WINDOW_TABLES.items():
        bound = {"tenant": tenant, "since_ms": since_ms - width_ms, "limit": limit}
        row = db.execute(_WINDOWS.format(table=sql.Identifier(table)), bound).fetchone()
        cells, open_cells, late_cells = row or (0, 0, 0)
        found.append(
            Windows(table=table, cells=cells, open_cells=open_cells, late_cells=late_cells)
        )
    return tuple(found)


_PROGRESS: Final = """
select l.cluster_id, l.topic, g.partition, g.next_offset, g.watermark_ms, g.event_count,
       g.late_count, g.duplicate_count, g.backfill_count,
       (extract(epoch from g.updated_at) * 1000)::bigint as updated_ms
  from checkpoints g
  join logs l on l.log_id = g.log_id
 order by l.first_seen desc, l.topic, g.partition
 limit %(limit)s
"""

_DEAD_LETTERS: Final = """
select (extract(epoch from at) * 1000)::bigint as at_ms, topic, partition, log_offset, origin,
       reason, substring(payload from 1 for %(most)s) as payload
  from dead_letters
 where tenant = %(tenant)s and at >= to_timestamp(%(since_ms)s / 1000.0)
 order by at desc
 limit %(limit)s
"""

_REASONS: Final = """
select case when tenant = '' then 'not readable far enough to tell whose it is' else reason end
         as reason,
       count(*) as number,
       (extract(epoch from max(at)) * 1000)::bigint as last_ms
  from dead_letters
 where (tenant = %(tenant)s or (tenant = '' and %(operator)s))
   and at >= to_timestamp(%(since_ms)s / 1000.0)
 group by 1
 order by 2 desc, 1
 limit %(limit)s
"""

_LIMITED: Final = """
select dimension, sum(events)::bigint as events,
       (extract(epoch from max(last_at)) * 1000)::bigint as last_ms
  from limited
 where tenant = %(tenant)s
 group by dimension
having max(last_at) >= to_timestamp(%(since_ms)s / 1000.0)
 order by 2 desc, 1
 limit %(limit)s
"""

_WINDOWS: Final = sql.SQL("""
select count(*), count(*) filter (where not closed and batch_offset < 0),
       count(*) filter (where batch_offset >= 0)
  from (select w.closed, w.batch_offset
          from {table} w
          join series s on s.series_id = w.series_id
         where s.tenant = %(tenant)s and w.start_at > to_timestamp(%(since_ms)s / 1000.0)
         limit %(limit)s) found
""")
