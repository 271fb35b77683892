"""`mainstem mcp`: tools for agents that ask about their own fleet, over stdin and stdout."""

from typing import Annotated

import typer


def command(
    *,
    store_url: Annotated[
        str | None,
        typer.Option(help="postgresql://…; else DATABASE_URL, or the store that runs here."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose fleet is asked about.")] = "local",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print how to register it, and leave.")
    ] = False,
) -> None:
    """Serve read-only tools over the Model Context Protocol on stdin and stdout.

    Example: claude mcp add mainstem -- mainstem mcp
    """
    from apps.mcp import serving

    if as_json:
        typer.echo(serving.registration())
        return
    serving.run(serving.found(store_url), tenant)
