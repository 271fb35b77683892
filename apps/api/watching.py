"""`/v1/anomalies`, `/v1/forecasts`, `/v1/budgets`, `/v1/alerts` and their history: what was found.

As with the other questions: the scope `subscribe`, the token's tenant, JSON, CSV or Parquet, an
ETag, and pages by what comes after the last entry.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from msgspec import Struct, structs
from starlette.responses import Response

from apps.api import questions
from apps.api.answers import Column, Table, Value
from apps.api.parts import FORMAT, LIMIT, RANGE, Asking, asked_of, described, respond
from apps.api.questions import Parameters
from streams.store.queries import watching
from streams.store.queries.grouped import BadQuestion
from streams.store.queries.watching import Alert, AlertChange, Anomaly, Budget, Forecast, Which

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
        limit = questions.number(asked, "limit", 100, least=1, most=watching.PAGE_MAX)
        which = _which(asked, asking.wall_ms())
        with asking.reader.connection() as db:
            found = watching.anomalies(db, grant.tenant, which, limit=limit, after=_after(asked))
        last = found[-1] if len(found) == limit else None
        told = {
            "anomalies": [structs.asdict(one) for one in found],
            "next": None if last is None else f"{last.at_ms}.{last.anomaly_id}",
        }
        return respond(request, asked, told, _table(found, Anomaly), name="anomalies")

    @routes.get(FORECASTS, summary="What series are expected to do", **described(_FORECASTS))
    def forecasts(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        horizon = questions.one(asked, "horizon", "")
        if horizon and horizon not in HORIZONS:
            raise BadQuestion(f"no horizon {horizon[:40]!r}; there are {', '.join(HORIZONS)}")
        limit = questions.number(asked, "limit", 100, least=1, most=watching.PAGE_MAX)
        with asking.reader.connection() as db:
            found = watching.forecasts(
                db, grant.tenant, measure=questions.one(asked, "measure", ""), horizon=horizon,
                limit=limit,
            )  # fmt: skip
        told = {"forecasts": [structs.asdict(one) for one in found]}
        return respond(request, asked, told, _points(found), name="forecasts")

    @routes.get(BUDGETS, summary="What of budgets is spent, and until when", **described(_BUDGETS))
    def budgets(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        with asking.reader.connection() as db:
            found = watching.budgets(db, grant.tenant)
        told = {"budgets": [structs.asdict(one) for one in found]}
        return respond(request, asked, told, _table(found, Budget), name="budgets")

    _add_alerts(routes, asking)
    return routes


def _add_alerts(routes: APIRouter, asking: Asking) -> None:
    @routes.get(ALERTS, summary="Alerts as they are now", **described(_ALERTS))
    def alerts(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        states = _states(asked)
        limit = questions.number(asked, "limit", 100, least=1, most=watching.PAGE_MAX)
        with asking.reader.connection() as db:
            found = watching.alerts(db, grant.tenant, states=states, limit=limit)
            silences = watching.silences(db, grant.tenant, now_ms=asking.wall_ms())
        told = {
            "alerts": [structs.asdict(one) for one in found],
            "silences": [structs.asdict(one) for one in silences],
            "more": len(found) == limit,
        }
        return respond(request, asked, told, _table(found, Alert), name="alerts")

    @routes.get(HISTORY, summary="How alerts changed", **described(_HISTORY))
    def history(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        limit = questions.number(asked, "limit", 100, least=1, most=watching.PAGE_MAX)
        from_ms, until_ms = questions.range_of(asked, now_ms=asking.wall_ms())
        after = questions.number(asked, "after", LAST, least=0, most=LAST)
        with asking.reader.connection() as db:
            found = watching.alert_changes(
                db, grant.tenant, from_ms=from_ms, until_ms=until_ms, limit=limit, after=after
            )
        told = {
            "changes": [structs.asdict(one) for one in found],
            "next": str(found[-1].number) if len(found) == limit else None,
        }
        return respond(request, asked, told, _table(found, AlertChange), name="alert-history")


def _which(asked: Parameters, now_ms: int) -> Which:
    from_ms, until_ms = questions.range_of(asked, now_ms=now_ms)
    feedback = questions.one(asked, "feedback", "")
    if feedback not in {"", *watching.FEEDBACK}:
        raise BadQuestion(f"'feedback' is {' or '.join(watching.FEEDBACK)}")
    return Which(
        from_ms=from_ms,
        until_ms=until_ms,
        measure=questions.one(asked, "measure", ""),
        dimension=questions.one(asked, "dimension", ""),
        part=questions.one(asked, "part", ""),
        feedback=feedback,
    )


def _after(asked: Parameters) -> tuple[int, str] | None:
    text = questions.one(asked, "after", "")
    if not text:
        return None
    digits, dot, anomaly_id = text.partition(".")
    if not (dot and digits.isdecimal() and len(digits) <= _DIGITS_MAX):
        raise BadQuestion(f"'after' is the `next` of the page before, not {text[:40]!r}")
    return int(digits), anomaly_id


def _states(asked: Parameters) -> tuple[str, ...]:
    states = tuple(asked.get("state", ())) or watching.STATES
    for state in states:
        if state not in watching.STATES:
            raise BadQuestion(f"no state {state[:40]!r}; there are {', '.join(watching.STATES)}")
    return states


def _table(found: Sequence[Struct], kind: type[Struct]) -> Table:
    names = kind.__struct_fields__
    return Table({name: [_cell(getattr(one, name)) for one in found] for name in names})


def _cell(value: Value | dict[str, object] | list[object]) -> Value:
    """Return a value as a column holds it: what is nested is JSON."""
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _points(found: Sequence[Forecast]) -> Table:
    rows = [(one, point) for one in found for point in one.points]
    columns: dict[str, Column] = {
        name: [getattr(one, name) for one, _ in rows]
        for name in ("measure", "dimension", "part", "horizon", "made_ms")
    }
    columns |= {
        name: [point[name] for _, point in rows]
        for name in ("at_ms", "mean", "low80", "high80", "low95", "high95")
    }
    return Table(columns)


_DIGITS_MAX: Final = 15
LAST: Final = 10**_DIGITS_MAX - 1
"""The place behind all changes that a page may begin at."""
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
    "state": f"Only in this state; may be given several times: {', '.join(watching.STATES)}.",
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
