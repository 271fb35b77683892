"""`POST /webhooks/github`: what GitHub tells of reviews, answered 202 once the broker has it.

The signature is checked over the body as it came, before anything of it is read. A delivery that
was taken already is answered the same and published no more, nor is a body that was signed once and
comes again under another delivery's id; both are remembered up to `deliveries_max`. While the
broker is away the answer is 503, and the delivery can be asked for again at GitHub.
"""

import hashlib
from collections import OrderedDict
from typing import Any, Final

from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from analytics.contracts.errors import BadBody, Forbidden, Unavailable
from analytics.contracts.ids import TenantId
from gateway import metrics
from gateway.http import limits
from gateway.http.openapi import responses
from gateway.kafka.publisher import OutgoingEvent, Status
from gateway.routes.parts import JSON, Parts
from gateway.webhooks import github, signatures

PATH: Final = "/webhooks/github"
INGEST_PATH: Final = "webhooks"
NOTHING: Final = b"{}"

_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object"}}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {JSON: _OBJECT, github.FORM: {"schema": {"type": "object"}}},
    },
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("X-GitHub-Event", "X-GitHub-Delivery", "X-Hub-Signature-256")
    ],
    "security": [],
}


class Hooked(Struct, frozen=True, kw_only=True):
    """Who may tell, for whom, and how much is remembered."""

    secrets: tuple[bytes, ...]
    tenant: TenantId
    deliveries_max: int
    bytes_max: int


class Deliveries:
    """What was taken lately, by delivery and by signed body."""

    def __init__(self, *, deliveries_max: int) -> None:
        self._kept: OrderedDict[bytes, None] = OrderedDict()
        self._kept_max = 2 * deliveries_max

    def __len__(self) -> int:
        """Return how many names are kept, two for each delivery."""
        return len(self._kept)

    def knows(self, delivery_id: str, body: bytes) -> bool:
        """Say whether this was taken already."""
        return any(name in self._kept for name in _names(delivery_id, body))

    def keep(self, delivery_id: str, body: bytes) -> None:
        """Note that it was taken."""
        for name in _names(delivery_id, body):
            self._kept[name] = None
            if len(self._kept) > self._kept_max:
                self._kept.popitem(last=False)


def router(parts: Parts, hooked: Hooked) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["ingest"])
    deliveries = Deliveries(deliveries_max=hooked.deliveries_max)

    @routes.post(
        PATH,
        summary="Take a webhook of GitHub",
        status_code=202,
        openapi_extra=_BODY,
        responses={
            202: {"description": "Taken, now or before.", "content": {JSON: _OBJECT}},
            **responses(400, 401, 403, 408, 413, 415, 429, 503),
        },
    )
    async def hook(request: Request) -> Response:
        if not hooked.secrets:
            raise Forbidden(
                "webhooks of GitHub are not set up; set MAINSTEM_GATEWAY_GITHUB_SECRETS"
            )
        media = limits.media_type(request, (JSON, github.FORM))
        body = await parts.body(request, bytes_max=hooked.bytes_max)
        signed = request.headers.get("x-hub-signature-256")
        await parts.off_loop(
            request, len(body), signatures.check, body, signed, secrets=hooked.secrets
        )
        delivery = _delivery_of(request, parts, hooked)
        if deliveries.knows(delivery.id, body):
            metrics.count_events(INGEST_PATH, (Status.DUPLICATE,))
            return Response(NOTHING, status_code=202, media_type=JSON)
        told = await parts.off_loop(request, len(body), _read, body, media, delivery)
        await _publish(parts, told)
        deliveries.keep(delivery.id, body)
        return Response(NOTHING, status_code=202, media_type=JSON)

    return routes


def _read(body: bytes, media: str, delivery: github.WebhookDelivery) -> list[OutgoingEvent]:
    events = github.read(github.unwrap(body, media_type=media), delivery)
    return [OutgoingEvent(event=event) for event in events]


async def _publish(parts: Parts, told: list[OutgoingEvent]) -> None:
    verdicts = await parts.publisher.publish(told) if told else []
    metrics.count_events(INGEST_PATH, (verdict.status for verdict in verdicts))
    late = [verdict for verdict in verdicts if verdict.retry_after_ms is not None]
    if late:
        raise Unavailable(late[0].reason, retry_after_ms=late[0].retry_after_ms or 1_000)


def _delivery_of(request: Request, parts: Parts, hooked: Hooked) -> github.WebhookDelivery:
    delivery_id = request.headers.get("x-github-delivery", "")
    event = request.headers.get("x-github-event", "")
    if not github.DELIVERY.fullmatch(delivery_id) or not github.EVENT.fullmatch(event):
        raise BadBody("the headers X-GitHub-Event and X-GitHub-Delivery are not as GitHub's")
    return github.WebhookDelivery(
        id=delivery_id,
        event=event,
        tenant=hooked.tenant,
        received_ms=parts.wall_ms(),
        keep_content=parts.keep_content,
    )


def _names(delivery_id: str, body: bytes) -> tuple[bytes, bytes]:
    return b"d" + delivery_id.encode(), b"b" + hashlib.sha256(body).digest()
