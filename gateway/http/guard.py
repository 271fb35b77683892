"""The door for HTTP and WebSocket alike, as pure ASGI: rates, origins and bearer tokens.

Every request but those to open and signed paths needs a good token; what it grants travels on in
the scope. A WebSocket shows its token in its first frame, so here only its origin is looked at, and
how many its address opens; its meter travels on in the scope. A request that names an origin comes
from a browser, and is refused unless that origin is allowed. While the event loop runs late
nobody is let in. Open paths are not limited: whoever watches over the gateway asks there.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from analytics.contracts.errors import Forbidden, MainstemError, Unauthenticated
from gateway import metrics
from gateway.http import problem, rate_limiter
from gateway.http.addresses import Addresses
from gateway.http.auth import Grant, Verifier, bearer
from gateway.http.connections import CONNECTION
from gateway.http.health import Gate
from gateway.http.limits import HELD
from gateway.http.rate_limiter import LimitedResource, Meter, RateLimiter, Stand, Subject, who_of

GRANT: Final = "mainstem.grant"
METER: Final = "mainstem.meter"
OTHER: Final = "other"
NO_SOCKETS: Final[Mapping[str, ASGIApp]] = {}


class RequestChecks(Struct, frozen=True, kw_only=True):
    """What is looked at, and by whom."""

    verifier: Verifier
    wall_ms: Callable[[], int]
    addresses: Addresses
    limits: RateLimiter
    strikes_max: int
    origins: frozenset[str]
    open_paths: frozenset[str]
    signed_paths: frozenset[str]
    """What needs no token since its bodies are signed."""
    gate: Gate


class Guard:
    """Wraps an application; nothing reaches it unchecked."""

    def __init__(
        self,
        app: ASGIApp,
        checks: RequestChecks,
        *,
        ingest_paths: Mapping[str, str],
        sockets: Mapping[str, ASGIApp] = NO_SOCKETS,
    ) -> None:
        """`ingest paths` names the paths that are counted by name.

        `sockets` are what serves WebSockets by path: handed over from here, each stays open without
        the frames of a dozen layers of routing below it.
        """
        self._app = app
        self._sockets = sockets
        self._checks = checks
        self._ingest_paths = ingest_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request or socket through, or answer it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        ingest_path = self._ingest_paths.get(scope["path"], OTHER)
        begun = time.perf_counter()
        status = 500
        told: dict[str, str] = {}

        async def noting(message: Any) -> None:  # noqa: ANN401 - ASGI
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with(message.get("headers", ()), told)
            await send(message)

        try:
            if scope["path"] not in self._checks.open_paths:
                who = self._enter(scope, told)
                receive = self._counting(scope, receive, who)
        except MainstemError as error:
            await problem.answer(error)(scope, receive, noting)
        else:
            await self._app(scope, receive, noting)
        finally:
            if (held := scope.pop(HELD, None)) is not None:
                held.release()
            metrics.REQUESTS.labels(ingest_path, str(status)).inc()
            metrics.REQUEST_SECONDS.labels(ingest_path).observe(time.perf_counter() - begun)

    def _enter(self, scope: Scope, told: dict[str, str]) -> rate_limiter.Who:
        checks = self._checks
        checks.gate.check()
        who: rate_limiter.Who = {Subject.ADDRESS: checks.addresses.client_of(scope)}
        stands: Sequence[Stand] = checks.limits.ask(LimitedResource.COMMANDS, who)
        told.update(rate_limiter.headers_of(stands))
        self._check_origin(scope)
        if scope["path"] in checks.signed_paths:
            return who
        grant = checks.verifier.verify(
            bearer(_header(scope, b"authorization")), now_ms=checks.wall_ms()
        )
        if grant.channel:
            raise Unauthenticated("the token opens a channel only; use one that connects")
        named = who_of(grant)
        if (connection := scope.get(CONNECTION)) is not None:
            connection.authenticate()
        stands = [*stands, *checks.limits.ask(LimitedResource.COMMANDS, named)]
        told.update(rate_limiter.headers_of(stands))
        scope[GRANT] = grant
        return {**who, **named}

    def _counting(self, scope: Scope, receive: Receive, who: rate_limiter.Who) -> Receive:
        """Return `receive` with the bytes of the body counted, at once where it says how many."""
        limits = self._checks.limits
        declared = _header(scope, b"content-length") or ""
        if declared.isdecimal() and len(declared) < _DIGITS_MAX:
            if int(declared):
                limits.ask(LimitedResource.BYTES, who, cost=int(declared))
            return receive

        async def counted() -> Any:  # noqa: ANN401 - ASGI
            message = await receive()
            if body := message.get("body"):
                limits.ask(LimitedResource.BYTES, who, cost=len(body))
            return message

        return counted

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        checks = self._checks
        address = checks.addresses.client_of(scope)
        try:
            checks.gate.check()
            checks.limits.ask(LimitedResource.CONNECTIONS, {Subject.ADDRESS: address})
            self._check_origin(scope)
        except MainstemError as error:
            await receive()
            await problem.refuse_socket(error, scope, receive, send)
            return
        scope[METER] = checks.limits.meter(address, strikes_max=checks.strikes_max)
        await self._sockets.get(scope["path"], self._app)(scope, receive, send)

    def _check_origin(self, scope: Scope) -> None:
        origin = _header(scope, b"origin")
        if origin is not None and origin not in self._checks.origins:
            raise Forbidden(f"origin {origin[:100]!r} is not allowed here")


def grant_of(request: Request) -> Grant:
    """Return what the request's token grants."""
    grant: Grant = request.scope[GRANT]
    return grant


def meter_of(scope: Scope) -> Meter:
    """Return what a socket is held to; nothing where it came by no guard."""
    meter: Meter = scope.get(METER) or rate_limiter.Unmetered()
    return meter


def _with(
    headers: Collection[tuple[bytes, bytes]], told: Mapping[str, str]
) -> list[tuple[bytes, bytes]]:
    listed = list(headers)
    named = {name.lower() for name, _ in listed}
    for name, value in told.items():
        spelled = name.lower().encode()
        if spelled not in named:
            listed.append((spelled, value.encode()))
    return listed


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None


_DIGITS_MAX: Final = 16
"""Digits of a length that is looked at; what has more is refused for its size."""
