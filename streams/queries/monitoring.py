"""What watching found, as people ask for it: anomalies, timelines, forecasts, budgets and alerts.

Every question is one tenant's and bounded. Lists of what happened are newest first and paged by
what comes after the last entry.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from analytics.contracts.ids import TenantId
from streams.series.measures import Db

PAGE_MAX: Final = 1_000
POINTS_MAX: Final = 20_000
"""Readings that one timeline holds."""
FEEDBACK: Final = ("useful", "noise")


class AnomalyRow(Struct, frozen=True, kw_only=True):
    """One reading that was unlike those before it, why, and what people said of it."""

    anomaly_id: str
    at_ms: int
    watch_id: int
    measure: str
    dimension: str
    part: str
    value: float | None
    expected_low: float
    expected_high: float
    score: float
    rarity: float
    ingredient: str
    reason: str
    contributors: list[dict[str, Any]]
    feedback: str
    feedback_by: str


class AnomalyFilter(Struct, frozen=True, kw_only=True):
    """Which anomalies are asked for; an empty field does not filter."""

    from_ms: int
    until_ms: int
    measure: str = ""
    dimension: str = ""
    part: str = ""
    feedback: str = ""
    score_min: float = 0.0


class WatchedSeries(Struct, frozen=True, kw_only=True):
    """One watched series, since when, and when it last had a reading that was not zero."""

    watch_id: int
    measure: str
    dimension: str
    part: str
    since_ms: int
    active_ms: int


class SeriesReading(Struct, frozen=True, kw_only=True):
    """One reading of a watched series, with its band."""

    at_ms: int
    value: float
    low: float
    high: float
    score: float


class Forecast(Struct, frozen=True, kw_only=True):
    """The newest forecast of a series for a horizon."""

    measure: str
    dimension: str
    part: str
    horizon: str
    made_ms: int
    step_ms: int
    points: list[dict[str, Any]]
    """`at_ms`, `mean`, `low80`, `high80`, `low95`, `high95` of each step."""


class BudgetStatus(Struct, frozen=True, kw_only=True):
    """A budget, what is spent of it, and when it runs out; None where nothing is known yet."""

    name: str
    period: str
    limit_usd: float
    project: str
    at_ms: int | None
    spent_usd: float | None
    resets_ms: int | None
    exhausts_ms: int | None
    probability: float | None


class Alert(Struct, frozen=True, kw_only=True):
    """An alert as it is now."""

    fingerprint: str
    rule: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    value: float | None
    active_ms: int
    starts_ms: int | None
    ends_ms: int | None
    silenced_by: list[str]
    inhibited_by: str
    acknowledged_by: str


class AlertChange(Struct, frozen=True, kw_only=True):
    """An alert that came into another state."""

    number: int
    at_ms: int
    fingerprint: str
    labels: dict[str, str]
    was: str
    state: str
    value: float | None


class Silence(Struct, frozen=True, kw_only=True):
    """A silence that holds now or will."""

    silence_id: str
    matchers: str
    starts_ms: int
    ends_ms: int
    created_by: str
    comment: str
    replaces: str


class AlertFileRow(Struct, frozen=True, kw_only=True):
    """A file of rules or of routing that people keep."""

    kind: str
    name: str
    body: str
    changed_by: str
    changed_ms: int


def _ms(column: str, name: str) -> str:
    return f"(extract(epoch from {column}) * 1000)::bigint as {name}"


_ANOMALIES: Final = f"""
select anomaly_id, {_ms("at", "at_ms")}, watch_id, measure, dimension, part, value, expected_low,
       expected_high, score, rarity, ingredient, reason, contributors, feedback, feedback_by
  from anomalies
 where tenant = %(tenant)s and at > to_timestamp(%(from_ms)s / 1000.0)
   and at <= to_timestamp(%(until_ms)s / 1000.0) and score >= %(score_min)s
   and (at, anomaly_id) < (to_timestamp(%(after_ms)s / 1000.0), %(after_id)s)
