"""Which periods are to be rolled up anew: marked by every commit, in its own transaction.

A mark is a row of its own and has no unique key, so that no commit waits for another one's. Whoever
rolls a period up takes away the marks that it saw (see `rollups`): a commit that it did not see
leaves its mark.
"""

from collections.abc import Sequence
from typing import Final

from analytics.measures.rows import ROLLED_MS, WIDTHS_MS, CellRow
from streams.store.pool import Db

SOURCE_MS: Final = WIDTHS_MS[-1]
"""The width of the windows that everything is rolled up from."""
PERIOD_MS: Final = ROLLED_MS[0]
"""The width of the period that a commit marks."""

_MARK: Final = """
insert into rollup_due (width_ms, start_at)
select %s::int, to_timestamp(start_ms / 1000.0) from unnest(%s::bigint[]) as start_ms
"""


async def mark(db: Db, cells: Sequence[CellRow]) -> None:
    """Mark the periods that these cells are in."""
    starts = {
        cell.start_ms // PERIOD_MS * PERIOD_MS for cell in cells if cell.width_ms == SOURCE_MS
    }
    if starts:
        await db.execute(_MARK, [PERIOD_MS, sorted(starts)])
