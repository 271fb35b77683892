"""Table `identities`: whose each thing is, written in the transaction of the batch that counts it.

Digests are inserted in their order, so two workers that register the same things wait for each
other and never deadlock; the later one finds whose they are and has to fold again. A batch that is
replayed finds its own.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from analytics.measures.rows import IdentityRow
from streams.store import wire
from streams.store.checkpoint import Contested
from streams.store.pool import Db
from streams.store.wire import RowTypes

Added = AsyncCursor[TupleRow]

_ADD: Final = b"""
insert into identities (digest, owner, tenant)
select digest, owner, tenant from unnest(%b::identity_row[])
on conflict (digest) do nothing
"""
_OWNERS: Final = """
select digest, owner from identities where digest = any(%s::uuid[])
"""


async def add(db: Db, rows: Sequence[IdentityRow], *, types: RowTypes) -> Added | None:
    """Insert what nobody has; `check` says whether that was all."""
    if not rows:
        return None
    return await db.execute(_ADD, [wire.identities(types, rows)])


async def check(db: Db, rows: Sequence[IdentityRow], added: Added | None) -> None:
    """Raise `Contested` if any of these is another session's."""
    if added is None or added.rowcount == len(rows):
        return
    kept = await owners(db, [row.digest for row in rows])
    others = {
        row.digest: kept[row.digest] for row in rows if kept.get(row.digest, row.owner) != row.owner
    }
    if others:
        raise Contested(others)


async def owners(db: Db, digests: Sequence[bytes]) -> Mapping[bytes, int]:
    """Return whose these things are, as far as they are known."""
    asked = [UUID(bytes=digest) for digest in dict.fromkeys(digests)]
    rows = await db.execute(_OWNERS, [asked])
    return {digest.bytes: owner async for digest, owner in rows}
