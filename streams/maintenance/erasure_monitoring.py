"""What watching says of sessions and users, erased with them: scores, anomalies, alerts, notices.

The watch has series and alerts in memory and may write one more time what it was about to. So for
`AGAIN` after an erasure the retention job looks whether something came back, by the digests of
tombstones: nobody keeps the names.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec
from psycopg import Connection
from psycopg.rows import TupleRow

from streams.store.tombstones import ErasureKind, digest

Db = Connection[TupleRow]

AGAIN: Final = timedelta(days=2)
BARE_NEEDLE_MIN: Final = 16
"""Characters from which on a name is looked for in bytes without quotes around it."""
LABELLED_MAX: Final = 10_000
"""Rows with labels that one look reads of a table."""

_BY_NAME: Final = (
    ("scores", """
delete from scores where watch_id in (
    select watch_id from watched
     where tenant = %(tenant)s and dimension = 'session' and part = %(name)s)
"""),
    ("anomalies", """
delete from anomalies where tenant = %(tenant)s and dimension = 'session' and part = %(name)s
"""),
    ("forecasts", """
delete from forecasts where tenant = %(tenant)s and dimension = 'session' and part = %(name)s
"""),
    ("forecasters", """
delete from forecasters where tenant = %(tenant)s and dimension = 'session' and part = %(name)s
"""),
    ("watched", """
delete from watched where tenant = %(tenant)s and dimension = 'session' and part = %(name)s
"""),
)  # fmt: skip
_LABELLED: Final = ("alerts", "alert_changes", "recordings")
LABELS: Final = {
    ErasureKind.SESSION: ["session_id", "session"],
    ErasureKind.USER: ["user", "user_name", "user_email", "user_id"],
}
"""Labels of series that name a session or a user."""
_BY_LABEL: Final = """
delete from {table} where tenant = %(tenant)s and exists (
    select from jsonb_each_text(labels) label
     where label.key = any(%(labels)s) and label.value = %(name)s)
"""
_NOTICES: Final = """
delete from notices where tenant = %(tenant)s and position(%(needle)s::bytea in body) > 0
"""
_RECENT: Final = """
select tenant, kind, digest from tombstones where until_at > now() - %s::interval
"""
_SALT: Final = "select salt from erasure_salt"
_PARTS: Final = """
select distinct part from watched where tenant = %(tenant)s and dimension = 'session'
 union
select distinct part from anomalies where tenant = %(tenant)s and dimension = 'session'
"""
_VALUES: Final = """
select distinct label.value
  from (select labels from {table} where tenant = %(tenant)s limit %(limit)s) listed,
       jsonb_each_text(listed.labels) label
"""


def erase(db: Db, tenant: str, kind: ErasureKind, name: str) -> Iterator[tuple[str, int]]:
    """Delete what watching says of a session or user of this name; say how many rows went."""
    bound = {
        "tenant": tenant, "name": name, "needle": needle_of(name), "labels": LABELS[kind],
    }  # fmt: skip
    for table, statement in _BY_NAME if kind is ErasureKind.SESSION else ():
        yield table, _run(db, statement, bound)
    for table in _LABELLED:
        yield table, _run(db, _BY_LABEL.replace("{table}", table), bound)
    yield "notices", _run(db, _NOTICES, bound)


def erase_again(db: Db) -> int:
    """Delete what came back of what was erased of late; return how many rows."""
    erased: dict[str, dict[bytes, ErasureKind]] = {}
    for tenant, kind, told in db.execute(_RECENT, [AGAIN]).fetchall():
        erased.setdefault(tenant, {})[told] = ErasureKind(kind)
    if not erased:
        return 0
    row = db.execute(_SALT).fetchone()
    assert row is not None
    return sum(
        count
        for tenant, kinds in erased.items()
        for name in _named(db, tenant)
        if (kind := kinds.get(digest(row[0], tenant, name))) is not None
        for _, count in erase(db, tenant, kind, name)
    )


def needle_of(name: str) -> bytes:
    """Return the bytes by which a name is found in JSON and other bytes: a short one in quotes."""
    return name.encode() if len(name) >= BARE_NEEDLE_MIN else msgspec.json.encode(name)


def _named(db: Db, tenant: str) -> Sequence[str]:
    """Return the names of sessions, and all values of labels, that watching knows now."""
    bound = {"tenant": tenant, "limit": LABELLED_MAX}
    names = {name for (name,) in db.execute(_PARTS, bound)}
    for table in _LABELLED:
        query = _VALUES.replace("{table}", table)
        names |= {value for (value,) in db.execute(query.encode(), bound) if value}
    return sorted(names)


def _run(db: Db, statement: str, bound: Mapping[str, object]) -> int:
    return db.execute(statement.encode(), bound).rowcount
