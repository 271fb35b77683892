"""1-minute windows put straight into a store by `insert`, with the marks that a commit would leave.

For stores that take no `copy`; a worker's own way is held by the contract of the checkpoint store.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from analytics.measures import sketch
from analytics.measures.rows import MEASURES, ON_TIME

MINUTE_MS: Final = 60_000
_SERIES: Final = """
insert into series (series_id, tenant, grain, project, session_id, agent, model, tool, skill,
                    query_source)
values (%s, 'local', 'fleet', %s, '', 'claude-code', %s, '', '', '') on conflict do nothing
"""
_WINDOW: Final = SQL(
    "insert into window_1m (start_at, series_id, log_id, partition, batch_offset, {}, latency,"
    " closed) values (to_timestamp(%s / 1000.0), %s, 1, 0, %s, {}, %s, true)"
)
_DUE: Final = """
insert into rollup_due (start_at)
select distinct date_bin('5 minutes', to_timestamp(at_ms / 1000.0), '1970-01-01 00:00:00+00')
  from unnest(%s::bigint[]) as at_ms
"""


def put(
    db: Connection[TupleRow],
    starts_ms: Sequence[int],
    *,
    seed: int,
    batch_offset: int = ON_TIME,
    measures: Sequence[str] = MEASURES,
) -> None:
    """Put a window of each of three series into each of these minutes, and mark their periods."""
    chance = random.Random(seed)
    for series_id in range(1, 4):
        db.execute(_SERIES, [series_id, f"project-{series_id % 2}", f"model-{series_id}"])
    query = _WINDOW.format(
        SQL(", ").join(map(Identifier, measures)), SQL(", ").join([SQL("%s")] * len(measures))
    )
    with db.cursor() as cursor:
        for start_ms in starts_ms:
            for series_id in range(1, 4):
                sums = [chance.choice((None, chance.randrange(1, 10**6))) for _ in measures]
                counts = {chance.randrange(-40, 400): chance.randrange(1, 9) for _ in range(4)}
                latency = sketch.to_bytes(counts)
                cursor.execute(query, [start_ms, series_id, batch_offset, *sums, latency])
        cursor.execute(_DUE, [list(starts_ms)])


def unpriced(counts: Mapping[str, int]) -> dict[str, int]:
    """Return what a call adds to what is not priced: one that took tokens, and says no cost."""
    tokens = sum(amount for name, amount in counts.items() if name.endswith("_tokens"))
    if "cost_nanousd" in counts or not tokens:
        return {}
    return {"unpriced_calls": 1, "unpriced_tokens": tokens}
