"""`mainstem down`: stop the `up` that runs, from another terminal."""

import json
from typing import Annotated

import typer


def command(
    *,
    wait_s: Annotated[
        float, typer.Option("--wait", min=1, max=3_600, help="Seconds to wait for the end.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happened as JSON.")] = False,
) -> None:
    """Stop everything that `mainstem up` runs, once what was acknowledged is in the store.

    Example: mainstem down --wait 60
    """
    from apps.local import stopping
    from apps.local.home import home

    outcome = stopping.stop(home(), wait_s=wait_s)
    if as_json:
        typer.echo(json.dumps({"was_running": outcome.was_running, "unread": outcome.unread}))
    else:
        typer.echo(outcome.sentence)
    if outcome.was_running and outcome.unread != 0:
        raise typer.Exit(1)
