"""One writer at a time for a partition, and a way past one that hangs in the middle of a commit.

A commit grips its partition until its transaction ends. One whose worker sleeps, or whose machine
is gone, may never end by itself: PostgreSQL waits for the next row of a COPY without a limit. So
whoever claims the partition waits `PATIENCE_S` for the grip and then ends the session that has it.
What that one was writing is rolled back, and is read from the log again.
"""

import asyncio
import logging
import time
from typing import Final

from streams.store.pool import Db

PATIENCE_S: Final = 2.0
LOOK_S: Final = 0.05
_SPACE: Final = 0x4D53_0000
"""Keeps these locks apart from others of two numbers; a log's number goes into the low half."""

_GRIP: Final = "select pg_advisory_xact_lock(%s, %s)"
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
    """Ask for the grip until the transaction ends; may go into a pipeline."""
    await db.execute(_GRIP, [_SPACE | log_id, partition])


async def take_over(db: Db, log_id: int, partition: int) -> None:
    """Get the grip, from a session that hangs too."""
    key = [_SPACE | log_id, partition]
    end = time.monotonic() + PATIENCE_S
    while not await _is_ours(db, key):
        if time.monotonic() >= end:
            ended = await (await db.execute(_END_HOLDER, key)).fetchall()
            log.warning(
                "ended a commit that hung",
                extra={"log": log_id, "partition": partition, "sessions": len(ended)},
            )
            end = time.monotonic() + PATIENCE_S
        await asyncio.sleep(LOOK_S)


async def _is_ours(db: Db, key: list[int]) -> bool:
    row = await (await db.execute(_TRY, key)).fetchone()
    return row is not None and row[0] is True
