"""`mainstem disconnect`: a coding agent's settings, put back as they were."""

import json
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(metavar="AGENT", help="claude-code, codex or gemini.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change and change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what changed as JSON.")] = False,
) -> None:
    """Put a coding agent's settings back as they were before `mainstem connect`.

    A file that was edited since keeps its edits and loses only our part.

    Example: mainstem disconnect claude-code
    """
    from apps.connect import agents, files
    from apps.local import tokens
    from apps.local.home import home

    agent = agents.agent(name)
    steps = files.plan_disconnect(home(), agent)
    changed = [step for step in steps if step.changes]
    if steps and not dry_run:
        files.carry_out(home(), agent, steps)
    if as_json:
        paths = [str(step.path) for step in changed]
        typer.echo(json.dumps({"agent": name, "changed": paths, "dry_run": dry_run}))
        return
    if not steps:
        typer.echo(f"{agent.title} is not connected; nothing was changed")
        return
    for step in changed:
        typer.echo(files.difference(step, secret=tokens.known(home())), nl=False)
    for step in steps:
        if step.note:
            typer.echo(f"{step.path}: {step.note}")
    typer.echo("dry run: nothing was changed" if dry_run else f"{agent.title} is disconnected.")
