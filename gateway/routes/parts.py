"""What every route needs, and what every route says of itself in OpenAPI."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from msgspec import Struct, field
from starlette.requests import Request

from analytics.contracts.errors import BadBody, TooLarge
from gateway import metrics
from gateway.http import limits, problem
from gateway.http.auth import Grant
from gateway.http.body_readers import Readers
from gateway.http.guard import GRANT
from gateway.http.health import Health
from gateway.http.truncated_json import TruncatedBody
from gateway.kafka.admission import Admission
from gateway.kafka.publisher import Publisher
from gateway.kafka.shares import Inflated
from gateway.otlp.lineage import Lineage

OFFLOAD_BYTES: Final = 65_536
"""Bodies larger than this are read in a thread, so that sockets and hooks do not wait for them."""
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROTOBUF: Final = "application/x-protobuf"

Given = ParamSpec("Given")
Read = TypeVar("Read")


class Parts(Struct, frozen=True, kw_only=True):
    """The gateway's insides, as its routes see them."""

    publisher: Publisher
    admission: Admission
    wall_ms: Callable[[], int]
    health: Callable[[], Health]
    body_bytes_max: int
    hook_bytes_max: int
    hook_body_bytes_max: int
    body_seconds_max: float
    body_bytes_per_second_min: int
    bodies: limits.Bodies
    readers: Readers
    keep_content: bool
    inflated: Inflated
    lineage: Lineage = field(default_factory=Lineage)

    async def body(self, request: Request, *, bytes_max: int | None = None) -> bytes:
        """Return the request's body within the limits."""
        grant: Grant | None = request.scope.get(GRANT)
        packed = grant is not None and limits.is_packed(request)
        if grant is not None and packed:
            self.inflated.check(grant.tenant)
        bounds = self._bounds(self.body_bytes_max if bytes_max is None else bytes_max)
        held = request.scope[limits.HELD] = self.bodies.hold(_sender(request))
        try:
            body = await limits.read_body(request, bounds, held=held)
        except TooLarge:
            metrics.LIMITS_HIT.labels("body_bytes_max").inc()
            if grant is not None and packed:
                self.inflated.count(grant.tenant, self.body_bytes_max)
            raise
        if grant is not None and packed:
            self.inflated.count(grant.tenant, len(body))
        return body

    async def hook_body(self, request: Request) -> TruncatedBody:
        """Return a hook's body, cut where it is larger than what is kept of one."""
        bytes_max = max(self.hook_body_bytes_max, self.hook_bytes_max)
        kept_max = self.hook_bytes_max
        if limits.is_plain(request):
            try:
                bounds = self._bounds(bytes_max)
                cut = await limits.cut_body(request, bounds, kept_max=kept_max)
            except TooLarge:
                metrics.LIMITS_HIT.labels("hook_body_bytes_max").inc()
                raise
        else:
            body = await self.body(request, bytes_max=bytes_max)
            cut = await limits.cut_whole(body, kept_max=kept_max)
        if cut.lost:
            metrics.LIMITS_HIT.labels("hook_bytes_max").inc()
        return cut

    def _bounds(self, bytes_max: int) -> limits.BodyBounds:
        return limits.BodyBounds(
            bytes_max=bytes_max,
            seconds_max=self.body_seconds_max,
            bytes_per_second_min=self.body_bytes_per_second_min,
        )

    async def off_loop(
        self,
        request: Request,
        size: int,
        read: Callable[Given, Read],
        *given: Given.args,
        **named: Given.kwargs,
    ) -> Read:
        """Call `read`, beside the loop and in the sender's turn where `size` is large."""
        try:
            if size <= OFFLOAD_BYTES:
                return read(*given, **named)
            return await self.readers.run(_sender(request), partial(read, *given, **named))
        except RecursionError as error:
            raise BadBody("the body is nested too deep; send it flatter") from error


def _sender(request: Request) -> Hashable:
    """Return whose turn and memory a body is: its tenant's, else its address's."""
    grant: Grant | None = request.scope.get(GRANT)
    if grant is not None:
        return grant.tenant
    peer = request.scope.get("client")
    return peer and peer[0]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's account of the problems that a route may answer with."""
    return {
        status: {
            "description": _ABOUT[status],
            "content": {problem.MEDIA_TYPE: {"schema": _SCHEMA}},
            **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        }
        for status in statuses
    }


_ABOUT: Final = {
    400: "The body cannot be read.",
    401: "No token, or one that is not valid.",
    403: "The token lacks the scope, or the origin is not allowed.",
    404: "There is nothing of that name, for this token's tenant.",
    409: "It does not fit what there is by now.",
    412: "What it was asked for on does not hold any more.",
    408: "The body did not come in time.",
    413: "The body, or what it unpacks to, is too large.",
    415: "A content type or encoding that is not taken.",
    429: "More than a rate limit allows; send it again after Retry-After.",
    503: "The broker is away or slow; send it again after Retry-After.",
}
_TEXT: Final = {"schema": {"type": "string"}}
_WAIT: Final = {"required": True, "schema": {"type": "integer", "minimum": 1}}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"required": True, **_TEXT}},
    429: {"Retry-After": _WAIT, "RateLimit": _TEXT, "RateLimit-Policy": _TEXT},
    503: {"Retry-After": _WAIT},
}
_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
