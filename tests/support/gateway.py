"""A gateway for tests: its parts over a publisher in memory, tokens, and a clock that is set."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

from analytics.contracts.ids import TenantId
from gateway.app import NOTHING, Gateway, GatewayParts, build
from gateway.channels.values import Hub
from gateway.http.auth import AUDIENCE, ISSUER, TokenScope, Verifier, issue
from gateway.http.clocks import Clocks
from gateway.http.server import server, serving
from gateway.kafka.publisher import Outlet
from gateway.settings import GatewaySettings
from gateway.websocket import endpoint

KEY: Final = b"a key that is long enough for HS256, and public"
NOW_MS: Final = 1_795_000_000_000
TENANT: Final = TenantId("acme")
URL: Final = "http://gateway"
WAIT_S: Final = 5


class Clock:
    """Time that only moves when told to."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """Return the time."""
        return self.now_ms


def token(
    *,
    scopes: Iterable[TokenScope] = (TokenScope.PUBLISH,),
    tenant: TenantId = TENANT,
    user: str = "ada",
    lifetime_ms: int | None = None,
    now_ms: int = NOW_MS,
    key: bytes = KEY,
) -> str:
    """Return a token that the gateway under test takes."""
    return issue(
        key, user=user, tenant=tenant, scopes=scopes, now_ms=now_ms, lifetime_ms=lifetime_ms
    )


def signed(**claims: object) -> str:
    """Return a token with these claims, such as `channels` or `channel`, else as `token` has."""
    known = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "tenant": TENANT, "scopes": ["publish"],
        "iat": NOW_MS // 1_000,
    }  # fmt: skip
    return jwt.encode({"alg": "HS256"}, {**known, **claims}, OctKey.import_key(KEY))


def clocks(clock: Clock) -> Clocks:
    """Return clocks that all show this time; ids count up."""
    numbers = itertools.count(1)
    return Clocks(
        now_ms=clock, wall_ms=clock, jitter=lambda: 0.5, new_id=lambda: f"new-{next(numbers)}"
    )


def settings(**changed: object) -> GatewaySettings:
    """Return the default settings with changes, whatever the environment says."""
    defaults = {name: field.default for name, field in GatewaySettings.model_fields.items()}
    return GatewaySettings.model_construct(None, **{**defaults, **changed})


def gateway(
    publisher: Outlet,
    /,
    clock: Clock | None = None,
    *,
    hub: Hub = NOTHING.hub,
    **changed: object,
) -> Gateway:
    """Return a gateway over this publisher and these channels."""
    return build(
        settings(**changed),
        verifier=Verifier(KEY, cached_max=100),
        publisher=publisher,
        clocks=clocks(clock or Clock()),
        node="node-1",
        version="0",
        around=GatewayParts(hub=hub),
    )


@asynccontextmanager
async def listening(
    publisher: Outlet, /, *, hub: Hub = NOTHING.hub, **changed: object
) -> AsyncIterator[tuple[Gateway, str]]:
    """Serve a gateway on a free port by the real clock; give it and where it takes sockets."""
    chosen = settings(port=0, **changed)
    under_test = build(
        chosen,
        verifier=Verifier(KEY, cached_max=100),
        publisher=publisher,
        clocks=Clocks(
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            jitter=lambda: 0.5,
            new_id=lambda: uuid4().hex,
        ),
        node="node-1",
        version="0",
        around=GatewayParts(hub=hub),
    )
    served = server(under_test.asgi, chosen, drain=under_test.drain)
    async with serving(served) as running:
        yield under_test, f"ws://127.0.0.1:{running.port}{endpoint.PATH}"


@asynccontextmanager
async def client(
    under_test: Gateway, *, bearer: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Return an HTTP client that talks to the gateway without a network."""
    transport = httpx.ASGITransport(under_test.asgi, raise_app_exceptions=False)
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as http:
        yield http


async def until(done: Callable[[], object], *, seconds_max: float = WAIT_S) -> None:
    """Wait until something holds; fail after `seconds_max`."""
    async with asyncio.timeout(seconds_max):
        while not done():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.001)
