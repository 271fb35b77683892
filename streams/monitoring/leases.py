"""Who watches which tenants: shards of tenants, leased to workers by the store.

All tenants are cut into `SHARDS`. A worker says that it is there (`watchers`), keeps its fair share
of shards and leaves the rest to others; a shard whose lease ran out is anybody's. Each take-over
raises the shard's epoch, and every pass moves the shard's time under the epoch it was leased with,
in the transaction that holds all that came of it: a worker that lost a shard writes nothing more.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow

from analytics.contracts.errors import Fenced

SHARDS: Final = 16
LEASE_S: Final = 15
BEAT_S: Final = 4
"""How often a worker says that it is there; a lease outlives three."""

Db = Connection[TupleRow]

_SAY: Final = """
insert into watchers (owner, seen_at) values (%s, now())
on conflict (owner) do update set seen_at = excluded.seen_at
"""
_FORGET: Final = "delete from watchers where seen_at < now() - %s * interval '1 second'"
_ALIVE: Final = "select count(*) from watchers"
_RENEW: Final = """
update watches set leased_until = now() + %s * interval '1 second'
 where owner = %s returning shard, epoch, at_ms
"""
_RELEASE: Final = """
update watches set leased_until = '1970-01-01 00:00:00+00', owner = ''
 where owner = %s and shard = any(%s::smallint[])
"""
_TAKE: Final = """
update watches set owner = %s, epoch = epoch + 1, leased_until = now() + %s * interval '1 second'
 where shard in (select shard from watches where leased_until < now()
                  order by shard limit %s for update skip locked)
returning shard, epoch, at_ms
"""
_MOVE: Final = """
update watches held set at_ms = %s, leased_until = now() + %s * interval '1 second'
  from unnest(%s::smallint[], %s::bigint[], %s::bigint[]) as mine (shard, epoch, at_ms)
 where held.shard = mine.shard and held.epoch = mine.epoch and held.at_ms = mine.at_ms
   and held.owner = %s
"""
_LEAVE: Final = "delete from watchers where owner = %s"


class ShardLease(Struct, frozen=True):
    """A shard that is ours under an epoch, and how far it was watched."""

    shard: int
    epoch: int
    at_ms: int


def beat(db: Db, owner: str, *, lease_s: int = LEASE_S) -> dict[int, ShardLease]:
    """Say that `owner` is there; return what it holds from here on."""
    with db.transaction():
        db.execute(_SAY, [owner])
        db.execute(_FORGET, [lease_s])
        fair = math.ceil(SHARDS / max(1, _count(db)))
        held = _leases(db.execute(_RENEW, [lease_s, owner]).fetchall())
        spare = sorted(held)[fair:]
        if spare:
            db.execute(_RELEASE, [owner, spare])
        kept = {shard: lease for shard, lease in held.items() if shard not in spare}
        if len(kept) < fair:
            kept |= _leases(db.execute(_TAKE, [owner, lease_s, fair - len(kept)]).fetchall())
    return kept


def move(
    db: Db, owner: str, held: Sequence[ShardLease], at_ms: int, *, lease_s: int = LEASE_S
) -> tuple[ShardLease, ...]:
    """Move the time of shards, within the caller's transaction; raise `Fenced`."""
    arrays = [[getattr(one, name) for one in held] for name in ("shard", "epoch", "at_ms")]
    moved = db.execute(_MOVE, [at_ms, lease_s, *arrays, owner]).rowcount
    if moved != len(held):
        raise Fenced(
            f"{len(held) - moved} of {len(held)} watched shards are another worker's by now: "
            "lease them again"
        )
    return tuple(ShardLease(one.shard, one.epoch, at_ms) for one in held)


def leave(db: Db, owner: str) -> None:
    """Give everything back, so that others need not wait for the lease to run out."""
    with db.transaction():
        db.execute(_RELEASE, [owner, list(range(SHARDS))])
        db.execute(_LEAVE, [owner])


def _count(db: Db) -> int:
    row = db.execute(_ALIVE).fetchone()
    assert row is not None
    return int(row[0])


def _leases(rows: Sequence[TupleRow]) -> dict[int, ShardLease]:
    return {shard: ShardLease(shard, epoch, at_ms) for shard, epoch, at_ms in rows}


def digits(held: Mapping[int, ShardLease] | Sequence[ShardLease]) -> list[str]:
    """Return how the MD5 of a tenant of these shards begins, see `catalogue.shard_of`."""
    shards = held if isinstance(held, Mapping) else [one.shard for one in held]
    return [f"{shard:x}" for shard in sorted(shards)]
