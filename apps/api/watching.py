"""`/v1/anomalies`, `/v1/forecasts`, `/v1/budgets`, `/v1/alerts` and their history: what was found.

As with the other questions: the scope `subscribe`, the token's tenant, JSON, CSV or Parquet, an
ETag, and pages by what comes after the last entry.
"""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request
from msgspec import structs
from starlette.responses import Response

from apps.api import cursors, questions
from apps.api.answers import AnswerColumn, ColumnKind, Table
from apps.api.cursors import Cursor, written
from apps.api.parts import FORMAT, LIMIT, RANGE, Asking, asked_of, described, respond
from apps.api.questions import Parameters
from streams.queries import monitoring
from streams.queries.grouped import BadQuestion
from streams.queries.monitoring import (
    Alert,
    AlertChange,
    AnomalyFilter,
    AnomalyRow,
    BudgetStatus,
    Forecast,
)

ANOMALIES: Final = "/v1/anomalies"
FORECASTS: Final = "/v1/forecasts"
BUDGETS: Final = "/v1/budgets"
ALERTS: Final = "/v1/alerts"
HISTORY: Final = "/v1/alerts/history"
HORIZONS: Final = ("hour", "day", "week")


def router(asking: Asking) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["watching"])

    @routes.get(ANOMALIES, summary="What was unlike anything before", **described(_ANOMALIES))
    def anomalies(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        limit = questions.number(asked, "limit", 100, least=1, most=monitoring.PAGE_MAX)
        after = cursors.read(asked)
        from_ms, until_ms = _range(asked, after, asking.wall_ms())
        which = _which(asked, from_ms, until_ms)
        place = None if after is None else (after.number, after.name)
        with asking.reader.connection() as db:
            found = monitoring.anomalies(db, grant.tenant, which, limit=limit, after=place)
        following = None
        if len(found) == limit:
            last = found[-1]
            following = written(Cursor(from_ms, until_ms, last.at_ms, last.anomaly_id))
        told = {"anomalies": [structs.asdict(one) for one in found], "next": following}
        return respond(request, asked, told, Table.of(found, AnomalyRow), name="anomalies")

    @routes.get(FORECASTS, summary="What series are expected to do", **described(_FORECASTS))
    def forecasts(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        horizon = questions.one(asked, "horizon", "")
        if horizon and horizon not in HORIZONS:
            raise BadQuestion(f"no horizon {horizon[:40]!r}; there are {', '.join(HORIZONS)}")
        limit = questions.number(asked, "limit", 100, least=1, most=monitoring.PAGE_MAX)
        with asking.reader.connection() as db:
            found = monitoring.forecasts(
                db, grant.tenant, measure=questions.one(asked, "measure", ""), horizon=horizon,
                limit=limit,
            )  # fmt: skip
        told = {"forecasts": [structs.asdict(one) for one in found]}
        return respond(request, asked, told, _points(found), name="forecasts")

    @routes.get(BUDGETS, summary="What of budgets is spent, and until when", **described(_BUDGETS))
    def budgets(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        with asking.reader.connection() as db:
            found = monitoring.budgets(db, grant.tenant)
        told = {"budgets": [structs.asdict(one) for one in found]}
        return respond(request, asked, told, Table.of(found, BudgetStatus), name="budgets")

    _add_alerts(routes, asking)
    return routes


def _add_alerts(routes: APIRouter, asking: Asking) -> None:
    @routes.get(ALERTS, summary="Alerts as they are now", **described(_ALERTS))
    def alerts(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        states = _states(asked)
        limit = questions.number(asked, "limit", 100, least=1, most=monitoring.PAGE_MAX)
        with asking.reader.connection() as db:
            found = monitoring.alerts(db, grant.tenant, states=states, limit=limit)
            silences = monitoring.silences(db, grant.tenant, now_ms=asking.wall_ms())
        told = {
            "alerts": [structs.asdict(one) for one in found],
            "silences": [structs.asdict(one) for one in silences],
            "more": len(found) == limit,
        }
        return respond(
            request, asked, told, Table.of(found, Alert, moments=("active_ms",)), name="alerts"
        )

    @routes.get(HISTORY, summary="How alerts changed", **described(_HISTORY))
    def history(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        limit = questions.number(asked, "limit", 100, least=1, most=monitoring.PAGE_MAX)
        after = cursors.read(asked)
        from_ms, until_ms = _range(asked, after, asking.wall_ms())
        before = monitoring.LAST if after is None else after.number
        with asking.reader.connection() as db:
            found = monitoring.alert_changes(
                db, grant.tenant, from_ms=from_ms, until_ms=until_ms, limit=limit, after=before
            )
        following = None
        if len(found) == limit:
            following = written(Cursor(from_ms, until_ms, found[-1].number))
        told = {"changes": [structs.asdict(one) for one in found], "next": following}
        return respond(request, asked, told, Table.of(found, AlertChange), name="alert-history")


def _range(asked: Parameters, after: Cursor | None, now_ms: int) -> tuple[int, int]:
    """Return the range of the first page."""
    if after is not None:
        return after.from_ms, after.until_ms
    return questions.range_of(asked, now_ms=now_ms)


def _which(asked: Parameters, from_ms: int, until_ms: int) -> AnomalyFilter:
    feedback = questions.one(asked, "feedback", "")
    if feedback not in {"", *monitoring.FEEDBACK}:
        raise BadQuestion(f"'feedback' is {' or '.join(monitoring.FEEDBACK)}")
    return AnomalyFilter(
        from_ms=from_ms,
        until_ms=until_ms,
        measure=questions.one(asked, "measure", ""),
        dimension=questions.one(asked, "dimension", ""),
        part=questions.one(asked, "part", ""),
        feedback=feedback,
    )


def _states(asked: Parameters) -> tuple[str, ...]:
    states = tuple(asked.get("state", ())) or monitoring.STATES
    for state in states:
        if state not in monitoring.STATES:
            raise BadQuestion(f"no state {state[:40]!r}; there are {', '.join(monitoring.STATES)}")
    return states


def _points(found: Sequence[Forecast]) -> Table:
    rows = [(one, point) for one in found for point in one.points]
    kinds = {
        "measure": ColumnKind.TEXT,
        "dimension": ColumnKind.TEXT,
        "part": ColumnKind.TEXT,
        "horizon": ColumnKind.TEXT,
        "made_ms": ColumnKind.MOMENT,
    }
    columns = {
        name: AnswerColumn(kind, [getattr(one, name) for one, _ in rows])
        for name, kind in kinds.items()
    }
    columns["at_ms"] = AnswerColumn(ColumnKind.MOMENT, [point["at_ms"] for _, point in rows])
    columns |= {
        name: AnswerColumn(ColumnKind.NUMBER, [point[name] for _, point in rows])
        for name in ("mean", "low80", "high80", "low95", "high95")
    }
    return Table(columns)


_ANOMALIES: Final = {
    **RANGE,
    "measure": "Only of this measure, such as cost_usd.",
    "dimension": "Only of parts of this dimension, such as model.",
    "part": "Only of this part, such as a model's name.",
    "feedback": "Only what people called useful, or noise.",
    "after": "The `next` of the page before.",
    **LIMIT,
    **FORMAT,
}
_FORECASTS: Final = {
    "measure": "Only of this measure.",
    "horizon": f"Only of one: {', '.join(HORIZONS)}.",
    **LIMIT,
    **FORMAT,
}
_BUDGETS: Final = FORMAT
_ALERTS: Final = {
    "state": f"Only in this state; may be given several times: {', '.join(monitoring.STATES)}.",
    **LIMIT,
    **FORMAT,
}
_HISTORY: Final = {
    **RANGE,
    "after": "The `next` of the page before.",
    **LIMIT,
    **FORMAT,
}
KNOWN: Final = {
    ANOMALIES: frozenset(_ANOMALIES),
    FORECASTS: frozenset(_FORECASTS),
    BUDGETS: frozenset(_BUDGETS),
    ALERTS: frozenset(_ALERTS),
    HISTORY: frozenset(_HISTORY),
}
"""The parameters of each path."""
