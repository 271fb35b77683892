"""Which labels series of a tenant have, and which values, without naming a series.

One family that carries a label stands for all that do, so that a browser of labels costs a few
queries and not all series of a day. What sessions are called (their ids, users, teams, projects,
agents) is asked of the sessions themselves.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from psycopg import sql

from analytics.alerts.rules.exposed import BY_NAME, EXPOSED
from analytics.contracts.ids import TenantId
from analytics.promql.series import NAME, Labels, MatchOperator, Series, SeriesMatcher
from streams.series import every_series, public_names
from streams.series.measures import Db
from streams.series.recorded import Recorded, Together

VALUES_MAX: Final = 50_000
"""Sessions that one list of values holds at most."""
_FLEET: Final = "events_total"
_OF_SESSIONS: Final[Mapping[str, str]] = {
    "session_id": "session_id", "user": "user_name", "team": "team", "project": "project",
    "agent": "agent",
}  # fmt: skip
_GAUGES: Final = tuple(
    one.name
    for one in EXPOSED
    if not one.measure and one.name not in {"ALERTS", "ALERTS_FOR_STATE"}
)
_VALUES = sql.SQL("""
select distinct {column} from sessions
 where tenant = %(tenant)s and last_at >= to_timestamp(%(from_ms)s / 1000.0)
   and started_at <= to_timestamp(%(to_ms)s / 1000.0) and {column} <> ''
 order by 1 limit %(limit)s
""")


def names(db: Db, tenant: TenantId, storage: Together, *, from_ms: int, to_ms: int) -> list[str]:
    """Return the names of labels that series between two times have."""
    found = {NAME}
    found |= {
        label
        for label in _OF_SESSIONS
        if _of_sessions(db, tenant, label, from_ms=from_ms, to_ms=to_ms, limit=1)
    }
    for labels in _all(db, tenant, storage, from_ms=from_ms, to_ms=to_ms):
        found |= {name for name, _ in labels}
    return sorted(found)


def values(
    db: Db, tenant: TenantId, storage: Together, label: str, *, from_ms: int, to_ms: int
) -> list[str]:
    """Return the values of a label of series between two times."""
    if label == NAME:
        return every_series.names(db, tenant, until_ms=to_ms)
    found: set[str] = set()
    if label in _OF_SESSIONS:
        found |= set(
            _of_sessions(db, tenant, label, from_ms=from_ms, to_ms=to_ms, limit=VALUES_MAX)
        )
    for labels in _all(db, tenant, storage, from_ms=from_ms, to_ms=to_ms, label=label):
        found |= {value for name, value in labels if name == label}
    return sorted(found)


def _all(
    db: Db, tenant: TenantId, storage: Together, *, from_ms: int, to_ms: int, label: str = ""
) -> Iterable[Labels]:
    """Yield label sets that stand for all series, or for all that have a label."""
    for name in (_FLEET, *_GAUGES, *public_names.NAMES):
        exposed = BY_NAME.get(name)
        if label and exposed is not None and label not in exposed.labels:
            continue
        for series in storage.select(
            [SeriesMatcher(NAME, MatchOperator.EQUAL, name)], from_ms, to_ms
        ):
            yield series.labels
    written: list[Series] = Recorded(db, tenant).select([], from_ms, to_ms)
    for series in written:
        yield series.labels


def _of_sessions(
    db: Db, tenant: TenantId, label: str, *, from_ms: int, to_ms: int, limit: int
) -> list[str]:
    query = _VALUES.format(column=sql.Identifier(_OF_SESSIONS[label]))
    bound = {"tenant": tenant, "from_ms": from_ms, "to_ms": to_ms, "limit": limit}
    return [str(value) for (value,) in db.execute(query, bound)]
