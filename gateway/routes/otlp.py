"""`POST /v1/{metrics,logs,traces}`: OpenTelemetry as it comes from any exporter.

200 only once the broker has the whole batch; a record that cannot be read becomes a dead letter and
is told in the partial success. Errors are a `google.rpc.Status` in the request's own type, and only
503 asks the sender to come again: its records keep their ids, so what got through the first time
counts once.
"""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from analytics.contracts.errors import (
    BadBody,
    Forbidden,
    MainstemError,
    TooLarge,
    Unavailable,
)
from gateway import metrics
from gateway.http import limits, problem
from gateway.http.auth import Grant, TokenScope
from gateway.http.guard import grant_of
from gateway.http.openapi import responses
from gateway.kafka import admission
from gateway.kafka.dead_letters import Letter, send_dead_letters
from gateway.kafka.publisher import OutgoingEvent, Receipt
from gateway.otlp import intake
from gateway.otlp.intake import Intake, OtlpSignal
from gateway.routes.parts import JSON, PROTOBUF, Parts

MESSAGE_LENGTH_MAX: Final = 500
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNAVAILABLE: Final = 14

_BYTES: Final = {"schema": {"type": "string", "format": "binary"}}
_OBJECT: Final = {"schema": {"type": "object"}}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {JSON: _OBJECT, PROTOBUF: _BYTES}}
}
_ANSWER: Final[dict[str, Any]] = {
    "description": "All of it is kept, but for what `partialSuccess` names.",
    "content": {JSON: _OBJECT, PROTOBUF: _BYTES},
}
_STATUS: Final = {JSON: _OBJECT, PROTOBUF: _BYTES}


def router(parts: Parts) -> APIRouter:
    """Return the three routes."""
    routes = APIRouter(tags=["ingest"])
    for signal in OtlpSignal:
        _add(routes, parts, signal)
    return routes


def _add(routes: APIRouter, parts: Parts, signal: OtlpSignal) -> None:
    described = responses(400, 401, 403, 408, 413, 415, 429, 503)
    for status in (400, 403, 408, 413, 503):
        described[status]["content"] = {**described[status]["content"], **_STATUS}

    @routes.post(
        f"/v1/{signal}",
        summary=f"Take OTLP {signal}",
        operation_id=f"otlp_{signal}",
        openapi_extra=_BODY,
        responses={200: _ANSWER, **described},
    )
    async def export(request: Request) -> Response:
        grant = grant_of(request)
        media = limits.media_type(request, (JSON, PROTOBUF))
        as_json = media == JSON
        try:
            grant.require(TokenScope.PUBLISH)
            body = await _take(parts, signal, request, grant=grant, as_json=as_json)
        except (BadBody, TooLarge, Forbidden, Unavailable, problem.BodyTooSlow) as error:
            told = intake.status(str(error), code=_code_of(error), as_json=as_json)
            status, headers = problem.status_of(error), problem.headers_of(error)
            return Response(told, status_code=status, media_type=media, headers=headers)
        return Response(body, media_type=media)


async def _take(
    parts: Parts, signal: OtlpSignal, request: Request, *, grant: Grant, as_json: bool
) -> bytes:
    body = await parts.body(request)
    try:
        read = await parts.off_loop(
            request,
            len(body),
            intake.read,
            signal,
            body,
            as_json=as_json,
            tenant=grant.tenant,
            received_ms=parts.wall_ms(),
            keep_content=parts.keep_content,
            lineage=parts.lineage,
        )
    except BadBody as error:
        await send_dead_letters(
            parts.publisher, [Letter(body, str(error))], ingest_path=signal, grant=grant
        )
        raise
    metrics.SPANS_FORGOTTEN.inc(parts.lineage.metered.take_forgotten())
    traceparent = admission.trace_of(request.headers.get("traceparent"))
    verdicts = await parts.publisher.publish(
        [OutgoingEvent(event=event, traceparent=traceparent) for event in read.events]
    )
    metrics.count_events(signal, (verdict.status for verdict in verdicts))
    _check(verdicts)
    letters = [Letter(refusal.payload, refusal.reason) for refusal in read.refused]
    await send_dead_letters(parts.publisher, letters, ingest_path=signal, grant=grant)
    return _partial(signal, read, verdicts, as_json=as_json)


def _check(verdicts: Sequence[Receipt]) -> None:
    """Raise `Unavailable` if anything has to come again: OTLP can only repeat the whole."""
    late = [verdict for verdict in verdicts if verdict.retry_after_ms is not None]
    if late:
        wait_ms = max(verdict.retry_after_ms or 0 for verdict in late)
        raise Unavailable(late[0].reason, retry_after_ms=wait_ms)


def _partial(
    signal: OtlpSignal, read: Intake, verdicts: Sequence[Receipt], *, as_json: bool
) -> bytes:
    reasons = [verdict.reason for verdict in verdicts if verdict.reason]
    reasons += [refusal.reason for refusal in read.refused]
    message = "; ".join(dict.fromkeys(reasons))[:MESSAGE_LENGTH_MAX]
    return intake.answer(signal, as_json=as_json, rejected=len(reasons), message=message)


def _code_of(error: MainstemError) -> int:
    match error:
        case Unavailable():
            return UNAVAILABLE
        case TooLarge():
            return RESOURCE_EXHAUSTED
        case Forbidden():
            return PERMISSION_DENIED
        case problem.BodyTooSlow():
            return DEADLINE_EXCEEDED
        case _:
            return INVALID_ARGUMENT
