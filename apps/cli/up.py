"""`mainstem up`: everything on this machine, until it is told to stop."""

from typing import Annotated

import typer


def command(
    *,
    demo: Annotated[bool, typer.Option("--demo", help="Replay a bundled fleet of agents.")] = False,
    demo_speed: Annotated[
        float, typer.Option(min=0.1, max=1_000.0, help="How much faster than it happened.")
    ] = 10.0,
    broker: Annotated[
        str | None, typer.Option(help="tansu (embedded), kafka (Java), or HOST:PORT of your own.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port of the gateway; 0 is any.")
    ] = None,
    dashboard_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port of the dashboard; 0 is any.")
    ] = None,
    opens: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the dashboard in the browser.")
    ] = True,
    imports: Annotated[
        bool | None,
        typer.Option("--import/--no-import", help="Import the agents' history, or do not ask."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the addresses as JSON once everything answers.")
    ] = False,
) -> None:
    """Start broker, store, gateway, worker, dashboard and query API here, and keep them running.

    DATABASE_URL uses a PostgreSQL or TimescaleDB of your own. Data is kept in MAINSTEM_HOME, or in
    your user's data folder. Ctrl-C or `mainstem down` stops everything in order.

    Example: mainstem up --demo
    """
    from apps.local import running
    from apps.local.configured import configured
    from apps.local.home import home

    settings = configured(broker=broker, port=port, dashboard_port=dashboard_port)
    options = running.Options(
        demo_speed=demo_speed if demo else None,
        opens_browser=opens,
        imports=imports,
        as_json=as_json,
    )
    if not running.run(home(), settings, options):
        raise typer.Exit(1)
