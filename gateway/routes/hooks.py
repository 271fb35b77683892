"""`POST /hooks/claude`: what an agent's hooks tell, answered `{}` without waiting for the broker.

A hook sits in the agent's critical path, so its events are posted: kept within the publisher's
limits while the broker is slow or away, and refused with 503 past them.
"""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from analytics.contracts.errors import BadBody
from gateway import admission, limits, metrics
from gateway.auth import Scope
from gateway.guard import grant_of
from gateway.hooks import read_hook
from gateway.publish import Outgoing, Status
from gateway.routes.parts import JSON, Parts, off_loop, responses

PATH: Final = "/hooks/claude"
ROAD: Final = "hooks"
NOTHING: Final = b"{}"
"""No decision: a hook of ours only listens."""

_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object"}}


def router(parts: Parts) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["ingest"])

    @routes.post(
        PATH,
        summary="Take a Claude Code hook",
        openapi_extra={"requestBody": {"required": True, "content": {JSON: _OBJECT}}},
        responses={
            200: {"description": "Taken; no decision.", "content": {JSON: _OBJECT}},
            **responses(400, 401, 403, 408, 413, 415, 429, 503),
        },
    )
    async def hook(request: Request) -> Response:
        grant = grant_of(request)
        grant.require(Scope.PUBLISH)
        limits.media_type(request, (JSON,))
        body = await parts.body(request, bytes_max=parts.hook_bytes_max)
        try:
            events = await off_loop(
                len(body),
                read_hook,
                body,
                tenant=grant.tenant,
                received_ms=parts.wall_ms(),
                keep_content=parts.keep_content,
            )
        except BadBody as error:
            await admission.bury(parts.publisher, body, reason=str(error), road=ROAD, grant=grant)
            raise
        traceparent = admission.trace_of(request.headers.get("traceparent"))
        parts.publisher.post([Outgoing(event=event, traceparent=traceparent) for event in events])
        metrics.count_events(ROAD, (Status.ACCEPTED for _ in events))
        return Response(NOTHING, media_type=JSON)

    return routes
