"""The gateway as one ASGI application, put together from parts that are passed in.

Building it starts nothing; its lifespan starts the clock of the sockets and the pulse of the loop.
The publisher's life belongs to whoever passes it in.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from msgspec import Struct
from starlette.types import ASGIApp

from analytics.contracts.ids import TenantId
from analytics.privacy.filter import Filter
from gateway import metrics
from gateway.channels.nowhere import Nowhere
from gateway.channels.values import Hub
from gateway.http import health, problem
from gateway.http.addresses import Addresses
from gateway.http.auth import Verifier
from gateway.http.body_readers import Readers
from gateway.http.clocks import Clocks
from gateway.http.guard import Guard, RequestChecks
from gateway.http.health import Gate, Health, Pulse, judge
from gateway.http.limits import Bodies
from gateway.http.rate_limiter import limits_of
from gateway.http.rates import Rates, read_rate
from gateway.http.shutdown import end, kept_going
from gateway.kafka.admission import Admission
from gateway.kafka.pace import Pace
from gateway.kafka.publisher import Outlet, Publisher
from gateway.kafka.redaction import Private
from gateway.kafka.settings_privacy import privacy_of
from gateway.kafka.shares import Inflated, Shares
from gateway.otlp.intake import OtlpSignal
from gateway.pool import calls
from gateway.pool.chronicle import Chronicle
from gateway.pool.pools import PoolOptions, Pools
from gateway.pool.settings import rules_of
from gateway.protocol.session import SessionOptions
from gateway.routes import events, hooks, operations, otlp, pool, sse, stream, webhooks
from gateway.routes.parts import Parts
from gateway.settings import GatewaySettings
from gateway.tracing import Tracing
from gateway.websocket import endpoint as sessions
from gateway.websocket.endpoint import EndpointOptions, Sessions
from gateway.websocket.methods import methods
from gateway.websocket.send_buffer import Policies
from gateway.websocket.writer import SocketBounds

INGEST_PATHS: Final = {
    events.PATH: events.INGEST_PATH,
    webhooks.PATH: webhooks.INGEST_PATH,
    hooks.PATH: hooks.INGEST_PATH,
    **{f"/v1/{signal}": str(signal) for signal in OtlpSignal},
    health.METRICS: "prometheus",
    health.LIVE: "live",
    health.READY: "ready",
    stream.STREAM: "stream",
    stream.UNI: "uni_sse",
    **dict.fromkeys((pool.POOL, pool.HEALTH, pool.CONFIG), "pool"),
}


class Gateway(Struct, frozen=True, kw_only=True):
    """What was built: the application to serve, and the sockets to drain before it stops."""

    asgi: ASGIApp
    api: FastAPI
    sessions: Sessions
    pools: Pools
    pulse: Pulse
    drain: Callable[[], Awaitable[None]]
    """Ends streams, then closes sockets at their pace; to be awaited before it stops."""


class GatewayParts(Struct, frozen=True, kw_only=True):
    """What a gateway has around it: without a hub no channel is known."""

    hub: Hub = Nowhere()
    tracing: Tracing | None = None
    pace: Pace | None = None
    """How much of their rates tenants may use; all of it where nobody knows."""
    tasks: tuple[Callable[[], Awaitable[None]], ...] = ()
    """Run for as long as the gateway does."""


NOTHING: Final = GatewayParts()


def build(
    settings: GatewaySettings,
    *,
    verifier: Verifier,
    publisher: Outlet,
    clocks: Clocks,
    node: str,
    version: str,
    around: GatewayParts = NOTHING,
) -> Gateway:
    """Return a gateway over these parts."""
    private = Private(publisher, Filter(privacy_of(settings), metrics.LEFT_OUT_TEXTS.inc))
    publisher = _shared(settings, private, clocks, around.pace or Pace())
    admission = _admission(settings, publisher, clocks, tracing=around.tracing)
    pools = _pools(settings, publisher, clocks, node=node)
    sockets = Sessions(
        _rules(settings, node=node, version=version),
        clocks,
        verifier=verifier,
        publisher=publisher,
        methods={**methods(admission), **calls.methods(pools)},
        hub=around.hub,
    )
    sockets.on_gone = pools.lose
    pools.wheel = sockets.wheel
    pulse = Pulse(clocks.now_ms)

    def health() -> Health:
        return judge(
            producer=publisher.ready,
            lag_ms=pulse.lag_ms,
            lag_ms_max=settings.loop_lag_ms_max,
            draining=sockets.draining,
        )

    parts = _parts(settings, publisher, admission, clocks, health=health)
    streaming = _streaming(settings, clocks, around.hub, version=version)

    def expel() -> None:
        sockets.expel()
        streaming.streams.expel(verifier.holds)

    verifier.on_revoked = expel
    api = _api(parts, sockets, [pulse.run, *around.tasks], version=version)
    api.include_router(stream.router(parts, streaming))
    api.include_router(webhooks.router(parts, _hooked(settings)))
    api.include_router(pool.router(parts, pools, sockets))

    async def drain() -> None:
        streaming.streams.drain()
        pools.stop()
        await sockets.drain()

    checks = _checks(settings, verifier, clocks, pulse)
    guard = Guard(api, checks, ingest_paths=INGEST_PATHS, sockets={sessions.PATH: sockets})
    return Gateway(asgi=guard, api=api, sessions=sockets, pools=pools, pulse=pulse, drain=drain)


def _admission(
    settings: GatewaySettings, publisher: Publisher, clocks: Clocks, *, tracing: Tracing | None
) -> Admission:
    return Admission(
        publisher,
        events_max=settings.batch_events_max,
        event_bytes_max=settings.event_bytes_max,
        new_id=clocks.new_id,
        tracing=tracing,
    )


def _parts(
    settings: GatewaySettings,
    publisher: Outlet,
    admission: Admission,
    clocks: Clocks,
    *,
    health: Callable[[], Health],
) -> Parts:
    return Parts(
        publisher=publisher,
        admission=admission,
        wall_ms=clocks.wall_ms,
        health=health,
        body_bytes_max=settings.body_bytes_max,
        hook_bytes_max=settings.hook_bytes_max,
        hook_body_bytes_max=settings.hook_body_bytes_max,
        body_seconds_max=settings.body_seconds_max,
        body_bytes_per_second_min=settings.body_bytes_per_second_min,
        bodies=Bodies(bytes_max=settings.bodies_bytes_max),
        readers=Readers(),
        keep_content=settings.keep_content,
        inflated=Inflated(_rates(settings, settings.rate_inflated_by_tenant), now_ms=clocks.now_ms),
    )


def _rates(settings: GatewaySettings, spelled: str) -> Rates | None:
    rate = read_rate(spelled)
    return None if rate is None else Rates(rate, keys_max=settings.rate_keys_max)


def _shared(settings: GatewaySettings, publisher: Outlet, clocks: Clocks, pace: Pace) -> Outlet:
    return Shares(
        publisher,
        _rates(settings, settings.rate_events_by_tenant),
        wait_ms_max=settings.events_wait_ms_max,
        now_ms=clocks.now_ms,
        pace=pace,
    )


def _pools(settings: GatewaySettings, publisher: Publisher, clocks: Clocks, *, node: str) -> Pools:
    ways = PoolOptions(
        rules=rules_of(settings),
        tenants_max=settings.pool_tenants_max,
        sessions_max=settings.pool_sessions_max,
        task_bytes_max=settings.pool_task_bytes_max,
    )
    chronicle = Chronicle(publisher, node=node, wall_ms=clocks.wall_ms, new_id=clocks.new_id)
    return Pools(
        ways,
        now_ms=clocks.now_ms,
        chance=clocks.jitter,
        new_id=clocks.new_id,
        chronicle=chronicle,
    )


def _streaming(
    settings: GatewaySettings, clocks: Clocks, hub: Hub, *, version: str
) -> stream.Streaming:
    streams = sse.Streams(
        streams_max=settings.streams_max,
        bytes_max=settings.outbound_bytes_max,
        heartbeat_s=settings.stream_heartbeat_seconds,
        wall_ms=clocks.wall_ms,
    )
    return stream.Streaming(hub=hub, streams=streams, new_id=clocks.new_id, version=version)


def _api(
    parts: Parts,
    sockets: Sessions,
    beside: Sequence[Callable[[], Awaitable[None]]],
    *,
    version: str,
) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sockets.start()
        running = [asyncio.create_task(kept_going(run)) for run in beside]
        yield
        await end(running)
        await sockets.stop()

    api = _Api(
        title="Mainstem gateway",
        version=version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description="Events of coding agents in, over HTTP and WebSocket, and on to Kafka.",
    )
    problem.install(api)
    for ingest_path in (events, otlp, hooks, operations):
        api.include_router(ingest_path.router(parts))
    return api


class _Api(FastAPI):
    """Says in OpenAPI what the guard in front of it asks for."""

    def openapi(self) -> dict[str, Any]:
        """Return the description, with a bearer token wherever a route says nothing else."""
        described = super().openapi()
        scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        described.setdefault("components", {})["securitySchemes"] = {"token": scheme}
        described["security"] = [{"token": []}]
        return described


def _checks(
    settings: GatewaySettings, verifier: Verifier, clocks: Clocks, pulse: Pulse
) -> RequestChecks:
    return RequestChecks(
        verifier=verifier,
        wall_ms=clocks.wall_ms,
        addresses=Addresses(settings.proxies, hops_max=settings.proxy_hops_max),
        limits=limits_of(settings.rate, keys_max=settings.rate_keys_max, now_ms=clocks.now_ms),
        strikes_max=settings.rate_strikes_max,
        origins=frozenset(settings.origins),
        open_paths=frozenset(health.OPEN_PATHS),
        signed_paths=frozenset({webhooks.PATH}),
        gate=Gate(pulse, lag_ms_max=settings.admission_lag_ms_max, chance=clocks.jitter),
    )


def _hooked(settings: GatewaySettings) -> webhooks.Hooked:
    return webhooks.Hooked(
        secrets=tuple(one.get_secret_value().encode() for one in settings.github_secrets),
        tenant=TenantId(settings.github_tenant),
        deliveries_max=settings.github_deliveries_max,
        bytes_max=settings.webhook_bytes_max,
    )


def _rules(settings: GatewaySettings, *, node: str, version: str) -> EndpointOptions:
    return EndpointOptions(
        node=node,
        session_options=SessionOptions(
            version=version,
            ping_ms=settings.ping_seconds * 1_000,
            pong_ms=int(settings.pong_seconds * 1_000),
            stale_ms=int(settings.stale_seconds * 1_000),
            channels_max=settings.channels_max,
        ),
        bounds=SocketBounds(
            calls_max=settings.calls_max,
            join_seconds_max=settings.join_seconds_max,
            outbound_bytes_max=settings.outbound_bytes_max,
            outbound_seconds_max=settings.outbound_seconds_max,
            slow=Policies(settings.slow_policy, settings.slow_policies),
            write_seconds_max=settings.write_seconds_max,
        ),
        connections_max=settings.connections_max,
        commands_max=settings.frame_commands_max,
        drain_rate=settings.drain_rate,
        drain_seconds_max=settings.drain_seconds_max,
        drain_retry_ms=settings.drain_retry_ms,
    )
