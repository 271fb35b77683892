"""The erasure of a session, a user or a tenant on request: rows go, sums that name nobody stay.

First a tombstone is set up, alone with all commits (see `tombstones`), then rows are deleted in
short transactions, a session's own row last: an erasure that was cut off is asked for again and
finds what is left. Asked for twice it deletes nothing the second time. Every request leaves a
record of who asked, when, and how many rows went, by a salted digest of its subject and no word of
what was in them.

What is deleted: raw events, windows and rollups of the session's own series, what was remembered of
it, what it was the first to tell of, the session itself, what watching said of it, and what in the
dead letters names it. The fleet's windows and totals stay: they know projects and models, no
sessions and no people. For a user, it is so with all their sessions, and their name goes from
settings, silences and feedback. Of a tenant everything goes (see `erasure_tenant`).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composable, Identifier
from psycopg.types.json import Jsonb

from analytics.contracts import topics
from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.identities import owner_of
from streams.clients import admin
from streams.maintenance import erasure_monitoring, erasure_tenant
from streams.store import holdings, levels, storable
from streams.store.levels import Level
from streams.store.tombstones import LOCK, ErasureKind, digest

LOCK_TIMEOUT_S: Final = 10
"""How long commits are waited for; meanwhile further ones wait."""
MARGIN: Final = timedelta(days=1)
"""How far around a session its windows are looked for."""

Db = Connection[TupleRow]

_WINDOWS: Final = tuple(one.table for one in holdings.WINDOWS.values())
_ROLLUPS: Final = tuple(one.table for one in holdings.ROLLUPS.values())
_NAMED_BY: Final = (
    ("anomalies", "feedback_by"), ("budgets", "changed_by"), ("alerts", "acknowledged_by"),
    ("silences", "created_by"), ("acknowledgements", "acknowledged_by"),
    ("alert_files", "changed_by"), ("retention_settings", "changed_by"),
)  # fmt: skip
"""Where a user is named beside events."""


class Subject(Struct, frozen=True, kw_only=True):
    """Who or what is erased."""

    tenant: str
    kind: ErasureKind
    name: str


class Found(Struct, frozen=True, kw_only=True):
    """What the store has of a subject."""

    sessions: int
    events: int


class Erasure(Struct, frozen=True, kw_only=True):
    """What a request came to; `beyond` says what it cannot reach."""

    number: int
    subject: str
    """The digest of the subject, as the record has it."""
    removed: dict[str, int]
    beyond: tuple[str, ...]


class Entry(Struct, frozen=True, kw_only=True):
    """One record of a request."""

    number: int
    tenant: str
    kind: str
    subject: str
    asked_by: str
    asked_ms: int
    finished_ms: int | None
    """None where the request was cut off: ask again."""
    removed: dict[str, int]


def look(url: str, subject: Subject) -> Found:
    """Return what the store has of a subject, and change nothing."""
    with admin.connected(url, "an erasure") as db:
        sessions = _sessions_of(db, subject)
        return Found(sessions=len(sessions), events=_count_events(db, subject, sessions))


def erase(url: str, subject: Subject, *, asked_by: str) -> Erasure:
    """Erase a subject; safe to repeat."""
    with admin.connected(url, "an erasure") as db:
        level = levels.detect(db)
        number, told, sessions = _set_tombstone(db, subject, asked_by)
        removed: dict[str, int] = {}
        for table, count in _rows(db, level, subject, sessions):
            removed[table] = removed.get(table, 0) + count
        removed = {table: count for table, count in removed.items() if count}
        db.execute(_FINISH, [Jsonb(removed), number])
        return Erasure(number=number, subject=told.hex(), removed=removed, beyond=beyond())


def lift(url: str, tenant: str) -> int:
    """Let what was erased of a tenant be stored when it is told again; return how many stones."""
    with admin.connected(url, "an erasure") as db:
        return erasure_tenant.lift(db, tenant)


def entries(url: str, tenant: str, *, limit: int = 100) -> list[Entry]:
    """Return the last requests of a tenant, the newest first."""
    with admin.connected(url, "an erasure") as db:
        rows = db.execute(_ENTRIES, [tenant, limit]).fetchall()
    return [Entry(**dict(zip(Entry.__struct_fields__, row, strict=True))) for row in rows]


def beyond() -> tuple[str, ...]:
    """Return what no erasure reaches, as sentences."""
    kept = ", ".join(f"{topic.name} {topic.retention_days} d" for topic in topics.ALL)
    return (
        f"Kafka keeps records as long as its topics say, and none is stored again: {kept}",
        "backups, exports, and what agents keep on their own machines",
    )


_SALT: Final = "select salt from erasure_salt"
_ALONE: Final = "select pg_advisory_xact_lock(%s::bigint)"
_UNSET: Final = "delete from tombstones where tenant = %s and kind = %s and digest = any(%s)"
_SET: Final = """
insert into tombstones (tenant, kind, digest, until_at)
select %s, %s, digest, now() from unnest(%s::bytea[]) as digest
"""
_ASK: Final = """
insert into erasures (tenant, kind, digest, asked_by) values (%s, %s, %s, %s) returning number
"""
_FINISH: Final = """
update erasures set finished_at = clock_timestamp(), removed = %s where number = %s
"""
_ENTRIES: Final = """
select number, tenant, kind, encode(digest, 'hex'), asked_by,
       (extract(epoch from asked_at) * 1000)::bigint,
       (extract(epoch from finished_at) * 1000)::bigint, removed
  from erasures where tenant = %s order by number desc limit %s
