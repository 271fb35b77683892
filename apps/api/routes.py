"""`/v1/metrics/query`, `/v1/series` and `/v1/sessions`: a tenant's own figures, read only.

All of it needs the scope `subscribe` and shows the token's tenant. An answer is JSON, CSV or
Parquet (`format`, or `Accept`), has an ETag, and says with `more` or `next` that there is more.
"""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from msgspec import Struct, structs
from starlette.responses import Response

from analytics.measures.rows import Grain
from apps.api import answers, questions
from apps.api.answers import TYPES, Column, Format, Table
from apps.api.questions import Parameters
from gateway.auth import Grant, Scope
from gateway.guard import grant_of
from gateway.routes.parts import responses
from streams.store.queries import catalogue, cover, grouped, measured, sessions
from streams.store.queries.catalogue import FIRST, Known
from streams.store.queries.grouped import BadQuestion, Grouped, Wanted
from streams.store.queries.sessions import Session
from streams.store.reader import Reader

METRICS: Final = "/v1/metrics/query"
SERIES: Final = "/v1/series"
SESSIONS: Final = "/v1/sessions"
SKIPPED_MAX: Final = 1_000_000
"""Sessions that a page may lie behind."""


class Asking(Struct, frozen=True, kw_only=True):
    """Who answers, and what time it is."""

    reader: Reader
    wall_ms: Callable[[], int]


def router(asking: Asking) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["query"])

    @routes.get(METRICS, summary="Measures over time", **_described(_METRICS))
    def metrics(request: Request) -> Response:
        grant, asked = _asked(request)
        with asking.reader.connection() as db:
            span = questions.span_of(asked, now_ms=asking.wall_ms(), since=cover.since(db))
            wanted = questions.wanted_of(asked, span)
            second = measured.second_book(db, grant.tenant, from_ms=span.from_ms)
            found = grouped.query(db, grant.tenant, wanted, second=second)
        return _respond(request, asked, _told(wanted, found), _table(wanted, found), name="metrics")

    @routes.get(SERIES, summary="Which series there are", **_described(_SERIES))
    def series(request: Request) -> Response:
        grant, asked = _asked(request)
        limit = questions.number(asked, "limit", 100, least=1, most=catalogue.PAGE_MAX)
        with asking.reader.connection() as db:
            found = catalogue.listed(
                db,
                grant.tenant,
                grain=_grain(asked),
                only=questions.only_of(asked),
                after=_after(asked),
                limit=limit,
            )
        told = {
            "series": [{"id": str(one.series_id), "labels": one.labels} for one in found],
            "next": str(found[-1].series_id) if len(found) == limit else None,
        }
        return _respond(request, asked, told, _series_table(found), name="series")

    @routes.get(SESSIONS, summary="Sessions of a range", **_described(_SESSIONS))
    def listed(request: Request) -> Response:
        grant, asked = _asked(request)
        limit = questions.number(asked, "limit", 100, least=1, most=sessions.PAGE_MAX)
        offset = questions.number(asked, "after", 0, least=0, most=SKIPPED_MAX)
        wanted = questions.filter_of(asked, now_ms=asking.wall_ms())
        sort = questions.sort_of(asked)
        with asking.reader.connection() as db:
            found = sessions.listed(db, grant.tenant, wanted, sort=sort, offset=offset, limit=limit)
        told = {
            "sessions": [structs.asdict(one) for one in found],
            "next": str(offset + limit) if len(found) == limit else None,
        }
        return _respond(request, asked, told, _sessions_table(found), name="sessions")

    return routes


def _asked(request: Request) -> tuple[Grant, Parameters]:
    """Return who asks, and what; raise `Forbidden` or `BadQuestion`."""
    grant = grant_of(request)
    grant.require(Scope.SUBSCRIBE)
    parameters = request.query_params
    asked = {name: parameters.getlist(name) for name in parameters}
    known = KNOWN[request.url.path]
    for name in asked:
        if name not in known:
            raise BadQuestion(f"no parameter {name[:40]!r}; there are {', '.join(sorted(known))}")
    return grant, asked


def _respond(
    request: Request, asked: Parameters, told: object, table: Table, *, name: str
) -> Response:
    kind = answers.format_of(questions.one(asked, "format", ""), request.headers.get("accept", ""))
    known = request.headers.get("if-none-match", "")
    return answers.respond(told, table, kind, name=name, known=known)


