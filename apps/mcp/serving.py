"""The MCP server as a process: where its store is, and stdin and stdout as its wire."""

import json
import os
import time
from contextlib import closing

from analytics.contracts.errors import BadSetting, MissingPart
from analytics.contracts.ids import TenantId
from apps.local import invocation, state
from apps.local.home import home
from streams.clients.reader import Reader


def found(store_url: str | None) -> str:
    """Return the store that is named, or the one that runs here; raise `BadSetting`."""
    if url := store_url or os.environ.get("DATABASE_URL", ""):
        return url
    running = state.running(home())
    if running is None:
        raise BadSetting(
            "no store runs here: start one with `mainstem up`, or give --store-url or DATABASE_URL"
        )
    return running.store_url


def run(store_url: str, tenant: str) -> None:
    """Serve until stdin ends; raise `MissingPart` without the extra `mcp`."""
    try:
        from apps.mcp.server import Source, build
    except ImportError as error:
        raise MissingPart("the MCP server needs more: install 'mainstem[mcp,streams]'") from error
    with closing(Reader(store_url, size_max=2)) as reader:
        source = Source(reader=reader, tenant=TenantId(tenant), wall_ms=_now_ms)
        build(source).run("stdio")


def registration() -> str:
    """Return how an MCP client is told of the server, as the JSON that most of them read."""
    program, *words = invocation.anywhere("mcp")
    entry = {"command": program, "args": words}
    return json.dumps({"mcpServers": {"mainstem": entry}})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
