"""`mainstem migrate`: bring the store's schema up to date."""

import json
import os
from typing import Annotated

import typer

STORE_URL = "MAINSTEM_STREAMS_STORE_URL"


def command(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is due; exit 1 if anything is.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happened as JSON.")] = False,
) -> None:
    """Bring the store's schema up to date.

    The store is the one that MAINSTEM_STREAMS_STORE_URL or DATABASE_URL names, else the one that
    `mainstem up` runs on this machine. Safe to repeat, and by several at once.

    Example: mainstem migrate --check
    """
    from streams.store import schema

    state = schema.check(_url()) if check else schema.migrate(_url())
    if as_json:
        said = {"level": state.level, "version": state.version}
        typer.echo(json.dumps({**said, "applied": state.applied, "due": state.due}))
    else:
        did = [f"applied {one}" for one in state.applied] + [f"due: {one}" for one in state.due]
        typer.echo("\n".join([*did, f"the store is at version {state.version} ({state.level})"]))
    if state.due:
        raise typer.Exit(1)


def _url() -> str:
    """Return the store's URL, from the environment or from the server of this machine."""
    from analytics.contracts.errors import BadSetting
    from apps.local import database
    from apps.local.home import home

    if named := os.environ.get(STORE_URL) or database.url_from(os.environ):
        return named
    server = database.status(home().postgres)
    if server is None:
        raise BadSetting(
            f"no store is named and none runs here: set {STORE_URL}, or start `mainstem up`"
        )
    return server.url