"""  # noqa: S608 - names of our own
_WATCHED: Final = """
select watch_id, measure, dimension, part, since_ms, active_ms
  from watched where tenant = %(tenant)s
 order by measure, dimension <> '', dimension, part limit %(limit)s offset %(offset)s
"""
_TIMELINE: Final = f"""
select {_ms("s.at", "at_ms")}, s.value, s.low, s.high, s.score::float8 as score
  from scores s join watched w on w.watch_id = s.watch_id
 where w.tenant = %(tenant)s and s.watch_id = %(watch_id)s
   and s.at > to_timestamp(%(from_ms)s / 1000.0) and s.at <= to_timestamp(%(until_ms)s / 1000.0)
 order by s.at limit %(limit)s
"""  # noqa: S608 - names of our own
_FORECASTS: Final = f"""
select measure, dimension, part, horizon, {_ms("made_at", "made_ms")}, step_ms, points
  from forecasts where tenant = %(tenant)s
   and (%(horizon)s = '' or horizon = %(horizon)s) and (%(measure)s = '' or measure = %(measure)s)
 order by measure, dimension <> '', dimension, part, step_ms, horizon limit %(limit)s
"""  # noqa: S608 - names of our own
_BUDGETS: Final = f"""
select name, period, limit_usd, project, {_ms("at", "at_ms")}, spent_usd,
       {_ms("resets_at", "resets_ms")}, {_ms("exhausts_at", "exhausts_ms")}, probability
  from budgets where tenant = %(tenant)s order by name
"""  # noqa: S608 - names of our own
_ALERTS: Final = f"""
select fingerprint, rule, labels, annotations, state, value, {_ms("active_at", "active_ms")},
       {_ms("starts_at", "starts_ms")}, {_ms("ends_at", "ends_ms")}, silenced_by, inhibited_by,
       acknowledged_by
  from alerts where tenant = %(tenant)s and state = any(%(states)s)
 order by state = 'resolved', state = 'pending', coalesce(starts_at, active_at) desc, fingerprint
 limit %(limit)s
"""  # noqa: S608 - names of our own
_CHANGES: Final = f"""
select number, {_ms("at", "at_ms")}, fingerprint, labels, was, state, value
  from alert_changes
 where tenant = %(tenant)s and at > to_timestamp(%(from_ms)s / 1000.0)
   and at <= to_timestamp(%(until_ms)s / 1000.0) and number < %(after)s
 order by number desc limit %(limit)s
"""  # noqa: S608 - names of our own
_SILENCES: Final = f"""
select silence_id, matchers, {_ms("starts_at", "starts_ms")}, {_ms("ends_at", "ends_ms")},
       created_by, comment, replaces
  from silences where tenant = %(tenant)s and ends_at > to_timestamp(%(now_ms)s / 1000.0)
 order by starts_at desc, silence_id limit %(limit)s
"""  # noqa: S608 - names of our own
_FILES: Final = f"""
select kind, name, body, changed_by, {_ms("changed_at", "changed_ms")}
  from alert_files where tenant = %(tenant)s and kind = %(kind)s order by name
