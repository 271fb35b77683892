"""What accumulates in small pieces or stays behind when nothing refers to it any more.

A session's memory is added to with every batch. Its pieces are put together, in their order, into
the first of them: a commit only ever adds a piece behind all others, and whoever recalls a session
sees the pieces either before or after, so it does not matter who else is at work. Those of sessions
quiet for `QUIET_DAYS` are few to rewrite and read no more. Subjects that are no sessions, such as
connections, are put together once they have `PIECES_MAX`.

A series goes when its day rollups have gone, which are kept longest, and no worker made sure of it
for three days: a worker does so at least once a day for what it writes to.

What a second stage keeps goes with its log: a partition that nobody claimed or wrote for for
`LOG_DAYS` is of a broker that is gone. One that is in use lets go of it by itself.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

Db = Connection[TupleRow]

QUIET_DAYS: Final = 1
PIECES_MAX: Final = 500
ROUND_MAX: Final = 500
"""Sessions of one round."""
SERIES_MAX: Final = 10_000
"""Series of one round."""
ROUNDS_MAX: Final = 100
LOG_DAYS: Final = 7

_PUT_TOGETHER: Final = """
with crowded as (
  select tenant, session_id, min(seen.number) as number
    from seen
    left join sessions using (tenant, session_id)
   where coalesce(last_at < %(quiet)s, true)
   group by tenant, session_id
  having count(*) > case when count(last_at) > 0 then 1 else %(pieces)s end
   limit %(limit)s
), pieces as (
  delete from seen
   using crowded
   where seen.tenant = crowded.tenant and seen.session_id = crowded.session_id
     and seen.number > crowded.number
  returning seen.tenant, seen.session_id, seen.number, seen.memory, seen.added_at
), rest as (
  select tenant, session_id, string_agg(memory, ''::bytea order by number) as memory,
         max(added_at) as added_at
    from pieces group by tenant, session_id
)
update seen
   set memory = seen.memory || rest.memory, added_at = greatest(seen.added_at, rest.added_at)
  from crowded join rest using (tenant, session_id)
 where seen.tenant = crowded.tenant and seen.session_id = crowded.session_id
   and seen.number = crowded.number
"""
_REMOVE_SERIES: Final = """
delete from series where series_id = any(array(
    select series_id from series
     where used_at < now() - interval '3 days'
       and not exists (select from rollup_1d where rollup_1d.series_id = series.series_id)
       and not exists (select from window_1d where window_1d.series_id = series.series_id)
     limit %(limit)s))
   and used_at < now() - interval '3 days'
   and not exists (select from rollup_due where marked_at < now() - interval '1 day')
"""


_REMOVE_KEPT: Final = """
with gone as (
  select log_id, partition from merging join checkpoints using (log_id, partition)
   where checkpoints.updated_at < now() - make_interval(days => %(days)s)
   limit %(limit)s
     for update of checkpoints
), parcels_gone as (
  delete from parcels using gone
   where parcels.log_id = gone.log_id and parcels.partition = gone.partition
)
delete from merging using gone
 where merging.log_id = gone.log_id and merging.partition = gone.partition
"""


def put_together(db: Db, *, now_ms: int) -> int:
    """Put the pieces of memories together; return of how many."""
    quiet = datetime.fromtimestamp(now_ms / 1000, tz=UTC) - timedelta(days=QUIET_DAYS)
    bound = {"quiet": quiet, "pieces": PIECES_MAX, "limit": ROUND_MAX}
    return _rounds(db, _PUT_TOGETHER, bound, ROUND_MAX)


def remove_series(db: Db) -> int:
    """Remove series that nothing refers to; return how many."""
    return _rounds(db, _REMOVE_SERIES, {"limit": SERIES_MAX}, SERIES_MAX)


def remove_kept(db: Db) -> int:
    """Remove what second stages kept of logs that are gone; return of how many partitions."""
    return _rounds(db, _REMOVE_KEPT, {"days": LOG_DAYS, "limit": ROUND_MAX}, ROUND_MAX)


def _rounds(db: Db, statement: str, bound: dict[str, object], full: int) -> int:
    changed = 0
    for _ in range(ROUNDS_MAX):
        count = db.execute(statement.encode(), bound).rowcount
        changed += count
        if count < full:
            break
    return changed
