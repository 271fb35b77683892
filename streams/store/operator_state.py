"""What a second stage keeps, in the transaction that moves its offset.

Parcels are rows, added as they come and removed once their windows are let go; what the stage knows
beside them is one row of its own. A first stage keeps nothing here.
"""

from typing import Final

from analytics.measures.rows import BatchOutcome
from streams.store.checkpoint import Checkpoint
from streams.store.pool import Db

_KEEP: Final = """
insert into parcels (log_id, partition, log_offset, until_ms, payload)
select %s, %s, log_offset, until_ms, payload
  from unnest(%s::bigint[], %s::bigint[], %s::bytea[]) as row (log_offset, until_ms, payload)
"""
_RELEASE: Final = """
delete from parcels where log_id = %s and partition = %s and until_ms <= %s
"""
_KNOW: Final = """
insert into merging (log_id, partition, state) values (%s, %s, %s)
on conflict (log_id, partition) do update set state = excluded.state
"""
_STATE: Final = "select state from merging where log_id = %s and partition = %s"
_KEPT: Final = """
select payload from parcels where log_id = %s and partition = %s order by log_offset
"""


async def put(db: Db, claim: Checkpoint, outcome: BatchOutcome) -> None:
    """Add what the outcome keeps, and remove what it lets go."""
    if not outcome.state:
        return
    place = [claim.log_id, claim.partition]
    if outcome.kept:
        fields = ("offset", "until_ms", "payload")
        arrays = [[getattr(row, field) for row in outcome.kept] for field in fields]
        await db.execute(_KEEP, [*place, *arrays])
    await db.execute(_RELEASE, [*place, outcome.released_ms])
    await db.execute(_KNOW, [*place, outcome.state])


async def taken_up(db: Db, log_id: int, partition: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Return what a second stage knew, and the parcels that it kept."""
    place = [log_id, partition]
    row = await (await db.execute(_STATE, place)).fetchone()
    if row is None:
        return b"", ()
    payloads = await (await db.execute(_KEPT, place)).fetchall()
    return row[0], tuple(payload for (payload,) in payloads)
