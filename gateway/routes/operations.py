"""What an operator asks: is it alive, is it ready, what has it counted."""

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway import metrics
from gateway.http.auth import TokenScope
from gateway.http.guard import grant_of
from gateway.http.health import LIVE, METRICS, READY
from gateway.http.openapi import responses
from gateway.routes.parts import JSON, Parts

_OPEN: Final[dict[str, Any]] = {"security": []}
_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object"}}


def router(parts: Parts) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["operations"])

    @routes.get(LIVE, summary="Say that the process answers", openapi_extra=_OPEN)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get(
        READY,
        summary="Say whether events can be taken now",
        openapi_extra=_OPEN,
        responses={
            200: {"description": "They can.", "content": {JSON: _OBJECT}},
            503: {"description": "They cannot; the body says why.", "content": {JSON: _OBJECT}},
        },
    )
    async def ready() -> Response:
        health = parts.health()
        return Response(
            msgspec.json.encode(health), status_code=200 if health.ready else 503, media_type=JSON
        )

    @routes.get(
        METRICS,
        summary="Show the metrics of the process, for an operator's Prometheus (scope admin)",
        responses={
            200: {"description": "Text format.", "content": {"text/plain": {}}},
            **responses(401, 403, 429),
        },
    )
    async def show(request: Request) -> Response:
        grant_of(request).require(TokenScope.ADMIN)
        return Response(metrics.render(), media_type=metrics.CONTENT_TYPE)

    return routes
