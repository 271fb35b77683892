"""What partitions tell apart of each tenant, and what met a limit, in the commit's transaction.

Both are rows of one partition of one log, so no commit waits for another one's. What is told apart
is taken up whole when a partition is claimed; its number is limited by `cardinality`.
"""

from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from analytics.contracts.ids import TenantId
from analytics.measures.rows import BatchOutcome, ToldApart
from streams.store.checkpoint import Checkpoint
from streams.store.pool import Db

SILENT_DAYS: Final = 2
"""So long after a partition's last commit everything that it told apart was idle."""
LIMITED_DAYS: Final = 365

_FORGET: Final = """
delete from told_apart where log_id = %s and partition = %s and used_ms < %s
"""
_PUT: Final = """
insert into told_apart (log_id, partition, tenant, dimension, digest, used_ms)
select %s, %s, tenant, dimension, digest, used_ms
  from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[])
       as row (tenant, dimension, digest, used_ms)
on conflict (log_id, partition, tenant, dimension, digest) do update
   set used_ms = excluded.used_ms
"""
_COUNT: Final = """
insert into limited as kept (tenant, dimension, log_id, partition, events)
select tenant, dimension, %s, %s, events
  from unnest(%s::text[], %s::text[], %s::bigint[]) as row (tenant, dimension, events)
on conflict (tenant, dimension, log_id, partition) do update
   set events = kept.events + excluded.events, last_at = now()
"""
_TAKEN_UP: Final = """
select tenant, dimension, digest, used_ms from told_apart where log_id = %s and partition = %s
"""
_REMOVE_SILENT: Final = """
delete from told_apart using checkpoints
 where told_apart.log_id = checkpoints.log_id and told_apart.partition = checkpoints.partition
   and checkpoints.updated_at < now() - make_interval(days => %s)
"""
_REMOVE_LIMITED: Final = "delete from limited where last_at < now() - make_interval(days => %s)"


async def put(db: Db, claim: Checkpoint, outcome: BatchOutcome) -> None:
    """Write what is told apart from now on, forget what was idle, and count what met a limit."""
    place = [claim.log_id, claim.partition]
    if outcome.apart_since_ms:
        await db.execute(_FORGET, [*place, outcome.apart_since_ms])
    if outcome.apart:
        fields = ("tenant", "dimension", "digest", "used_ms")
        arrays = [[getattr(row, field) for row in outcome.apart] for field in fields]
        await db.execute(_PUT, [*place, *arrays])
    if outcome.limited:
        arrays = [
            [getattr(row, field) for row in outcome.limited]
            for field in ("tenant", "dimension", "events")
        ]
        await db.execute(_COUNT, [*place, *arrays])


async def taken_up(db: Db, log_id: int, partition: int) -> tuple[ToldApart, ...]:
    """Return what a partition tells apart."""
    rows = await (await db.execute(_TAKEN_UP, [log_id, partition])).fetchall()
    return tuple(ToldApart(TenantId(tenant), *rest) for tenant, *rest in rows)


def remove_idle(db: Connection[TupleRow]) -> int:
    """Remove what nobody needs any more of partitions that are silent; return how many rows."""
    removed = db.execute(_REMOVE_SILENT, [SILENT_DAYS]).rowcount
    return removed + db.execute(_REMOVE_LIMITED, [LIMITED_DAYS]).rowcount
