"""The door for HTTP and WebSocket alike, as pure ASGI: origins and bearer tokens, and a count.

Every request but those to open paths needs a good token; what it grants travels on in the scope. A
WebSocket shows its token in its first frame, so only its origin is looked at here. A request that
names an origin comes from a browser, and is refused unless that origin is allowed.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from analytics.contracts.errors import Forbidden, MainstemError
from gateway import metrics, problem
from gateway.auth import Grant, Verifier, bearer

GRANT: Final = "mainstem.grant"
OTHER: Final = "other"


class Guard:
    """Wraps an application; nothing reaches it unchecked."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        verifier: Verifier,
        wall_ms: Callable[[], int],
        open_paths: Collection[str],
        origins: Collection[str],
        roads: Mapping[str, str],
    ) -> None:
        """`roads` names the paths that are counted by name."""
        self._app = app
        self._verifier = verifier
        self._wall_ms = wall_ms
        self._open_paths = frozenset(open_paths)
        self._origins = frozenset(origins)
        self._roads = roads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request or socket through, or answer it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        road = self._roads.get(scope["path"], OTHER)
        begun = time.perf_counter()
        status = 500

        async def noting(message: Any) -> None:  # noqa: ANN401 - ASGI
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if scope["path"] not in self._open_paths:
                self._check_origin(scope)
                scope[GRANT] = self._verifier.verify(
                    bearer(_header(scope, b"authorization")), now_ms=self._wall_ms()
                )
        except MainstemError as error:
            await problem.answer(error)(scope, receive, noting)
        else:
            await self._app(scope, receive, noting)
        finally:
            metrics.REQUESTS.labels(road, str(status)).inc()
            metrics.REQUEST_SECONDS.labels(road).observe(time.perf_counter() - begun)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_origin(scope)
        except Forbidden as error:
            await receive()
            await problem.refuse_socket(error, scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_origin(self, scope: Scope) -> None:
        origin = _header(scope, b"origin")
        if origin is not None and origin not in self._origins:
            raise Forbidden(f"origin {origin[:100]!r} is not allowed here")


def grant_of(request: Request) -> Grant:
    """Return what the request's token grants."""
    grant: Grant = request.scope[GRANT]
    return grant


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return None
