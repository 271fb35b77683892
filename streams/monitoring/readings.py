"""The readings of one minute of some tenants: sums of closed windows, by what is watched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.sql import SQL, Composable, Identifier

from analytics.measures.sketch import from_bytes, quantile
from analytics.monitoring.catalogue import COLUMNS, DIMENSIONS, MEASURES, QUANTILE, STEP_MS, Key
from streams.monitoring.leases import Db

_LABELS: Final = ("project", "agent", "model", "skill", "tool")
"""The columns of a series that parts come from; parts of sessions come from sessions."""

_READ: Final = """
with fleet as (
  select s.tenant, {parts}, {firsts}, w.latency
    from window_1m w join series s on s.series_id = w.series_id
   where w.start_at = %(start)s and s.grain = 'fleet'
     and substr(md5(s.tenant), 1, 1) = any(%(digits)s)
), session as (
  select s.tenant, s.session_id, {firsts}
    from window_1m w join series s on s.series_id = w.series_id
   where w.start_at = %(start)s and s.grain = 'session'
     and substr(md5(s.tenant), 1, 1) = any(%(digits)s)
)
select tenant, grouping({labels}), {labels}, {sums}, string_agg(latency, ''::bytea)
  from fleet
 group by grouping sets ((tenant), {sets})
union all
select tenant, -1, session_id, '', '', '', '', {sums}, null
  from session group by tenant, session_id
"""


def _columns(names: Iterable[str], of: str = "") -> Composable:
    return SQL(", ").join(Identifier(*([of] if of else []), name) for name in names)


_QUERY: Final = (
    SQL(_READ)
    .format(
        labels=_columns(_LABELS),
        parts=_columns(_LABELS, "s"),
        firsts=_columns(COLUMNS, "w"),
        sums=SQL(", ").join(
            SQL("coalesce(sum({}), 0)::float8").format(Identifier(name)) for name in COLUMNS
        ),
        sets=SQL(", ").join(SQL("(tenant, {})").format(Identifier(name)) for name in _LABELS),
    )
    .as_bytes()
)
_OF_SESSIONS: Final = -1
_SETS: Final = {
    (1 << len(_LABELS)) - 1 - (1 << len(_LABELS) - 1 - place): place
    for place in range(len(_LABELS))
}
"""By what `grouping` says of a row: which label it is grouped by."""
_WATCHED: Final = {
    dimension: tuple(one for one in MEASURES if not dimension or dimension in one.dimensions)
    for dimension in ("", *DIMENSIONS)
}
_HEAD: Final = 2 + len(_LABELS)


def read(db: Db, digits: Sequence[str], at_ms: int) -> dict[str, dict[Key, float]]:
    """Return the readings of the minute that ends at `at_ms`, by tenant."""
    start = datetime.fromtimestamp((at_ms - STEP_MS) / 1_000, tz=UTC)
    found: dict[str, dict[Key, float]] = {}
    with db.cursor(binary=True) as cursor:
        for row in cursor.execute(_QUERY, {"start": start, "digits": list(digits)}):
            readings = found.setdefault(row[0], {})
            readings.update(_readings(row))
    return found


def _readings(row: Sequence[Any]) -> Iterator[tuple[Key, float]]:
    dimension, part = _part(row)
    if dimension and not part:
        return
    sums: Mapping[str, float] = dict(zip(COLUMNS, row[_HEAD:], strict=False))
    for measure in _WATCHED[dimension]:
        key = Key(measure.name, dimension, part)
        if measure.is_count:
            amount = sum(sums[column] for column in measure.columns) * measure.scale
            yield key, max(amount, 0.0)
        elif row[-1]:
            found = quantile(from_bytes(row[-1]), QUANTILE)
            if found is not None:
                yield key, found


def _part(row: Sequence[Any]) -> tuple[str, str]:
    if row[1] == _OF_SESSIONS:
        return "session", row[2]
    place = _SETS.get(row[1])
    return ("", "") if place is None else (_LABELS[place], row[2 + place])
