"""Measures over time by any dimensions: what the query API asks.

A group is there, and has a point, where an event was counted or a measure asked for is not zero;
the group of what has none of a dimension (`model` is '' for a tool's call) is one like any other.
So groups add up to the answer without them, at every width and age. Groups are the largest by the
first measure asked for, and the answer says whether there are more.

Settled periods are read from totals where those hold what is asked (`streams.store.holdings`), else
from series. A question about sessions reads their own series, from whichever book counts for each.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from psycopg import sql

from analytics.contracts.errors import Refused
from streams.series import cover
from streams.series import measures as measured
from streams.series.cover import Cover, Part
from streams.series.measures import EVENT_MEASURES, Db
from streams.series.span import Span

SESSION: Final = "session_id"
DIMENSIONS: Final = ("project", "agent", "model", "tool", "skill", "query_source", SESSION)
"""What can be grouped and filtered by."""
OF_SESSIONS: Final = frozenset({"project", "agent", "model", SESSION})
"""What the series of sessions keep apart."""
GROUPS_MAX: Final = 1_000
ROWS_MAX: Final = 100_000
"""Points of all groups together in one answer."""
_EVENTS: Final = "events"
VALUES_MAX: Final = 100
"""Values that one filter may name."""


class BadQuestion(Refused):
    """A question that no series answers."""

    code = "bad-question"


class GroupedQuery(Struct, frozen=True, kw_only=True):
    """What is asked: which measures, by what, of what."""

    span: Span
    measures: tuple[str, ...]
    group_by: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = {}
    """Values that a dimension must have one of."""
    limit: int = 100


class Group(Struct, frozen=True):
    """The points of one combination of dimensions, those with nothing left out, oldest first."""

    labels: dict[str, str]
    points: list[tuple[int, ...]]
    """Start in epoch ms, then a value a measure."""


class Grouped(Struct, frozen=True):
    """The groups, the largest first, and whether there are more than were asked for."""

    groups: list[Group]
    more: bool


_ROWS = sql.SQL("""
select w.start_at, {labels}, {columns}
  from {table} w
  join series s on s.series_id = w.series_id
 where s.tenant = %(tenant)s and s.grain = {grain} and {only} and {within}
""")
_WHOLE = sql.SQL("""
select w.start_at, '' as nothing, {columns}
  from {table} w
 where w.tenant = %(tenant)s and w.dimension = '' and {within}
""")
_TOTALS = sql.SQL("""
select w.start_at, of.name as {label}, {columns}
  from {table} w
 cross join lateral (values (w.name, 1), ('', -1)) as of (name, sign)
 where w.tenant = %(tenant)s and {within}
   and (w.dimension = {dimension} or (w.dimension = '' and of.sign = 1))
""")
"""The named parts as they are, and as what has no name the whole without them."""
_ANSWER = sql.SQL("""
with counted as (
  select {point} as point, {names}, {sums} from ({rows}) w group by point, {names}
  having {counted}
), largest as (
  select {names}, sum({first}) as size from counted group by {names}
   order by size desc, {names} limit %(groups)s
)
select (extract(epoch from point) * 1000)::bigint, {names}, {measures}
  from counted join largest using ({names})
 order by size desc, {names}, point
 limit %(rows)s
