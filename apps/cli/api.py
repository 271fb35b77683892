"""`mainstem api`: one process that answers questions from the store, until it is told to stop."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from apps.runtime.logging import log_to_stderr

if TYPE_CHECKING:
    from apps.api.settings import ApiSettings
    from gateway.http.server import Server
    from gateway.settings import GatewaySettings


def command(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it listens as a JSON object.")
    ] = False,
) -> None:
    """Run the query API: a tenant's figures over HTTP, read from the store.

    Options win over MAINSTEM_API_* variables; who may call is set as for the gateway. On SIGTERM or
    Ctrl-C it answers what it was asked and leaves with 0.

    Example: mainstem api --port 4319
    """
    from apps.api.settings import load
    from apps.runtime import watchdog
    from gateway.settings import load as load_access

    given = {"host": host, "port": port}
    chosen = load(**{name: value for name, value in given.items() if value is not None})
    access = load_access(host=chosen.host, port=chosen.port)
    log_to_stderr(quiet=("uvicorn",))
    asyncio.run(watchdog.guarded(_serve(chosen, access, as_json=as_json)))


async def _serve(chosen: "ApiSettings", access: "GatewaySettings", *, as_json: bool) -> None:
    from apps.cli.gateway import CannotListen, quietly

    running = server_of(chosen, access)
    serving = asyncio.create_task(quietly(running))
    await running.listening(serving)
    if not running.started:
        where = f"{chosen.host}:{chosen.port}"
        raise CannotListen(f"cannot listen on {where!r}; is the port taken? use --port")
    url = f"http://{chosen.host}:{running.port}"
    typer.echo(json.dumps({"url": url}) if as_json else f"the query API listens on {url}")
    await serving


def server_of(chosen: "ApiSettings", access: "GatewaySettings") -> "Server":
    """Return the API's server, not yet started."""
    from apps.api.app import build
    from apps.api.parts import Asking
    from apps.cli.gateway import clocks_of
    from gateway.http.auth_refresh import verifier_of
    from gateway.http.server import server
    from streams.clients.reader import Reader

    kept = verifier_of(access)
    clocks = clocks_of()
    reader = Reader(
        chosen.store_url.get_secret_value(),
        size_max=chosen.connections_max,
        wait_s=chosen.connect_wait_s,
        statement_timeout_ms=chosen.query_ms_max,
    )
    api = build(
        access,
        Asking(
            reader=reader,
            wall_ms=clocks.wall_ms,
            query_ms_max=chosen.query_ms_max,
            store_url=chosen.store_url.get_secret_value(),
        ),
        verifier=kept.verifier,
        clocks=clocks,
        tasks=kept.tasks,
    )
    return server(api, access, drain=_nothing)


async def _nothing() -> None:
    """Let nothing drain: what was asked is answered before the server stops."""
