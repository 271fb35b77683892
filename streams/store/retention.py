"""How long each kind of row is kept, and the removal of what is older.

Time tables lose whole chunks or partitions once everything in them is too old, so a row may outlive
its term by one of those, and is never removed before it. Everything else is deleted row by row, in
rounds of at most `ROUND_MAX`. What waits to be sent is never removed, and neither are the names of
series: five years of hours refer to them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct
from psycopg import Connection
from psycopg.rows import TupleRow

from streams.store import partitions
from streams.store.levels import Level
from streams.store.partitions import TimeTable

ROUND_MAX: Final = 10_000
ROUNDS_MAX: Final = 100

Days = Annotated[int, Meta(ge=1)]


class Retention(Struct, frozen=True, kw_only=True):
    """How many days each kind of row is kept."""

    events_days: Days = 7
    window_10s_days: Days = 7
    window_1m_days: Days = 30
    window_1h_days: Days = 1_826
    sessions_days: Days = 365
    """Counted from a session's last event; an import repeated within this time changes nothing."""
    graveyard_days: Days = 30

    def terms(self) -> Iterator[tuple[TimeTable, timedelta]]:
        """Return every time table with how long it keeps a row."""
        for table in partitions.TABLES:
            yield table, timedelta(days=getattr(self, f"{table.name}_days"))


def apply(
    db: Connection[TupleRow], level: Level, kept: Retention, *, now_ms: int
) -> dict[str, int]:
    """Remove what is older than its term; return how many chunks or rows went, by table."""
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    removed = {table.name: _drop(db, level, table, now - term) for table, term in kept.terms()}
    removed["graveyard"] = _delete(db, _OLD_GRAVES, now - timedelta(days=kept.graveyard_days))
    cutoff = now - timedelta(days=kept.sessions_days)
    removed["seen"] = _delete(db, _OLD_MEMORIES, cutoff)
    removed["sessions"] = _delete(db, _OLD_SESSIONS, cutoff)
    return removed


_OLD_GRAVES: Final = """
delete from graveyard where ctid = any(array(
    select ctid from graveyard where at < %s limit %s))
"""
_OLD_MEMORIES: Final = """
delete from seen where ctid = any(array(
    select seen.ctid from seen join sessions using (tenant, session_id)
     where sessions.last_at < %s limit %s))
"""
_OLD_SESSIONS: Final = """
delete from sessions where ctid = any(array(
    select ctid from sessions kept where last_at < %s and not exists (
        select from seen where (seen.tenant, seen.session_id) = (kept.tenant, kept.session_id))
     limit %s))
"""


def _drop(db: Connection[TupleRow], level: Level, table: TimeTable, cutoff: datetime) -> int:
    if not level.has_hypertables:
        return len(partitions.drop_before(db, table, cutoff))
    return db.execute(
        "select drop_chunks(%s::regclass, older_than => %s::timestamptz)", [table.name, cutoff]
    ).rowcount


def _delete(db: Connection[TupleRow], statement: str, cutoff: datetime) -> int:
    removed = 0
    for _ in range(ROUNDS_MAX):
        count = db.execute(statement.encode(), [cutoff, ROUND_MAX]).rowcount
        removed += count
        if count < ROUND_MAX:
            break
    return removed