"""  # noqa: S608 - names of our own
STATES: Final = ("firing", "pending", "resolved")
LAST: Final = 2**62
"""A place behind all others, from which a first page begins."""


def anomalies(
    db: Db,
    tenant: TenantId,
    which: AnomalyFilter,
    *,
    limit: int = 100,
    after: tuple[int, str] | None = None,
) -> tuple[AnomalyRow, ...]:
    """Return anomalies, newest first; `after` is time and id of the last one of the page before."""
    named = {
        name: value
        for name in ("measure", "dimension", "part", "feedback")
        if (value := getattr(which, name))
    }
    only = [sql.SQL("and {} = {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in named]
    query = sql.SQL(" ").join(
        [sql.SQL(_ANOMALIES), *only, sql.SQL("order by at desc, anomaly_id desc limit %(limit)s")]
    )
    at_ms, anomaly_id = after or (which.until_ms + 1, "")
    bound = {
        **named, "tenant": tenant, "from_ms": which.from_ms, "until_ms": which.until_ms,
        "score_min": which.score_min, "after_ms": at_ms, "after_id": anomaly_id,
        "limit": min(limit, PAGE_MAX),
    }  # fmt: skip
    with db.cursor(row_factory=class_row(AnomalyRow)) as cursor:
        return tuple(cursor.execute(query, bound).fetchall())


def watched(
    db: Db, tenant: TenantId, *, limit: int = PAGE_MAX, offset: int = 0
) -> tuple[WatchedSeries, ...]:
    """Return the watched series, those of the whole tenant before those of its parts."""
    bound = {"tenant": tenant, "limit": limit, "offset": offset}
    with db.cursor(row_factory=class_row(WatchedSeries)) as cursor:
        return tuple(cursor.execute(_WATCHED, bound).fetchall())


def timeline(
    db: Db, tenant: TenantId, watch_id: int, *, from_ms: int, until_ms: int
) -> tuple[SeriesReading, ...]:
    """Return the readings of a series, oldest first; zeros of a part may be left out."""
    bound = {
        "tenant": tenant, "watch_id": watch_id, "from_ms": from_ms, "until_ms": until_ms,
        "limit": POINTS_MAX,
    }  # fmt: skip
    with db.cursor(row_factory=class_row(SeriesReading)) as cursor:
        return tuple(cursor.execute(_TIMELINE, bound).fetchall())


def forecasts(
    db: Db, tenant: TenantId, *, measure: str = "", horizon: str = "", limit: int = PAGE_MAX
) -> tuple[Forecast, ...]:
    """Return the newest forecasts, of the whole tenant before those of its parts."""
    bound = {"tenant": tenant, "measure": measure, "horizon": horizon, "limit": limit}
    with db.cursor(row_factory=class_row(Forecast)) as cursor:
        return tuple(cursor.execute(_FORECASTS, bound).fetchall())


def budgets(db: Db, tenant: TenantId) -> tuple[BudgetStatus, ...]:
    """Return the budgets by name."""
    with db.cursor(row_factory=class_row(BudgetStatus)) as cursor:
        return tuple(cursor.execute(_BUDGETS, {"tenant": tenant}).fetchall())


def alerts(
    db: Db, tenant: TenantId, *, states: Sequence[str] = STATES, limit: int = PAGE_MAX
) -> tuple[Alert, ...]:
    """Return alerts: firing ones first, then pending, then resolved ones, newest first."""
    bound = {"tenant": tenant, "states": list(states), "limit": limit}
    with db.cursor(row_factory=class_row(Alert)) as cursor:
        return tuple(cursor.execute(_ALERTS, bound).fetchall())


def alert_changes(
    db: Db, tenant: TenantId, *, from_ms: int, until_ms: int, limit: int = 100, after: int = LAST
) -> tuple[AlertChange, ...]:
    """Return how alerts changed, newest first; `after` is the number of the last one before."""
    bound = {
        "tenant": tenant, "from_ms": from_ms, "until_ms": until_ms, "after": after,
        "limit": min(limit, PAGE_MAX),
    }  # fmt: skip
    with db.cursor(row_factory=class_row(AlertChange)) as cursor:
        return tuple(cursor.execute(_CHANGES, bound).fetchall())


def silences(
    db: Db, tenant: TenantId, *, now_ms: int, limit: int = PAGE_MAX
) -> tuple[Silence, ...]:
    """Return the silences that are not over."""
    bound = {"tenant": tenant, "now_ms": now_ms, "limit": limit}
    with db.cursor(row_factory=class_row(Silence)) as cursor:
        return tuple(cursor.execute(_SILENCES, bound).fetchall())


def files(db: Db, tenant: TenantId, *, kind: str) -> tuple[AlertFileRow, ...]:
    """Return the files of rules, or of routing, by name."""
    with db.cursor(row_factory=class_row(AlertFileRow)) as cursor:
        return tuple(cursor.execute(_FILES, {"tenant": tenant, "kind": kind}).fetchall())
