"""`POST /v1/events`: events that are ours already, in batches, answered one by one.

The answer comes once the broker has acknowledged. It is 503 only if nothing got through and all of
it may come again; else 200 with a verdict for each, in order.
"""

from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from analytics.contracts.errors import BadBody, Unavailable
from gateway.http import limits, problem
from gateway.http.auth import TokenScope
from gateway.http.guard import grant_of
from gateway.http.openapi import responses
from gateway.kafka import admission
from gateway.kafka.dead_letters import Letter, send_dead_letters
from gateway.routes.parts import JSON, NDJSON, Parts

PATH: Final = "/v1/events"
INGEST_PATH: Final = "events"

_EVENT: Final[dict[str, Any]] = {"type": "object"}
_BATCH: Final[dict[str, Any]] = {
    "type": "array",
    "items": {},
    "description": "Events; what is none is refused on its own.",
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"oneOf": [_BATCH, _EVENT]}},
            NDJSON: {"schema": {}},
        },
    }
}
_VERDICT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {
        "id": {"type": "string"},
        "status": {"enum": ["accepted", "duplicate", "refused"]},
        "reason": {"type": "string"},
        "retry_after_ms": {"type": "integer"},
    },
}
_ANSWER: Final[dict[str, Any]] = {
    "description": "One verdict an event, in order.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["results"],
                "properties": {"results": {"type": "array", "items": _VERDICT}},
            }
        }
    },
}


def router(parts: Parts) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["ingest"])

    @routes.post(
        PATH,
        summary="Publish events",
        openapi_extra=_BODY,
        responses={200: _ANSWER, **responses(400, 401, 403, 408, 413, 415, 429, 503)},
    )
    async def publish(request: Request) -> Response:
        grant = grant_of(request)
        grant.require(TokenScope.PUBLISH)
        media = limits.media_type(request, (JSON, NDJSON))
        body = await parts.body(request)
        read = admission.split if media == JSON else admission.split_lines
        try:
            batch = await parts.off_loop(request, len(body), read, body)
        except BadBody as error:
            letter = Letter(body, str(error))
            await send_dead_letters(parts.publisher, [letter], ingest_path=INGEST_PATH, grant=grant)
            raise
        traceparent = admission.trace_of(request.headers.get("traceparent")) or batch.traceparent
        verdicts = await parts.admission.take(
            msgspec.structs.replace(batch, traceparent=traceparent),
            grant=grant,
            ingest_path=INGEST_PATH,
        )
        retry_after_ms = admission.postponed(verdicts)
        if retry_after_ms is None:
            return Response(msgspec.json.encode({"results": verdicts}), media_type=JSON)
        late = Unavailable(verdicts[0].reason, retry_after_ms=retry_after_ms)
        return problem.answer(late, more={"results": verdicts})

    return routes
