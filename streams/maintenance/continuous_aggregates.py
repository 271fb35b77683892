"""Rollups where TimescaleDB Community computes them: continuous aggregates, refreshed when due.

They answer by the names of the tables that the rollup job writes elsewhere, and the job stays what
it is but for this step. A refresh has transactions of its own, so what it covers are the marks that
were there before it began: those alone are taken away after. What the edition cannot do is left to
the job: totals, which need the names of series, and to know of each period whether it is settled.
Policies refresh the same aggregates once an hour, for whatever changed without a mark.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

Db = Connection[TupleRow]

_MARKS: Final = """
select number from rollup_due
 where width_ms = %s and start_at = any(
       select to_timestamp(at_ms / 1000.0) from unnest(%s::bigint[]) at_ms)
"""
_REFRESH: Final = "call refresh_continuous_aggregate(%s, %s::timestamptz, %s::timestamptz)"


def marks(db: Db, width_ms: int, starts: Sequence[int]) -> list[int]:
    """Return the numbers of the marks of these periods."""
    return [number for (number,) in db.execute(_MARKS, [width_ms, list(starts)])]


def refresh(db: Db, table: str, ranges: Sequence[tuple[int, int]]) -> None:
    """Refresh the aggregate over these stretches of whole periods, outside any transaction."""
    for start, end in ranges:
        db.execute(_REFRESH, [table, _at(start), _at(end)])


def _at(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
