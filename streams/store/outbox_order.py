"""What leaves the outbox next: of each topic and key in turns, each key's results in order.

A tenant whose windows close by the thousand fills the outbox, and others' results would wait behind
all of it. A key is a tenant for closed windows, anomalies, forecasts and alerts, and a share of all
series for partials; what is of one key goes to one partition, where order counts. Keys are found by
skipping through an index, so a look costs by keys and not by what waits.
"""

from operator import itemgetter
from typing import Final

from psycopg.rows import TupleRow

from streams.store.pool import Db

KEYS_MAX: Final = 500
"""Keys of one look; the next look begins behind them."""

_TAKE: Final = """
with recursive lane (topic, key, place) as (
    (select topic, key, 1 from outbox
      where (topic, key) > (%(topic)s::text, %(key)s::bytea) order by topic, key limit 1)
    union all
    select following.topic, following.key, lane.place + 1
      from lane, lateral (
           select topic, key from outbox
            where (outbox.topic, outbox.key) > (lane.topic, lane.key)
            order by topic, key limit 1) following
     where lane.place < %(keys)s
), share as (
    select greatest(1, (%(limit)s + count(*) - 1) / greatest(1, count(*))) as records from lane
), chosen as (
    select picked.number
      from lane, share, lateral (
           select number, row_number() over (order by number) as turn
             from (select number from outbox
                    where outbox.topic = lane.topic and outbox.key = lane.key
                    order by number limit share.records) oldest) picked
     order by picked.turn, picked.number
     limit %(limit)s
)
delete from outbox
 where number in (select number from chosen)
returning number, topic, key, value, headers
"""
_START: Final = ("", b"")


class Turns:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._after = _START

    async def take(self, db: Db, *, limit: int) -> list[TupleRow]:
        """Take up to `limit` rows out of the outbox: number, topic, key, value and headers."""
        rows = await self._take(db, limit)
        if not rows and self._after != _START:
            self._after = _START
            rows = await self._take(db, limit)
        keys = sorted({(row[1], row[2]) for row in rows})
        self._after = keys[-1] if len(keys) >= min(KEYS_MAX, limit) else _START
        return sorted(rows, key=itemgetter(0))

    async def _take(self, db: Db, limit: int) -> list[TupleRow]:
        topic, key = self._after
        bound = {"limit": limit, "keys": KEYS_MAX, "topic": topic, "key": key}
        return await (await db.execute(_TAKE, bound)).fetchall()
