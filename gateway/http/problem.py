"""Errors over HTTP as problem+json (RFC 9457): one table from the tree of errors to statuses.

A problem says what was wrong and what to do, never where in our code. What may be sent again later
carries `Retry-After`; a missing or bad token carries `WWW-Authenticate`.
"""

import logging
import math
from collections.abc import Mapping
from typing import Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from analytics.contracts import errors
from analytics.contracts.errors import MainstemError
from gateway.http import rate_limiter
from gateway.http.rate_limiter import RateLimited

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:mainstem:problem:"


class BodyTooSlow(errors.Refused):
    """A request body that did not come within its time."""

    code = "body-too-slow"


class HeadTooLarge(errors.Refused):
    """A request whose head has more than a limit allows."""

    code = "head-too-large"


class TooManyConnections(errors.Unavailable):
    """An address that holds as many connections as it may."""

    code = "too-many-connections"


STATUSES: Final[tuple[tuple[type[MainstemError], int, str], ...]] = (
    (BodyTooSlow, 408, "Too slow"),
    (errors.TooLarge, 413, "Too large"),
    (HeadTooLarge, 431, "Head too large"),
    (errors.UnsupportedMediaType, 415, "Unsupported media type"),
    (errors.Unauthenticated, 401, "Not authenticated"),
    (errors.Forbidden, 403, "Not allowed"),
    (errors.NotFound, 404, "Not found"),
    (errors.Conflict, 409, "Conflict"),
    (errors.PreconditionFailed, 412, "Precondition failed"),
    (errors.Refused, 400, "Refused"),
    (RateLimited, 429, "Too many requests"),
    (TooManyConnections, 429, "Too many connections"),
    (errors.Unavailable, 503, "Not available now"),
)
"""The first row that fits an error decides; what fits none is a 500."""

log = logging.getLogger(__name__)


def status_of(error: MainstemError) -> int:
    """Return the HTTP status for `error`."""
    return _row(error)[0]


def headers_of(error: MainstemError) -> dict[str, str]:
    """Return the headers that go with `error`, whatever its body."""
    if isinstance(error, RateLimited):
        told = rate_limiter.headers_of(error.stands)
        return {"Retry-After": str(retry_after_seconds(error.retry_after_ms)), **told}
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(retry_after_seconds(error.retry_after_ms))}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="mainstem", error="invalid_token"'}
    return {}


def retry_after_seconds(retry_after_ms: int) -> int:
    """Return the wait in whole seconds, at least one."""
    return max(1, math.ceil(retry_after_ms / 1_000))


def answer(error: MainstemError, *, more: Mapping[str, object] | None = None) -> Response:
    """Return the response for `error`; `more` are members beside the standard ones."""
    status, title = _row(error)
    return _response(
        status, title, str(error), code=error.code, headers=headers_of(error), more=more
    )


async def refuse_socket(error: MainstemError, scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket before it is accepted, with a proper response where the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await answer(error)(scope, receive, send)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(MainstemError, _on_ours)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(RecursionError, _on_depth)
    app.add_exception_handler(Exception, _on_bug)


def _row(error: MainstemError) -> tuple[int, str]:
    for kind, status, title in STATUSES:
        if isinstance(error, kind):
            return status, title
    return 500, "Internal error"


def _response(
    status: int,
    title: str,
    detail: str,
    *,
    code: str,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    body = {"type": TYPE_PREFIX + code, "title": title, "status": status, "detail": detail}
    return Response(
        msgspec.json.encode({**body, **(more or {})}),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


async def _on_ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MainstemError)
    return answer(error)


async def _on_depth(_request: Request, _error: Exception) -> Response:
    """Answer a body that is nested more deeply than can be read: nothing else here recurses."""
    return _response(400, "Bad request", "the body is nested too deeply", code="bad-body")


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: f"there is nothing at {request.url.path!r}",
        405: f"{request.url.path!r} does not take {request.method}",
    }.get(error.status_code, str(error.detail))
    code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "http")
    headers = {"Allow": _methods_of(request)} if error.status_code == 405 else error.headers
    return _response(error.status_code, str(error.detail), detail, code=code, headers=headers)


def _methods_of(request: Request) -> str:
    """Return what a path takes; Starlette names the methods of the first route only."""
    routes = [
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    return ", ".join(sorted({method for route in routes for method in route.methods or ()}))


async def _on_invalid(_request: Request, error: Exception) -> Response:
    return _response(400, "Refused", "the request's parameters are wrong", code="refused")


async def _on_gone(_request: Request, _error: Exception) -> Response:
    return _response(400, "Refused", "the client left before its body was whole", code="gone")


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error(
        "request failed unexpectedly",
        extra={"path": request.url.path, "kind": type(error).__name__},
    )
    return _response(
        500, "Internal error", "this is a bug of ours; nothing was acknowledged", code="failed"
    )
