"""What every route needs, and what every route says of itself in OpenAPI."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from msgspec import Struct
from starlette.requests import Request

from analytics.contracts.errors import TooLarge
from gateway import limits, metrics, problem
from gateway.admission import Admission
from gateway.health import Health
from gateway.publish import Publisher

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
    body_seconds_max: float
    keep_content: bool

    async def body(self, request: Request, *, bytes_max: int | None = None) -> bytes:
        """Return the request's body within the limits."""
        try:
            return await limits.read_body(
                request,
                bytes_max=self.body_bytes_max if bytes_max is None else bytes_max,
                seconds_max=self.body_seconds_max,
            )
        except TooLarge:
            metrics.LIMITS_HIT.labels("body_bytes_max").inc()
            raise


async def off_loop(
    size: int, read: Callable[Given, Read], *given: Given.args, **named: Given.kwargs
) -> Read:
    """Call `read`, in a thread where `size` is large."""
    if size <= OFFLOAD_BYTES:
        return read(*given, **named)
    return await asyncio.to_thread(read, *given, **named)


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