def _told(wanted: Wanted, found: Grouped) -> dict[str, object]:
    span = wanted.span
    return {
        "from_ms": span.from_ms,
        "until_ms": span.until_ms,
        "step_ms": span.step_ms,
        "window_ms": span.width_ms,
        "measures": wanted.measures,
        "group_by": wanted.group_by,
        "groups": [{"labels": one.labels, "points": one.points} for one in found.groups],
        "more": found.more,
    }


def _table(wanted: Wanted, found: Grouped) -> Table:
    rows = [(one.labels, point) for one in found.groups for point in one.points]
    columns: dict[str, Column] = {"at_ms": [point[0] for _, point in rows]}
    columns |= {name: [labels[name] for labels, _ in rows] for name in wanted.group_by}
    columns |= {
        name: [point[place] for _, point in rows]
        for place, name in enumerate(wanted.measures, start=1)
    }
    return Table(columns)


def _series_table(found: tuple[Known, ...]) -> Table:
    return Table(
        {"id": [str(one.series_id) for one in found]}
        | {name: [one.labels.get(name, "") for one in found] for name in grouped.DIMENSIONS}
    )


def _sessions_table(found: tuple[Session, ...]) -> Table:
    names = Session.__struct_fields__
    return Table({name: [getattr(one, name) for one in found] for name in names})


def _grain(asked: Parameters) -> Grain:
    named = questions.one(asked, "grain", Grain.FLEET)
    try:
        return Grain(named)
    except ValueError as error:
        raise BadQuestion(f"no grain {named[:40]!r}; there are {', '.join(Grain)}") from error


def _after(asked: Parameters) -> int:
    text = questions.one(asked, "after", str(FIRST))
    digits = text.removeprefix("-")
    if not (digits.isdecimal() and len(digits) <= _DIGITS_MAX and -(2**63) <= int(text) < 2**63):
        raise BadQuestion(f"'after' is the `next` of the page before, not {text[:40]!r}")
    return int(text)


_DIGITS_MAX: Final = 19

_RANGE: Final = {
    "from": "Begin: epoch ms, RFC 3339 or a distance back such as -24h (the default).",
    "until": "End, likewise; now where nothing is said.",
}
_FORMAT: Final = {"format": "json, csv or parquet."}
_LIMIT: Final = {"limit": "How many at most; the answer says when there are more."}
_ONLY: Final = {
    name: f"Only where {name} is this; may be given several times." for name in grouped.DIMENSIONS
}
_METRICS: Final = {
    **_RANGE,
    "measures": f"With commas between: {', '.join(measured.FIRST_BOOK)}.",
    "group_by": f"With commas between: {', '.join(grouped.DIMENSIONS)}.",
    "aggregation": f"The step: {', '.join(questions.AGGREGATIONS)}.",
    **_ONLY,
    **_LIMIT,
    **_FORMAT,
}
_SERIES: Final = {
    "grain": f"Which series: {', '.join(Grain)}.",
    "after": "The `next` of the page before.",
    **_ONLY,
    **_LIMIT,
    **_FORMAT,
}
_SESSIONS: Final = {
    **_RANGE,
    **{name: f"Only sessions of this {name}." for name in sessions.FACETS},
    "search": "Text in the id, first prompt, project or user.",
    "sort": f"By what: {', '.join(sessions.SORTS)}.",
    "after": "The `next` of the page before.",
    **_LIMIT,
    **_FORMAT,
}
KNOWN: Final = {
    METRICS: frozenset(_METRICS),
    SERIES: frozenset(_SERIES),
    SESSIONS: frozenset(_SESSIONS),
}
"""The parameters of each path; another one is a mistake that is better said than overlooked."""


def _described(parameters: dict[str, str]) -> dict[str, Any]:
    """Return what OpenAPI says of a route."""
    listed = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": about,
            "schema": _schema(name),
        }
        for name, about in parameters.items()
    ]
    content: dict[str, Any] = {TYPES[kind].partition(";")[0]: {} for kind in Format}
    content[TYPES[Format.JSON]] = {"schema": {"type": "object"}}
    return {
        "response_class": Response,
        "openapi_extra": {"parameters": listed},
        "responses": {
            200: {"description": "The answer.", "content": content},
            304: {"description": "The caller has it: If-None-Match names its ETag."},
            **responses(400, 401, 403, 429, 503),
        },
    }


def _schema(name: str) -> dict[str, Any]:
    if name in _ONLY:
        return {"type": "array", "items": {"type": "string"}}
    if name == "limit":
        return {"type": "integer", "minimum": 1, "maximum": 1_000}
    if name == "format":
        return {"type": "string", "enum": list(Format)}
    return {"type": "string"}
