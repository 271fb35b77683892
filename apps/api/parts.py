"""What all routes of questions share: who asks, what may be asked, and how it is answered."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import Request
from msgspec import Struct
from starlette.responses import Response

from apps.api import answers, questions
from apps.api.answers import TYPES, Format, Table
from apps.api.questions import Parameters
from gateway.http.auth import Grant, TokenScope
from gateway.http.guard import grant_of
from gateway.http.openapi import responses
from streams.clients.reader import Reader
from streams.queries.grouped import DIMENSIONS, BadQuestion

RANGE: Final = {
    "from": "Begin: epoch ms, RFC 3339 or a distance back such as -24h (the default).",
    "until": "End, likewise; now where nothing is said.",
}
FORMAT: Final = {"format": "json, csv or parquet."}
LIMIT: Final = {"limit": "How many at most; the answer says when there are more."}
ONLY: Final = {
    name: f"Only where {name} is this; may be given several times." for name in DIMENSIONS
}


class Asking(Struct, frozen=True, kw_only=True):
    """Who answers, and what time it is."""

    reader: Reader
    wall_ms: Callable[[], int]
    query_ms_max: int = 5_000
    """How long finding an answer may take, apart from what the store itself takes."""
    store_url: str = ""
    """Where changes are written to; empty where this API only reads."""


def asked_of(request: Request, known: Mapping[str, frozenset[str]]) -> tuple[Grant, Parameters]:
    """Return who asks, and what; raise `Forbidden` or `BadQuestion`."""
    grant = grant_of(request)
    grant.require(TokenScope.SUBSCRIBE)
    parameters = request.query_params
    asked = {name: parameters.getlist(name) for name in parameters}
    names = known[request.url.path]
    for name in asked:
        if name not in names:
            raise BadQuestion(f"no parameter {name[:40]!r}; there are {', '.join(sorted(names))}")
    return grant, asked


def respond(
    request: Request, asked: Parameters, told: object, table: Table, *, name: str
) -> Response:
    """Return an answer in the format that is asked for, unless the caller has it."""
    kind = answers.format_of(questions.one(asked, "format", ""), request.headers.get("accept", ""))
    known = request.headers.get("if-none-match", "")
    return answers.respond(told, table, kind, name=name, known=known)


def described(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return what OpenAPI says of a route."""
    listed = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": about,
            "schema": _schema(name),
        }
        for name, about in parameters.items()
    ]
    content: dict[str, Any] = {TYPES[kind].partition(";")[0]: {} for kind in Format}
    content[TYPES[Format.JSON]] = {"schema": {"type": "object"}}
    return {
        "response_class": Response,
        "openapi_extra": {"parameters": listed},
        "responses": {
            200: {"description": "The answer.", "content": content},
            304: {"description": "The caller has it: If-None-Match names its ETag."},
            **responses(400, 401, 403, 429, 503),
        },
    }


def _schema(name: str) -> dict[str, Any]:
    if name in ONLY:
        return {"type": "array", "items": {"type": "string"}}
    if name == "limit":
        return {"type": "integer", "minimum": 1, "maximum": 1_000}
    if name == "format":
        return {"type": "string", "enum": list(Format)}
    return {"type": "string"}
