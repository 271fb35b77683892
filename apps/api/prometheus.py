"""Prometheus' HTTP API over the store, as far as Grafana's data source asks it.

`/api/v1/query`, `/query_range`, `/series`, `/labels`, `/label/<name>/values`, `/metadata` and
`/status/buildinfo`, by GET or POST, with Prometheus' own envelope and error types
(prometheus.io/docs/prometheus/latest/querying/api). What the subset does not hold is refused with
its place, as `bad_data`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from analytics.contracts.errors import MainstemError, Unavailable
from analytics.contracts.ids import TenantId
from analytics.promql import (
    BadEvaluation,
    BadExpression,
    Budget,
    Expression,
    InstantPoint,
    Matrix,
    Result,
    Series,
    TooSlow,
    check_steps,
    held,
    instant,
    parse,
    ranged,
)
from analytics.promql.nodes import Selector, bare
from apps.api import answers, listing, naming, promised
from apps.api.naming import Names
from apps.api.parts import Asking
from apps.api.questions import Parameters, one
from gateway.http.auth import Grant, TokenScope
from gateway.http.guard import grant_of
from gateway.http.limits import BodyBounds, read_body
from streams.monitoring import evaluation
from streams.queries.grouped import BadQuestion
from streams.series import every_series
from streams.series.measures import Db
from streams.series.recorded import Together

ROOT: Final = "/api/v1"
METRICS: Final = "/metrics"
FORM: Final = BodyBounds(bytes_max=65_536, seconds_max=10.0)
CUT: Final = "results truncated due to limit"
_UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ENCODER: Final = msgspec.json.Encoder()

Listed = Callable[[Db, TenantId], object]


class Now(Struct, frozen=True):
    """When something is asked, and what finding the answer may cost."""

    ms: int
    budget: Budget


Answer = Callable[[Db, Grant, Parameters, Now], object]
"""Return what is asked of a tenant, or, as a `Later`, what is left to compute without the store."""


class Later(Struct, frozen=True):
    """An answer whose reading is done."""

    computed: Callable[[], object]


def router(asking: Asking) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["prometheus"], prefix=ROOT)
    for asked in _ASKED:
        _add(routes, asking, asked)

    about = "List the alerts that fire or may soon"
    _add_listing(routes, asking, "/alerts", listing.alerts, about=about)

    @routes.get("/status/buildinfo", summary="Say what answers", **promised.answered())
    def build(request: Request) -> Response:
        _grant(request)
        return _told({"version": "2.42.0", "application": "mainstem"})

    return routes


def exposing(asking: Asking) -> APIRouter:
    """Return the route that a Prometheus scrapes results from."""
    routes = APIRouter(tags=["prometheus"])

    described = promised.answered(content={"text/plain": {"schema": {"type": "string"}}})

    @routes.get(METRICS, summary="The newest value of every series", **described)
    def metrics(request: Request) -> Response:
        grant = _grant(request)
        with asking.reader.connection() as db:
            text = listing.exposition(
                db, grant.tenant, now_ms=asking.wall_ms(), operator=TokenScope.ADMIN in grant.scopes
            )
        return Response(text, media_type=listing.CONTENT_TYPE)

    return routes


class _Asked(Struct, frozen=True):
    """A question that comes by GET or, as a form, by POST."""

    path: str
    answer: Answer
    about: str
    parameters: Mapping[str, str]
    in_path: Mapping[str, str] = {}


def _add(routes: APIRouter, asking: Asking, one: _Asked) -> None:
    async def answered(request: Request) -> Response:
        grant = _grant(request)
        asked = {**await _parameters(request), **{k: [v] for k, v in request.path_params.items()}}
        known = request.headers.get("if-none-match", "")
        return await run_in_threadpool(_answered, asking, one.answer, grant, asked, known=known)

    described = promised.asked(one.parameters, in_path=one.in_path)
    routes.get(one.path, summary=one.about, **described)(answered)
    described = promised.posted(one.parameters, in_path=one.in_path)
    routes.post(one.path, summary=one.about, **described)(answered)


def _add_listing(
    routes: APIRouter, asking: Asking, path: str, listed: Listed, *, about: str
) -> None:
    @routes.get(path, summary=about, **promised.answered())
    def answered(request: Request) -> Response:
        grant = _grant(request)
        with asking.reader.connection() as db:
            return _told(listed(db, grant.tenant))


def _answered(
    asking: Asking, answer: Answer, grant: Grant, asked: Parameters, *, known: str
) -> Response:
    try:
        with asking.reader.connection() as db:
            now = Now(asking.wall_ms(), evaluation.within(asking.query_ms_max))
            data = answer(db, grant, asked, now)
        if isinstance(data, Later):
            data = data.computed()
        data, is_cut = _cut(data, asked)
    except (BadExpression, BadQuestion) as error:
        return _failed(400, "bad_data", error)
    except TooSlow as error:
        return _failed(503, "timeout", error)
    except BadEvaluation as error:
        return _failed(422, "execution", error)
    except Unavailable as error:
        return _failed(503, "unavailable", error)
    return _told(data, known=known, warnings=[CUT] if is_cut else [])


def _query(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    expression = parse(_needed(asked, "query"))
    at_ms = _moment(asked, "time", now.ms)
    storage = held(expression, _storage(db, grant, now.ms), at_ms, at_ms, budget=now.budget)

    def computed() -> object:
        found = instant(expression, storage, at_ms, budget=now.budget)
        return _result(found, expression, at_ms)

    return Later(computed)


def _query_range(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    expression = parse(_needed(asked, "query"))
    start_ms, end_ms = _moment(asked, "start", None), _moment(asked, "end", None)
    step_ms = int(_seconds(_needed(asked, "step")) * 1_000)
    if step_ms <= 0 or end_ms < start_ms:
        raise BadQuestion("a range ends after it starts, in steps above zero")
    last_ms = start_ms + (end_ms - start_ms) // step_ms * step_ms
    check_steps(start_ms, end_ms, step_ms)
    storage = held(expression, _storage(db, grant, now.ms), start_ms, last_ms, budget=now.budget)

    def computed() -> object:
        found = ranged(expression, storage, start_ms, end_ms, step_ms=step_ms, budget=now.budget)
        return {"resultType": "matrix", "result": [_line(one) for one in found]}

    return Later(computed)


def _series(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    return _listing(db, grant, now).series(asked)


def _names(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    return _listing(db, grant, now).labels(asked)


def _values(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    return _listing(db, grant, now).values(asked)


def _listing(db: Db, grant: Grant, now: Now) -> Names:
    watched = now.budget.watched
    return Names(db, grant.tenant, now_ms=now.ms, moment=_moment, watched=watched)


def _metadata(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    del db, grant, now
    return naming.metadata(asked)


def _rules(db: Db, grant: Grant, asked: Parameters, now: Now) -> object:
    del now
    return naming.rules(db, grant.tenant, asked)


def _cut(data: object, asked: Parameters) -> tuple[object, bool]:
    """Return as much of a list or a result as is asked for, and whether that is less."""
    limit = naming.limit_of(asked)
    if isinstance(data, dict) and data.get("resultType") in {"vector", "matrix"}:
        rows = data["result"]
        return {**data, "result": rows[: limit or None]}, 0 < limit < len(rows)
    if isinstance(data, list):
        return data[: limit or None], 0 < limit < len(data)
    return data, False


def _storage(db: Db, grant: Grant, now_ms: int) -> Together:
    operator = TokenScope.ADMIN in grant.scopes
    return every_series.series(db, grant.tenant, until_ms=now_ms, operator=operator)


def _result(found: Result, expression: Expression, at_ms: int) -> object:
    if isinstance(found, float):
        return {"resultType": "scalar", "result": [at_ms / 1_000, _number(found)]}
    if isinstance(found, str):
        return {"resultType": "string", "result": [at_ms / 1_000, found]}
    node = bare(expression.node)
    if isinstance(node, Selector) and node.range_ms:
        return {"resultType": "matrix", "result": [_line(row) for row in _lines(found)]}
    rows = [
        {"metric": dict(row.labels), "value": [at_ms / 1_000, _number(row.value)]}
        for row in found
        if isinstance(row, InstantPoint)
    ]
    return {"resultType": "vector", "result": rows}


def _lines(found: Matrix | Sequence[InstantPoint]) -> Iterator[Series]:
    return (row for row in found if isinstance(row, Series))


def _line(series: Series) -> Mapping[str, object]:
    samples = [[at_ms / 1_000, _number(value)] for at_ms, value in series.samples()]
    return {"metric": dict(series.labels), "values": samples}


def _number(value: float) -> str:
    """Return a value as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < _WHOLE_MAX else repr(value)