"""
_OF_USER: Final = "select session_id from sessions where tenant = %s and user_name = %s"
_OF_TENANT: Final = "select session_id from sessions where tenant = %s"
_EVENTS_OF_TENANT: Final = "select count(*) from events where tenant = %s"
_COUNT_EVENTS: Final = """
select count(*) from events
 where tenant = %s and (session_id = any(%s) or payload ->> 'user' = %s)
"""
_SPAN: Final = """
select started_at, last_at from sessions where tenant = %s and session_id = %s
"""
_SERIES: Final = """
select series_id from series where tenant = %s and session_id = %s and grain = 'session'
"""
_MATERIALIZED: Final = """
select materialization_hypertable_schema, materialization_hypertable_name
  from timescaledb_information.continuous_aggregates where view_name = any(%s)
"""
_FORGET: Final = "delete from identities where owner = any(%s::bigint[])"
_DEAD_LETTERS: Final = """
delete from dead_letters where tenant = %s and position(%s::bytea in payload) > 0
"""


def _set_tombstone(db: Db, subject: Subject, asked_by: str) -> tuple[int, bytes, list[str]]:
    """Set up tombstones and the record while nobody commits; return what is to be deleted."""
    row = db.execute(_SALT).fetchone()
    assert row is not None
    salt: bytes = row[0]
    told = digest(salt, subject.tenant, subject.name)
    with db.transaction():
        db.execute(SQL("set local lock_timeout = '{}s'").format(LOCK_TIMEOUT_S))
        db.execute(_ALONE, [LOCK])
        sessions = _sessions_of(db, subject)
        stones = {ErasureKind.SESSION: [digest(salt, subject.tenant, name) for name in sessions]}
        if subject.kind is not ErasureKind.SESSION:
            stones[subject.kind] = [told]
        for kind, digests in stones.items():
            db.execute(_UNSET, [subject.tenant, kind, digests])
            db.execute(_SET, [subject.tenant, kind, digests])
        asked = db.execute(_ASK, [subject.tenant, subject.kind, told, asked_by]).fetchone()
    assert asked is not None
    return int(asked[0]), told, sessions


def _rows(
    db: Db, level: Level, subject: Subject, sessions: Sequence[str]
) -> Iterator[tuple[str, int]]:
    """Delete what is a subject's; say how many rows of which table went."""
    if subject.kind is ErasureKind.TENANT:
        yield from erasure_tenant.erase(db, subject.tenant, has_aggregates=level.has_policies)
        return
    for session in sessions:
        yield from _erase_session(db, level, subject.tenant, session)
    owners = [owner_of(TenantId(subject.tenant), SessionId(name)) for name in sessions]
    yield "identities", _deleted(db, _FORGET, [owners])
    if subject.kind is ErasureKind.USER:
        yield from _erase_user(db, subject)


