"""`/v1/pool` and `/v1/connections`: what an operator sees of a tenant's pool, and changes in it.

Looking needs the scope `work` or `admin`, changing `admin`. All of it is about the token's tenant
at this gateway; what belongs to another tenant is not there.
"""

from collections import Counter
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response

from analytics.contracts import clean
from analytics.contracts.errors import BadBody
from analytics.contracts.ids import TenantId
from analytics.pool.lifecycle import PICKABLE
from analytics.pool.rules import changed
from gateway.http import limits
from gateway.http.auth import Grant, TokenScope
from gateway.http.guard import grant_of
from gateway.http.openapi import responses
from gateway.pool.pools import Pools
from gateway.pool.values import shown
from gateway.protocol import codes
from gateway.routes.parts import JSON, Parts
from gateway.websocket.connection import Socket
from gateway.websocket.endpoint import Sessions

POOL: Final = "/v1/pool"
HEALTH: Final = "/v1/pool/health"
CONFIG: Final = "/v1/pool/config"
CONNECTION: Final = "/v1/connections/{connection_id}"
MERGE_PATCH: Final = "application/merge-patch+json"
LISTED: Final = 100
LISTED_MAX: Final = 1_000
PATCH_BYTES_MAX: Final = 65_536

_OBJECT: Final[dict[str, Any]] = {"schema": {"type": "object"}}
_COUNTS: Final[dict[str, Any]] = {"type": "object", "additionalProperties": {"type": "integer"}}
_POOL: Final[dict[str, Any]] = {
    "description": "The pool: counts, rules, and agents up to the limit.",
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["states", "leases", "waiting", "ejected", "upstreams", "rules",
                             "agents"],
                "properties": {
                    "states": _COUNTS,
                    "leases": {"type": "integer"},
                    "waiting": {"type": "integer"},
                    "ejected": {"type": "integer"},
                    "upstreams": {"type": "object"},
                    "rules": {"type": "object"},
                    "agents": {"type": "array", "items": {"type": "object"}},
                },
            }
        }
    },
}  # fmt: skip
_HEALTH: Final[dict[str, Any]] = {
    "schema": {
        "type": "object",
        "required": ["healthy", "able", "wanted", "panic"],
        "properties": {
            "healthy": {"type": "boolean"},
            "able": {"type": "integer"},
            "wanted": {"type": "integer"},
            "panic": {"type": "boolean"},
        },
    }
}
_PATCH: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {JSON: _OBJECT, MERGE_PATCH: _OBJECT}}
}


class Look(Struct, frozen=True):
    """How well a pool is."""

    healthy: bool
    able: int
    """Agents that can be given work, or hold as much as they take."""
    wanted: int
    panic: bool
    """Whether so few are well that ejections are overlooked."""


def router(parts: Parts, pools: Pools, sockets: Sessions) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(tags=["pool"])
    _add_pool(routes, parts, pools)
    _add_connections(routes, pools, sockets)
    return routes


def _add_pool(routes: APIRouter, parts: Parts, pools: Pools) -> None:
    @routes.get(
        POOL,
        summary="Show the pool",
        response_class=Response,
        responses={200: _POOL, **responses(400, 401, 403, 429)},
    )
    async def show(
        request: Request, limit: Annotated[int, Query(ge=0, le=LISTED_MAX)] = LISTED
    ) -> Response:
        return _json(_picture(pools, _looking(request).tenant, limit))

    @routes.get(
        HEALTH,
        summary="Say whether the pool has who it needs",
        response_class=Response,
        responses={
            200: {"description": "It has.", "content": {JSON: _HEALTH}},
            **responses(401, 403, 429),
            503: {"description": "It has not; the body says.", "content": {JSON: _HEALTH}},
        },
    )
    async def health(request: Request) -> Response:
        look = look_at(pools, _looking(request).tenant)
        return _json(look, status=200 if look.healthy else 503)

    @routes.patch(
        CONFIG,
        summary="Change the pool's rules",
        openapi_extra=_PATCH,
        response_class=Response,
        responses={
            200: {"description": "All rules, as they are now.", "content": {JSON: _OBJECT}},
            **responses(400, 401, 403, 408, 413, 415, 429, 503),
        },
    )
    async def configure(request: Request) -> Response:
        grant = grant_of(request)
        grant.require(TokenScope.ADMIN)
        limits.media_type(request, (JSON, MERGE_PATCH))
        patch = _read(await parts.body(request, bytes_max=PATCH_BYTES_MAX))
        rules = changed(pools.known(grant.tenant).rules, patch)
        pools.configure(grant.tenant, rules)
        return _json(rules)