""")
_NOTHING = sql.Identifier("nothing")
"""Stands for no dimension: a query groups by something always."""


def query(db: Db, tenant: str, wanted: GroupedQuery) -> Grouped:
    """Return what `wanted` describes; raise `BadQuestion` if nothing keeps it apart."""
    check(wanted)
    parts = cover.of_points(wanted.span, cover.standing(db, wanted.span))
    names = [sql.Identifier(name) for name in wanted.group_by] or [_NOTHING]
    statement = _ANSWER.format(
        point=measured.point(wanted.span),
        names=sql.SQL(", ").join(names),
        sums=measured.sums(_columns(wanted)),
        counted=sql.SQL(" or ").join(
            sql.SQL("sum({}) <> 0").format(sql.Identifier(name)) for name in _columns(wanted)
        ),
        rows=measured.together(_rows(parts, wanted)),
        first=sql.Identifier(wanted.measures[0]),
        measures=sql.SQL(", ").join(map(sql.Identifier, wanted.measures)),
    )
    groups = min(wanted.limit, GROUPS_MAX)
    bound: dict[str, object] = {
        "tenant": tenant,
        **measured.steps(wanted.span),
        "groups": groups + 1,
        "rows": ROWS_MAX + 1,
        **{f"only_{name}": list(values) for name, values in wanted.only.items()},
    }
    found = db.execute(statement, bound).fetchall()
    if len(found) > ROWS_MAX:
        raise BadQuestion(
            f"more than {ROWS_MAX} points; ask for a shorter range, wider steps or fewer groups"
        )
    return _grouped(found, wanted, groups)


def check(wanted: GroupedQuery) -> None:
    """Raise `BadQuestion` if no series keeps apart what is asked for."""
    for name in wanted.measures:
        if name not in EVENT_MEASURES:
            raise BadQuestion(f"no measure {name!r}; there are {', '.join(EVENT_MEASURES)}")
    asked = {*wanted.group_by, *wanted.only}
    for name in sorted(asked):
        if name not in DIMENSIONS:
            raise BadQuestion(f"no dimension {name!r}; there are {', '.join(DIMENSIONS)}")
    if len(set(wanted.group_by)) != len(wanted.group_by) or not wanted.measures:
        raise BadQuestion("name at least one measure, and each dimension once")
    if SESSION in asked and not asked <= OF_SESSIONS:
        apart = ", ".join(sorted(OF_SESSIONS - {SESSION}))
        raise BadQuestion(f"sessions are kept apart by {apart} only")


def _rows(parts: Cover, wanted: GroupedQuery) -> list[sql.Composed]:
    asked = {*wanted.group_by, *wanted.only}
    if SESSION in asked:
        return [_of_series(part, wanted, grain="session") for part in parts.every_series]
    if wanted.only:
        return [_of_series(part, wanted, grain="fleet") for part in parts.every_series]
    return [
        *(_of_totals(part, wanted) for part in parts.totals(wanted.group_by)),
        *(_of_series(part, wanted, grain="fleet") for part in parts.series(wanted.group_by)),
    ]


def _of_totals(part: Part, wanted: GroupedQuery) -> sql.Composed:
    table, ranges = part
    read = _columns(wanted)
    if not wanted.group_by:
        return _WHOLE.format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, read)),
            within=measured.within(ranges),
        )
    (dimension,) = wanted.group_by
    return _TOTALS.format(
        table=sql.Identifier(table),
        label=sql.Identifier(dimension),
        columns=sql.SQL(", ").join(
            sql.SQL("of.sign * {0} as {0}").format(sql.Identifier(name)) for name in read
        ),
        dimension=sql.Literal(dimension),
        within=measured.within(ranges),
    )


def _columns(wanted: GroupedQuery) -> tuple[str, ...]:
    """Return what is read: the measures, and whether there was anything at all."""
    return tuple(dict.fromkeys((*wanted.measures, _EVENTS)))


def _of_series(part: Part, wanted: GroupedQuery, *, grain: str) -> sql.Composed:
    table, ranges = part
    labels: list[sql.Composable] = [sql.Identifier("s", name) for name in wanted.group_by]
    return _ROWS.format(
        table=sql.Identifier(table),
        labels=sql.SQL(", ").join(labels or [_NONE]),
        columns=sql.SQL(", ").join(sql.Identifier("w", name) for name in _columns(wanted)),
        grain=sql.Literal(grain),
        only=_only(wanted),
        within=measured.within(ranges),
    )


def _only(wanted: GroupedQuery) -> sql.Composable:
    conditions: list[sql.Composable] = [
        sql.SQL("s.{} = any({})").format(sql.Identifier(name), sql.Placeholder(f"only_{name}"))
        for name in wanted.only
    ]
    return sql.SQL(" and ").join(conditions or [sql.SQL("true")])


def _grouped(rows: Sequence[tuple[object, ...]], wanted: GroupedQuery, groups_max: int) -> Grouped:
    groups: dict[tuple[str, ...], Group] = {}
    width = max(len(wanted.group_by), 1)
    for row in rows:
        key = tuple(map(str, row[1 : width + 1])) if wanted.group_by else ()
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(dict(zip(wanted.group_by, key, strict=True)), [])
        group.points.append((row[0], *row[width + 1 :]))  # type: ignore[arg-type] # bigint columns
    found = list(groups.values())
    return Grouped(found[:groups_max], more=len(found) > groups_max)


_NONE: Final = sql.SQL("'' as nothing")
