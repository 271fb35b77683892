"""`mainstem migrate`: bring the store's schema up to date."""

import json
from typing import Annotated

import typer


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
    from apps.cli.stores import store_url
    from streams.store import schema

    state = schema.check(store_url()) if check else schema.migrate(store_url())
    if as_json:
        said = {"level": state.level, "version": state.version}
        typer.echo(json.dumps({**said, "applied": state.applied, "due": state.due}))
    else:
        did = [f"applied {one}" for one in state.applied] + [f"due: {one}" for one in state.due]
        typer.echo("\n".join([*did, f"the store is at version {state.version} ({state.level})"]))
    if state.due:
        raise typer.Exit(1)