def _grant(request: Request) -> Grant:
    grant = grant_of(request)
    grant.require(TokenScope.SUBSCRIBE)
    return grant


async def _parameters(request: Request) -> dict[str, list[str]]:
    """Return what is in the URL and, with POST, in the form."""
    asked = {name: request.query_params.getlist(name) for name in request.query_params}
    if request.method == "POST":
        body = await read_body(request, FORM)
        for name, values in parse_qs(body.decode("utf-8", "replace"), max_num_fields=100).items():
            asked.setdefault(name, []).extend(values)
    return asked


def _needed(asked: Parameters, name: str) -> str:
    text = one(asked, name, "")
    if not text:
        raise BadQuestion(f"{name!r} is missing")
    return text


def _moment(asked: Parameters, name: str, default_ms: int | None) -> int:
    """Return a time, given as Unix seconds or RFC 3339, in ms."""
    text = one(asked, name, "")
    if not text and default_ms is not None:
        return default_ms
    try:
        seconds = float(text)
    except ValueError:
        from apps.api.questions import instant as read

        return read(text or "nothing", now_ms=0)
    if not math.isfinite(seconds) or not 0 <= seconds < _SECONDS_MAX:
        raise BadQuestion(f"{name!r} is no time: {text[:40]!r}")
    return round(seconds * 1_000)


