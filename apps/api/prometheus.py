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

from analytics.alerts.exposed import EXPOSED, Sort
from analytics.contracts.errors import MainstemError, Unavailable
from analytics.contracts.ids import TenantId
from analytics.promql import (
    BadEvaluation,
    BadExpression,
    Expression,
    Matrix,
    Point,
    Result,
    Series,
    instant,
    parse,
    ranged,
)
from analytics.promql.nodes import Selector, bare
from analytics.promql.series import NAME, Labels
from apps.api import answers, listing, promised
from apps.api.parts import Asking
from apps.api.questions import Parameters, one
from gateway.auth import Grant, Scope
from gateway.guard import grant_of
from gateway.limits import read_body
from streams.store.queries import whole
from streams.store.queries.grouped import BadQuestion
from streams.store.queries.measured import Db
from streams.store.watching.recorded import Together

ROOT: Final = "/api/v1"
METRICS: Final = "/metrics"
FORM_BYTES_MAX: Final = 65_536
FORM_SECONDS_MAX: Final = 10.0
DAY_MS: Final = 86_400_000
MATCHES_MAX: Final = 16
"""Selectors that one question may name."""
_UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ENCODER: Final = msgspec.json.Encoder()

Listed = Callable[[Db, TenantId], object]
Answer = Callable[[Db, Grant, Parameters, int], object]
"""Return what is asked of a tenant at a moment."""


def router(asking: Asking) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["prometheus"], prefix=ROOT)
    for asked in _ASKED:
        _add(routes, asking, asked)

    for path, listed, about in (
        ("/rules", listing.rules, "List the rules of alerts with their alerts"),
        ("/alerts", listing.alerts, "List the alerts that fire or may soon"),
    ):
        _add_listing(routes, asking, path, listed, about=about)

    @routes.get("/metadata", summary="Describe the metrics", **promised.answered())
    def metadata(request: Request) -> Response:
        _grant(request)
        return _told({
            one.name: [{"type": _TYPES[one.sort], "help": one.about, "unit": one.unit}]
            for one in EXPOSED
            if one.name in whole.NAMES
        })  # fmt: skip

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
            text = listing.exposition(db, grant.tenant, now_ms=asking.wall_ms())
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
            data = answer(db, grant, asked, asking.wall_ms())
    except (BadExpression, BadQuestion) as error:
        return _failed(400, "bad_data", error)
    except BadEvaluation as error:
        return _failed(422, "execution", error)
    except Unavailable as error:
        return _failed(503, "unavailable", error)
    return _told(data, known=known)


def _query(db: Db, grant: Grant, asked: Parameters, now_ms: int) -> object:
    expression = parse(_needed(asked, "query"))
    at_ms = _moment(asked, "time", now_ms)
    found = instant(expression, _storage(db, grant, now_ms), at_ms)
    return _result(found, expression, at_ms)


def _query_range(db: Db, grant: Grant, asked: Parameters, now_ms: int) -> object:
    expression = parse(_needed(asked, "query"))
    start_ms, end_ms = _moment(asked, "start", None), _moment(asked, "end", None)
    step_ms = int(_seconds(_needed(asked, "step")) * 1_000)
    if step_ms <= 0 or end_ms < start_ms:
        raise BadQuestion("a range ends after it starts, in steps above zero")
    found = ranged(expression, _storage(db, grant, now_ms), start_ms, end_ms, step_ms=step_ms)
    return {"resultType": "matrix", "result": [_line(one) for one in found]}


def _series(db: Db, grant: Grant, asked: Parameters, now_ms: int) -> object:
    return [dict(one) for one in sorted(_matched(db, grant, asked, now_ms))]


def _names(db: Db, grant: Grant, asked: Parameters, now_ms: int) -> object:
    found = _matched(db, grant, asked, now_ms)
    return sorted({name for labels in found for name, _ in labels})


def _values(db: Db, grant: Grant, asked: Parameters, now_ms: int) -> object:
    name = one(asked, "name", "")
    if name == NAME and not asked.get("match[]"):
        return whole.names(db, grant.tenant, until_ms=now_ms)
    found = _matched(db, grant, asked, now_ms)
    return sorted({value for labels in found for label, value in labels if label == name})


def _matched(db: Db, grant: Grant, asked: Parameters, now_ms: int) -> set[Labels]:
    """Return the label sets that any of the selectors match; of all that happens without one."""
    texts = asked.get("match[]") or ["events_total"]
    if len(texts) > MATCHES_MAX:
        raise BadQuestion(f"{len(texts)} selectors; at most {MATCHES_MAX}")
    start_ms = _moment(asked, "start", now_ms - DAY_MS)
    end_ms = _moment(asked, "end", now_ms)
    storage = _storage(db, grant, now_ms)
    found: set[Labels] = set()
    for text in texts:
        selector = bare(parse(text).node)
        if not isinstance(selector, Selector) or selector.range_ms:
            raise BadQuestion(f"{text[:80]!r} is no selector of series")
        found |= {row.labels for row in storage.select(selector.matchers, start_ms, end_ms)}
        sketched = storage.select_sketches(selector.matchers, start_ms, end_ms)
        found |= {row.labels for row in sketched}
    return found


def _storage(db: Db, grant: Grant, now_ms: int) -> Together:
    return whole.series(db, grant.tenant, until_ms=now_ms)


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
        if isinstance(row, Point)
    ]
    return {"resultType": "vector", "result": rows}


def _lines(found: Matrix | Sequence[Point]) -> Iterator[Series]:
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
    grant.require(Scope.SUBSCRIBE)
    return grant


async def _parameters(request: Request) -> dict[str, list[str]]:
    """Return what is in the URL and, with POST, in the form."""
    asked = {name: request.query_params.getlist(name) for name in request.query_params}
    if request.method == "POST":
        body = await read_body(request, bytes_max=FORM_BYTES_MAX, seconds_max=FORM_SECONDS_MAX)
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


def _told(data: object, *, known: str = "") -> Response:
    body = {"status": "success", "data": data}
    return answers.respond(body, answers.Table({}), answers.Format.JSON, name="query", known=known)


def _failed(status: int, kind: str, error: MainstemError) -> Response:
    told = {"status": "error", "errorType": kind, "error": str(error)}
    retry = {"Retry-After": "1"} if isinstance(error, Unavailable) else {}
    return Response(
        _ENCODER.encode(told), status_code=status, media_type="application/json", headers=retry
    )


_TYPES: Final = {Sort.COUNTER: "counter", Sort.GAUGE: "gauge", Sort.SKETCH: "histogram"}
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
)  # fmt: skip
