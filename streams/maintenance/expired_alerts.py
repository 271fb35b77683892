"""What alerting leaves behind that nobody looks at any more: removed after its time.

Notices that were sent or given up are kept as long as dead letters, samples that rules wrote as
long as 1-minute windows, changes of alerts, anomalies and silences that are over as long as
sessions, and acknowledgements for `ACKNOWLEDGED_DAYS`, after which no rule asks for them. What
waits to be sent stays, and so does an anomaly on which somebody said a word, for the threshold goes
by it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from streams.maintenance.retention import Retention

ACKNOWLEDGED_DAYS: Final = 31
ROUND_MAX: Final = 10_000
ROUNDS_MAX: Final = 100

Db = Connection[TupleRow]

_OLD: Final[Mapping[str, str]] = {
    "notices": "at < %(cutoff)s and state <> 'waiting'",
    "recordings": "at < %(cutoff)s",
    "alert_changes": "at < %(cutoff)s",
    "anomalies": "at < %(cutoff)s and feedback = ''",
    "silences": "ends_at < %(cutoff)s",
    "acknowledgements": "at < %(cutoff)s",
}


def remove(db: Db, kept: Retention, *, now_ms: int) -> dict[str, int]:
    """Remove what is older than its term; return how many rows of each table."""
    now = datetime.fromtimestamp(now_ms / 1_000, tz=UTC)
    days = {
        "notices": kept.dead_letters_days,
        "recordings": kept.window_1m_days,
        "acknowledgements": ACKNOWLEDGED_DAYS,
    }
    return {
        table: _rounds(db, table, now - timedelta(days=days.get(table, kept.sessions_days)))
        for table in _OLD
    }


def _rounds(db: Db, table: str, cutoff: datetime) -> int:
    statement = (
        f"delete from {table} where ctid = any(array("  # noqa: S608 - of the list above
        f"select ctid from {table} where {_OLD[table]} limit {ROUND_MAX}))"
    ).encode()
    removed = 0
    for _ in range(ROUNDS_MAX):
        count = db.execute(statement, {"cutoff": cutoff}).rowcount
        removed += count
        if count < ROUND_MAX:
            break
    return removed