def _sessions_of(db: Db, subject: Subject) -> list[str]:
    if subject.kind is ErasureKind.SESSION:
        return [storable.text(subject.name)]
    if subject.kind is ErasureKind.TENANT:
        return [name for (name,) in db.execute(_OF_TENANT, [subject.tenant])]
    return [name for (name,) in db.execute(_OF_USER, [subject.tenant, subject.name])]


def _count_events(db: Db, subject: Subject, sessions: Sequence[str]) -> int:
    if subject.kind is ErasureKind.TENANT:
        counted = db.execute(_EVENTS_OF_TENANT, [subject.tenant]).fetchone()
        return 0 if counted is None else int(counted[0])
    user = subject.name if subject.kind is ErasureKind.USER else None
    row = db.execute(_COUNT_EVENTS, [subject.tenant, list(sessions), user]).fetchone()
    return 0 if row is None else int(row[0])


def _erase_session(db: Db, level: Level, tenant: str, session: str) -> Iterator[tuple[str, int]]:
    """Delete a session's rows, table by table, its own row last; say how many went."""
    place = [tenant, session]
    yield "events", _deleted(db, "delete from events where tenant = %s and session_id = %s", place)
    span = db.execute(_SPAN, place).fetchone()
    since, until = span or (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
    series = [number for (number,) in db.execute(_SERIES, place)]
    if series:
        bound = [series, since - MARGIN, until + MARGIN if span else until]
        for name, table in _tables(db, level):
            statement = SQL(
                "delete from {} where series_id = any(%s) and start_at >= %s and start_at <= %s"
            ).format(table)
            yield name, _deleted(db, statement.as_string(db), bound)
    needle = erasure_monitoring.needle_of(session)
    yield "dead_letters", _deleted(db, _DEAD_LETTERS, [tenant, needle])
    yield from erasure_monitoring.erase(db, tenant, ErasureKind.SESSION, session)
    yield "seen", _deleted(db, "delete from seen where tenant = %s and session_id = %s", place)
    yield "series", _deleted(db, "delete from series where series_id = any(%s)", [series])
    yield (
        "sessions",
        _deleted(db, "delete from sessions where tenant = %s and session_id = %s", place),
    )


def _erase_user(db: Db, subject: Subject) -> Iterator[tuple[str, int]]:
    """Delete what names a user beside their sessions."""
    place = [subject.tenant, subject.name]
    named = "delete from events where tenant = %s and payload ->> 'user' = %s"
    yield "events", _deleted(db, named, place)
    needle = erasure_monitoring.needle_of(subject.name)
    yield "dead_letters", _deleted(db, _DEAD_LETTERS, [subject.tenant, needle])
    yield from erasure_monitoring.erase(db, subject.tenant, ErasureKind.USER, subject.name)
    for table, column in _NAMED_BY:
        blank = SQL("update {table} set {column} = '' where tenant = %s and {column} = %s").format(
            table=Identifier(table), column=Identifier(column)
        )
        yield f"{table}.{column}", _deleted(db, blank.as_string(db), place)


def _tables(db: Db, level: Level) -> Iterator[tuple[str, Composable]]:
    """Return the tables with windows of series; what an aggregate holds is in one of its own."""
    for name in _WINDOWS:
        yield name, Identifier(name)
    if not level.has_policies:
        yield from ((name, Identifier(name)) for name in _ROLLUPS)
        return
    for schema, name in db.execute(_MATERIALIZED, [list(_ROLLUPS)]).fetchall():
        yield "rollups", Identifier(schema, name)


def _deleted(db: Db, statement: str, values: Sequence[object]) -> int:
    return db.execute(statement.encode(), values).rowcount
