"""`/v1/limits`: what of a tenant was more than is told apart, and counted as `other`.

Needs the scope `subscribe`, and shows what is the token's tenant's. Totals hold all of it.
"""

from typing import Final

from fastapi import APIRouter, Request
from msgspec import structs
from starlette.responses import Response

from apps.api import questions
from apps.api.answers import Table
from apps.api.parts import FORMAT, LIMIT, Asking, asked_of, described, respond
from streams.queries import system
from streams.queries.system import LimitMet

LIMITS: Final = "/v1/limits"
_LIMITS: Final = {"from": "Met since then: epoch ms, RFC 3339 or such as -24h.", **LIMIT, **FORMAT}
KNOWN: Final = {LIMITS: frozenset(_LIMITS)}


def router(asking: Asking) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["query"])

    @routes.get(LIMITS, summary="Limits that were met", **described(_LIMITS))
    def limits(request: Request) -> Response:
        grant, asked = asked_of(request, KNOWN)
        limit = questions.number(asked, "limit", 20, least=1, most=100)
        since_ms = questions.instant(questions.one(asked, "from", "-24h"), now_ms=asking.wall_ms())
        with asking.reader.connection() as db:
            found = system.limited(db, grant.tenant, since_ms=since_ms, limit=limit)
        told = {"limits": [structs.asdict(one) for one in found]}
        return respond(request, asked, told, Table.of(found, LimitMet), name="limits")

    return routes
