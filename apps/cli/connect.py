"""`mainstem connect`: a coding agent's own settings, told to send here."""

import json
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(metavar="AGENT", help="claude-code, codex or gemini.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change and change nothing.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Gateway to send to; else the one that runs here.")
    ] = None,
    traces: Annotated[
        bool, typer.Option("--traces", help="Claude Code: send spans too (beta there).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what changed as JSON.")] = False,
) -> None:
    """Make a coding agent on this machine send its telemetry to the gateway.

    Edits the agent's own settings, shows the change and keeps what was there; `mainstem disconnect`
    puts it back. Prompts and tool contents are not kept. Heeds CLAUDE_CONFIG_DIR and CODEX_HOME.

    Example: mainstem connect claude-code --dry-run
    """
    from apps.connect import agents, files, target
    from apps.local import invocation
    from apps.local.home import home

    agent = agents.agent(name)
    telemetry = target.telemetry(home(), url=url, sends_traces=traces)
    steps = files.plan_connect(home(), agent, telemetry)
    changed = [step for step in steps if step.changes]
    if not dry_run:
        files.carry_out(home(), agent, steps)
    if as_json:
        paths = [str(step.path) for step in changed]
        typer.echo(json.dumps({"agent": name, "changed": paths, "dry_run": dry_run}))
        return
    for step in changed:
        typer.echo(files.difference(step, secret=telemetry.token), nl=False)
    if not changed:
        typer.echo(f"{agent.title} is connected already; nothing was changed")
    elif dry_run:
        typer.echo("dry run: nothing was changed")
    else:
        typer.echo(f"{agent.title} sends to {telemetry.url}: {agent.note}.")
        typer.echo(invocation.told(f"`mainstem disconnect {name}` puts everything back."))