def _seconds(text: str) -> float:
    """Return a step: seconds, or a number with a unit."""
    for unit, scale in sorted(_UNITS_S.items(), key=lambda pair: -len(pair[0])):
        head = text.removesuffix(unit)
        if head != text and head.isdecimal() and len(head) <= _DIGITS_MAX:
            return int(head) * scale
    try:
        found = float(text)
    except ValueError as error:
        raise BadQuestion(f"{text[:40]!r} is no step") from error
    if not math.isfinite(found) or found > _SECONDS_MAX:
        raise BadQuestion(f"{text[:40]!r} is no step")
    return found


def _told(data: object, *, known: str = "", warnings: Sequence[str] = ()) -> Response:
    body = {"status": "success", "data": data} | ({"warnings": warnings} if warnings else {})
    return answers.respond(body, answers.Table({}), answers.Format.JSON, name="query", known=known)


def _failed(status: int, kind: str, error: MainstemError) -> Response:
    told = {"status": "error", "errorType": kind, "error": str(error)}
    retry = {"Retry-After": "1"} if isinstance(error, Unavailable) else {}
    return Response(
        _ENCODER.encode(told), status_code=status, media_type="application/json", headers=retry
    )


_DIGITS_MAX: Final = 9
_SECONDS_MAX: Final = 1e12
_WHOLE_MAX: Final = 1e15
_ASKED: Final = (
    _Asked("/query", _query, "Evaluate an expression at a moment", promised.QUERY),
    _Asked(
        "/query_range", _query_range, "Evaluate an expression at every step of a range",
        promised.RANGE,
    ),
    _Asked("/series", _series, "List series that selectors match", promised.LISTED),
    _Asked("/labels", _names, "List the names of labels", promised.LISTED),
    _Asked(
        "/label/{name}/values", _values, "List the values of a label", promised.LISTED,
        {"name": "The label; __name__ for the names of series."},
    ),
    _Asked("/metadata", _metadata, "Describe the metrics", promised.METADATA),
    _Asked("/rules", _rules, "List the rules of alerts with their alerts", promised.RULES),
)  # fmt: skip