def _add_connections(routes: APIRouter, pools: Pools, sockets: Sessions) -> None:
    @routes.get(
        CONNECTION,
        summary="Show a socket, or an agent in the pool",
        response_class=Response,
        responses={
            200: {"description": "What it is.", "content": {JSON: _OBJECT}},
            **responses(401, 403, 404, 429),
        },
    )
    async def show(request: Request, connection_id: str) -> Response:
        tenant = _looking(request).tenant
        pool, now_ms = pools.known(tenant), pools.now_ms()
        member = pool.roster.get(connection_id)
        if member is not None:
            out = pool.ejection.is_out(member.id, now_ms)
            return _json(shown(member, now_ms=now_ms, ejected=out))
        socket, grant = _socket(sockets, connection_id, tenant)
        agents = [one.id for one in pool.roster.on(connection_id)]
        state = socket.session.state.value
        return _json(
            {"id": connection_id, "kind": "socket", "state": state, "user": grant.user,
             "frames": socket.frames, "agents": agents}
        )  # fmt: skip

    @routes.delete(
        CONNECTION,
        summary="Close a socket, or let an agent leave the pool",
        status_code=204,
        response_class=Response,
        responses={
            204: {"description": "It closes; an agent finishes what it holds first."},
            **responses(401, 403, 404, 429),
        },
    )
    async def close(request: Request, connection_id: str) -> Response:
        grant = grant_of(request)
        grant.require(TokenScope.ADMIN)
        member = pools.known(grant.tenant).roster.get(connection_id)
        if member is not None:
            pools.drain(grant.tenant, member)
        else:
            _socket(sockets, connection_id, grant.tenant)[0].end(codes.FORCE_DISCONNECT)
        return Response(status_code=204)


def look_at(pools: Pools, tenant: TenantId) -> Look:
    """Return how well a tenant's pool is."""
    pool, now_ms = pools.known(tenant), pools.now_ms()
    out = pool.ejection.out(now_ms)
    able = sum(
        one.state in PICKABLE and one.id not in out and one.breaker.allows(now_ms)
        for one in pool.roster
    )
    wanted = pool.rules.members_min
    panic = bool(out) and pool.ejection.panics(in_balance=able, total=len(pool.roster))
    return Look(healthy=able >= wanted and not panic, able=able, wanted=wanted, panic=panic)


def _picture(pools: Pools, tenant: TenantId, limit: int) -> dict[str, object]:
    pool, now_ms = pools.known(tenant), pools.now_ms()
    out = pool.ejection.out(now_ms)
    members = list(pool.roster)
    return {
        "states": Counter(one.state.value for one in members),
        "leases": len(pool.leases),
        "waiting": len(pool.waiting),
        "ejected": len(out),
        "upstreams": {name: one.state(now_ms) for name, one in pool.upstreams.items()},
        "rules": pool.rules,
        "agents": [shown(one, now_ms=now_ms, ejected=one.id in out) for one in members[:limit]],
    }


def _looking(request: Request) -> Grant:
    grant = grant_of(request)
    if TokenScope.ADMIN not in grant.scopes:
        grant.require(TokenScope.WORK)
    return grant


def _socket(sockets: Sessions, connection_id: str, tenant: TenantId) -> tuple[Socket, Grant]:
    socket = sockets.find(connection_id)
    grant = None if socket is None else socket.session.grant
    if socket is None or grant is None or grant.tenant != tenant:
        raise HTTPException(404)
    return socket, grant


def _read(body: bytes) -> dict[str, object]:
    try:
        return clean.decoded(_object.decode, body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"not a patch of rules: {error}") from error


def _json(value: object, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type=JSON)


_object: Final = msgspec.json.Decoder(dict[str, object])
