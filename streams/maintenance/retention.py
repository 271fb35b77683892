"""How long each kind of row is kept, and the removal of what is older.

Time tables lose whole chunks or partitions once everything in them is too old, so a row may outlive
its term by one of those, and is never removed before it; nor is a window that is still to be rolled
up. From when on a table is whole is written down in table `kept`, in the transaction that drops
what is older, so that nobody adds up half a period. Everything else is deleted row by row, in
rounds of at most `ROUND_MAX`. What waits to be sent is never removed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Identifier

from streams.store import holdings, partitions
from streams.store.levels import Level
from streams.store.partitions import TimeTable

ROUND_MAX: Final = 10_000
ROUNDS_MAX: Final = 100
LOCK_TIMEOUT_S: Final = 5
SOURCES: Final = {one.source: width for width, one in holdings.ROLLUPS.items()}
"""The tables that are rolled up, and into which width."""
BY_POLICY: Final = (
    "events", "window_10s", "window_5m", "window_1h", "window_1d",
    "rollup_5m", "rollup_1h", "rollup_1d",
)  # fmt: skip
"""What a policy of the database drops a day after its term, where there are policies."""

Days = Annotated[int, Meta(ge=1)]


class Retention(Struct, frozen=True, kw_only=True):
    """How many days each kind of row is kept; a wider window at least as long as a narrower one."""

    events_days: Days = 7
    window_10s_days: Days = 7
    window_1m_days: Days = 30
    window_5m_days: Days = 90
    window_1h_days: Days = 365
    window_1d_days: Days = 1_826
    sessions_days: Days = 365
    """Counted from a session's last event; an import repeated within this time changes nothing."""
    identities_days: Days = 365
    """Of who told of a request, a prompt or a tool call first; copies of older ones count anew."""
    dead_letters_days: Days = 30

    def terms(self) -> Iterator[tuple[TimeTable, timedelta]]:
        """Return every time table with how long it keeps a row."""
        by_width = dict(zip(_WIDTHS, self._widening(), strict=True))
        for table in partitions.TABLES:
            _, _, width = table.name.partition("_")
            yield table, timedelta(days=by_width.get(width, self.events_days))

    def _widening(self) -> Iterator[int]:
        days = 0
        for width in _WIDTHS:
            days = max(days, getattr(self, f"window_{width}_days"))
            yield days


_WIDTHS: Final = ("10s", "1m", "5m", "1h", "1d")


def apply(
    db: Connection[TupleRow], level: Level, kept: Retention, *, now_ms: int
) -> dict[str, int]:
    """Remove what is older than its term; return how many chunks or rows went, by table."""
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    removed = {}
    for table, term in kept.terms():
        db.execute(_SAY_TERM, [table.name, int(term.total_seconds())])
        removed[table.name] = _drop(db, level, table, now - term)
    removed["dead_letters"] = _delete(
        db, _OLD_DEAD_LETTERS, now - timedelta(days=kept.dead_letters_days)
    )
    cutoff = now - timedelta(days=kept.sessions_days)
    removed["seen"] = _delete(db, _OLD_MEMORIES, cutoff) + _delete(db, _OLD_SUBJECTS, cutoff)
    removed["sessions"] = _delete(db, _OLD_SESSIONS, cutoff)
    cutoff = now - timedelta(days=kept.identities_days)
    removed["identities"] = _delete(db, _OLD_IDENTITIES, cutoff)
    return removed


_SAY_TERM: Final = """
insert into kept (name, term_s) values (%s, %s)
on conflict (name) do update set term_s = excluded.term_s
"""
_SINCE: Final = "select since from kept where name = %s"
_SAY_SINCE: Final = """
update kept set since = greatest(since, %s) where name = %s
"""
_OLDEST_DUE: Final = """
select min(start_at) from rollup_due where width_ms = %s and start_at >= %s
"""
_OLD_DEAD_LETTERS: Final = """
delete from dead_letters where ctid = any(array(
    select ctid from dead_letters where at < %s limit %s))
"""
_OLD_MEMORIES: Final = """
delete from seen where ctid = any(array(
    select seen.ctid from seen join sessions using (tenant, session_id)
     where sessions.last_at < %s limit %s))
"""
_OLD_SUBJECTS: Final = """
delete from seen where ctid = any(array(
    select ctid from seen kept where added_at < %s and not exists (
        select from sessions where (sessions.tenant, sessions.session_id)
                                 = (kept.tenant, kept.session_id))
     limit %s))
"""
_OLD_SESSIONS: Final = """
delete from sessions where ctid = any(array(
    select ctid from sessions kept where last_at < %s and not exists (
        select from seen where (seen.tenant, seen.session_id) = (kept.tenant, kept.session_id))
     limit %s))
"""
_OLD_IDENTITIES: Final = """
delete from identities where ctid = any(array(
    select ctid from identities where registered_at < %s limit %s))
"""
_LAST_CHUNK: Final = """
select max(range_end), count(*) from timescaledb_information.chunks
 where hypertable_name = %s and range_end <= %s
"""


def _drop(db: Connection[TupleRow], level: Level, table: TimeTable, cutoff: datetime) -> int:
    """Drop what is over at `cutoff`, while nobody writes to the table or marks what is in it."""
    with db.transaction():
        db.execute(SQL("set local lock_timeout = '{}s'").format(LOCK_TIMEOUT_S))
        db.execute(SQL("lock table {} in access exclusive mode").format(Identifier(table.name)))
        since = _value(db, _SINCE, [table.name])
        if table.name in SOURCES:
            due = _value(db, _OLDEST_DUE, [SOURCES[table.name], since])
            cutoff = min(cutoff, due or cutoff)
            if _has_strays(db, table, since):
                return 0
        end = partitions.end_before(table, cutoff)
        if level.has_policies and table.name in BY_POLICY:
            end = cutoff.replace(hour=0, minute=0, second=0, microsecond=0)
            count = 0
        elif level.has_hypertables:
            last, count = db.execute(_LAST_CHUNK, [table.name, cutoff]).fetchone() or (None, 0)
            if last is None:
                return 0
            end = last
            db.execute(
                "select drop_chunks(%s::regclass, older_than => %s::timestamptz)", [table.name, end]
            )
        else:
            count = len(partitions.drop_before(db, table, end))
        db.execute(_SAY_SINCE, [end, table.name])
        return int(count)


def _has_strays(db: Connection[TupleRow], table: TimeTable, since: datetime | None) -> bool:
    """Say whether rows came after their period was dropped: they are counted elsewhere first."""
    if table.name != "window_1m":
        return False
    strays = "select 1 from window_1m where start_at < %s limit 1"
    return db.execute(strays, [since]).fetchone() is not None


def _value(db: Connection[TupleRow], query: str, values: list[object]) -> datetime | None:
    row = db.execute(query.encode(), values).fetchone()
    return row[0] if row is not None and isinstance(row[0], datetime) else None


def _delete(db: Connection[TupleRow], statement: str, cutoff: datetime) -> int:
    removed = 0
    for _ in range(ROUNDS_MAX):
        count = db.execute(statement.encode(), [cutoff, ROUND_MAX]).rowcount
        removed += count
        if count < ROUND_MAX:
            break
    return removed
