"""What routes say of their problems in OpenAPI."""

from typing import Any, Final

from gateway.http import problem


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
