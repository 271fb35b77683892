"""The query API put together: routes behind the gateway's own guard, over a reader of the store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.types import ASGIApp

from analytics.contracts.errors import StoreAway
from apps.api import alert_files, limits, prometheus, routes, watching
from apps.api.parts import Asking
from gateway.http import health, problem
from gateway.http.addresses import Addresses
from gateway.http.auth import Verifier
from gateway.http.clocks import Clocks
from gateway.http.guard import Guard, RequestChecks
from gateway.http.health import Gate, Pulse
from gateway.http.rate_limiter import limits_of
from gateway.http.settings import HttpSettings
from gateway.http.shutdown import end

INGEST_PATHS: Final = {
    **dict.fromkeys((*routes.KNOWN, *watching.KNOWN, *limits.KNOWN), "query"),
    **{f"{prometheus.ROOT}/{name}": "prometheus" for name in ("query", "query_range")},
    prometheus.METRICS: "prometheus",
}


def build(
    access: HttpSettings,
    asking: Asking,
    *,
    verifier: Verifier,
    clocks: Clocks,
    tasks: Sequence[Callable[[], Awaitable[None]]] = (),
) -> ASGIApp:
    """Return the API; `access` says who may call, and `tasks` run as long as it does."""
    pulse = Pulse(clocks.now_ms)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.ensure_future(run()) for run in (pulse.run, *tasks)]
        yield
        await end(running)
        asking.reader.close()

    api = FastAPI(
        title="Mainstem query API",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        description="What a fleet of coding agents does and costs, read from the store.",
    )
    problem.install(api)
    api.include_router(routes.router(asking))
    api.include_router(watching.router(asking))
    api.include_router(limits.router(asking))
    api.include_router(alert_files.router(asking))
    api.include_router(prometheus.router(asking))
    api.include_router(prometheus.exposing(asking))
    _add_health(api, asking)
    checks = RequestChecks(
        verifier=verifier,
        wall_ms=clocks.wall_ms,
        addresses=Addresses(access.proxies, hops_max=access.proxy_hops_max),
        limits=limits_of(access.rate, keys_max=access.rate_keys_max, now_ms=clocks.now_ms),
        strikes_max=access.rate_strikes_max,
        origins=frozenset(access.origins),
        open_paths=frozenset(health.OPEN_PATHS),
        signed_paths=frozenset(),
        gate=Gate(pulse, lag_ms_max=access.admission_lag_ms_max, chance=clocks.jitter),
    )
    return Guard(api, checks, ingest_paths=INGEST_PATHS)


def _add_health(api: FastAPI, asking: Asking) -> None:
    @api.get(health.LIVE, summary="Say that the process answers", include_in_schema=False)
    async def live() -> dict[str, bool]:
        return {"live": True}

    @api.get(health.READY, summary="Say whether the store answers", include_in_schema=False)
    def ready() -> Response:
        try:
            with asking.reader.connection() as db:
                db.execute("select 1")
        except StoreAway as error:
            return JSONResponse({"ready": False, "reason": str(error)}, status_code=503)
        return JSONResponse({"ready": True})
