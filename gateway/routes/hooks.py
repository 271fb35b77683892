"""`POST /hooks/claude`: what an agent's hooks tell, answered `{}` without waiting for the broker.

A hook sits in the agent's critical path, so its events are posted: kept within the publisher's
limits while the broker is slow or away, and refused with 503 past them. A hook that carries an
image or a whole file is cut while it comes, and counted like any other.
"""

from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from analytics.contracts.errors import BadBody
from gateway import metrics
from gateway.hooks.claude_code import read_hook
from gateway.http import limits
from gateway.http.auth import TokenScope
from gateway.http.guard import grant_of
from gateway.http.openapi import responses
from gateway.kafka import admission
from gateway.kafka.dead_letters import Letter, send_dead_letters
from gateway.kafka.publisher import OutgoingEvent, Status
from gateway.routes.parts import JSON, Parts

PATH: Final = "/hooks/claude"
INGEST_PATH: Final = "hooks"
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
        grant.require(TokenScope.PUBLISH)
        limits.media_type(request, (JSON,))
        cut = await parts.hook_body(request)
        body = cut.body
        try:
            events = await parts.off_loop(
                request,
                len(body),
                read_hook,
                body,
                tenant=grant.tenant,
                received_ms=parts.wall_ms(),
                keep_content=parts.keep_content,
                lost=cut.lost,
            )
        except BadBody as error:
            letter = Letter(body, str(error))
            await send_dead_letters(parts.publisher, [letter], ingest_path=INGEST_PATH, grant=grant)
            raise
        traceparent = admission.trace_of(request.headers.get("traceparent"))
        parts.publisher.post(
            [OutgoingEvent(event=event, traceparent=traceparent) for event in events]
        )
        metrics.count_events(INGEST_PATH, (Status.ACCEPTED for _ in events))
        return Response(NOTHING, media_type=JSON)

    return routes
