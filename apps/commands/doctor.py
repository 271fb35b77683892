"""`mainstem doctor`: whether everything that is sent arrives, and how the parts stand."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from apps.local.checkup import Arrival, Report

MIB = 1_048_576


def command(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Send one metric, log, span, hook and WebSocket event, and show each arriving in the store.

    Exits with 1 when one does not arrive, and says what to do. The events belong to the project
    mainstem-doctor.

    Example: mainstem doctor --json
    """
    import logging

    import msgspec

    from apps.local import checkup, tokens
    from apps.local.home import home

    logging.disable(logging.CRITICAL)
    folder = home()
    running = checkup.running(folder)
    report = checkup.examine(folder, running, tokens.token(folder))
    if as_json:
        told = msgspec.to_builtins(report) | {"is_well": report.is_well}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        _show(report)
    if not report.is_well:
        raise typer.Exit(1)


def _show(report: "Report") -> None:
    typer.echo(f"mainstem {report.mainstem}, Python {report.python}, {report.machine}")
    typer.echo(f"  gateway    {report.gateway_url}")
    typer.echo(f"  dashboard  {report.dashboard_url}")
    kind = f"{report.broker_kind} {report.broker_version}".strip()
    typer.echo(f"  broker     {report.broker}  {kind}, cluster {report.cluster_id or 'unknown'}")
    size = f"{report.store_bytes / MIB:,.0f} MiB"
    typer.echo(
        f"  store      {report.store_kind}, {report.store_level or 'away'}, {report.store_version},"
        f" schema {report.migration}, {size}"
    )
    typer.echo(f"  data       {report.data}  ({report.disk_free_bytes / MIB:,.0f} MiB free)")
    behind = ", ".join(f"{lag.topic} {lag.records}" for lag in report.lags)
    typer.echo(f"  lag        {behind or 'unknown'} (records not in the store yet)")
    typer.echo(f"  jobs       {', '.join(report.jobs) or 'none yet'}")
    typer.echo("")
    typer.echo("  road        answered    in the store")
    for arrival in report.arrivals:
        typer.echo(f"  {arrival.road:<10} {_ms(arrival.answered_ms)}  {_stored(arrival)}")
    for problem in report.problems:
        typer.echo(f"\n{problem}")
    if report.is_well:
        typer.echo("\nEverything arrives.")


def _ms(took_ms: int | None) -> str:
    return f"{'–':>7}   " if took_ms is None else f"{took_ms:>7} ms"


def _stored(arrival: "Arrival") -> str:
    took = _ms(arrival.stored_ms)
    return f"{took}  {arrival.problem}".rstrip() if arrival.problem else took
