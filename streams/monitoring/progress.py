"""How far event time is for those who watch: what the second stage of the windows has closed.

A minute is whole once every partition of the partials that ever held anything has passed its end.
While nobody sends anything event time stands still, and rules about silence would never be looked
at; so time that has stood for `stalled_ms` goes on by the clock, that much behind it.
"""

from typing import Final

from analytics.contracts import topics
from streams.monitoring.leases import Db

STALLED_MS: Final = 120_000
_WATERMARK: Final = """
select min(watermark_ms) from checkpoints
 where next_offset > 0 and log_id = (
   select log_id from checkpoints join logs using (log_id)
    where topic = %s order by checkpoints.updated_at desc limit 1)
"""


class Reached:
    """Follows event time, by the watermark and where that stands by the clock."""

    def __init__(self, *, stalled_ms: int = STALLED_MS) -> None:
        self._stalled_ms = stalled_ms
        self._watermark_ms: int | None = None
        self._moved_ms = 0

    def look(self, db: Db, *, now_ms: int) -> int:
        """Return until when windows are whole, as far as anybody can tell; 0 is not at all."""
        row = db.execute(_WATERMARK, [topics.PARTIALS.address]).fetchone()
        watermark_ms = 0 if row is None or row[0] is None else int(row[0])
        return self.at(watermark_ms, now_ms=now_ms)

    def at(self, watermark_ms: int, *, now_ms: int) -> int:
        """Return it for a watermark that was just seen."""
        if watermark_ms != self._watermark_ms:
            self._watermark_ms, self._moved_ms = watermark_ms, now_ms
        stood = now_ms - self._moved_ms >= self._stalled_ms
        return max(watermark_ms, now_ms - self._stalled_ms) if stood else watermark_ms
