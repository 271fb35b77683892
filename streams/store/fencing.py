"""One writer at a time for a partition, and a way past one that hangs in the middle of its work.

A commit grips its partition until its transaction ends, and so does a recall, which may go on
beside a commit, on a grip of its own. One whose worker sleeps, or whose machine is gone, may never
end by itself: PostgreSQL waits for the next row of a COPY without a limit. So whoever claims the
partition waits `PATIENCE_S` for the grips and then ends the sessions that have them. What those
were writing is rolled back, and is read from the log again.
"""

import asyncio
import logging
import time
from typing import Final

from streams.store import tombstones
from streams.store.pool import Db

PATIENCE_S: Final = 2.0
LOOK_S: Final = 0.05
_COMMIT: Final = 0x4D53_0000
_RECALL: Final = 0x4D54_0000
"""Keep these locks apart from others of two numbers; a log's number goes into the low half."""

_GRIP: Final = "select pg_advisory_xact_lock(%s, %s)"
_GRIP_TO_COMMIT: Final = """
select pg_advisory_xact_lock(%s, %s), pg_advisory_xact_lock_shared(%s::bigint)
"""
_TRY: Final = "select pg_try_advisory_xact_lock(%s, %s)"
_END_HOLDER: Final = """
select pg_terminate_backend(pid)
  from pg_locks
 where locktype = 'advisory' and objsubid = 2 and granted and pid <> pg_backend_pid()
   and database = (select oid from pg_database where datname = current_database())
   and classid = %s::int8::oid and objid = %s::int8::oid
"""

log = logging.getLogger(__name__)


async def grip(db: Db, log_id: int, partition: int) -> None:
    """Ask for a commit's grip until the transaction ends; may go into a pipeline.

    Nobody erases meanwhile.
    """
    await db.execute(_GRIP_TO_COMMIT, [_COMMIT | log_id, partition, tombstones.LOCK])


async def grip_to_recall(db: Db, log_id: int, partition: int) -> None:
    """Ask for a recall's grip until the transaction ends; may go into a pipeline."""
    await db.execute(_GRIP, [_RECALL | log_id, partition])


async def take_over(db: Db, log_id: int, partition: int) -> None:
    """Get all grips on a partition, from sessions that hang too."""
    end = time.monotonic() + PATIENCE_S
    for space in (_COMMIT, _RECALL):
        key = [space | log_id, partition]
        while not await _is_ours(db, key):
            if time.monotonic() >= end:
                ended = await (await db.execute(_END_HOLDER, key)).fetchall()
                log.warning(
                    "ended a session that hung",
                    extra={"log": log_id, "partition": partition, "sessions": len(ended)},
                )
                end = time.monotonic() + PATIENCE_S
            await asyncio.sleep(LOOK_S)


async def _is_ours(db: Db, key: list[int]) -> bool:
    row = await (await db.execute(_TRY, key)).fetchone()
    return row is not None and row[0] is True
