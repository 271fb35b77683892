"""`mainstem doctor`: whether everything that is sent arrives, and how the parts stand."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from apps.local.checkup import DoctorReport, ProbeArrival
    from streams.maintenance.facts import JobFacts, StoreFacts

MIB: Final = 1_048_576
SECOND_MS: Final = 1_000
AGES: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def command(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Send one metric, log, span, hook and WebSocket event, and show each arriving in the store.

    Exits with 1 when one does not arrive, and says what to do. What the store's jobs are behind
    with is said too, and is no failure. The events belong to a tenant of their own, doctor: no
    figure of yours moves.

    Example: mainstem doctor --json
    """
    import logging

    import msgspec

    from apps.local import checkup, tokens
    from apps.local.home import home
    from apps.local.tenants import DOCTOR

    logging.disable(logging.CRITICAL)
    folder = home()
    running = checkup.running(folder)
    report = checkup.examine(folder, running, tokens.of_tenant(folder, DOCTOR))
    if as_json:
        told = msgspec.to_builtins(report) | {"is_well": report.is_well}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        _show(report)
    if not report.is_well:
        raise typer.Exit(1)


def _show(report: "DoctorReport") -> None:
    from apps.local import invocation

    typer.echo(f"mainstem {report.mainstem}, Python {report.python}, {report.machine}")
    typer.echo(f"  gateway    {report.gateway_url}")
    typer.echo(f"  dashboard  {report.dashboard_url}")
    kind = f"{report.broker_kind} {report.broker_version}".strip()
    typer.echo(f"  broker     {report.broker}  {kind}, cluster {report.cluster_id or 'unknown'}")
    if report.store is None:
        typer.echo(f"  store      {report.store_kind}, away")
    else:
        _show_store(report.store_kind, report.store)
    typer.echo(f"  data       {report.data}  ({report.disk_free_bytes / MIB:,.0f} MiB free)")
    behind = ", ".join(f"{lag.topic} {lag.records}" for lag in report.lags)
    typer.echo(f"  lag        {behind or 'unknown'} (records not in the store yet)")
    typer.echo("")
    typer.echo("  path        answered    in the store")
    for arrival in report.arrivals:
        typer.echo(f"  {arrival.ingest_path:<10} {_ms(arrival.answered_ms)}  {_stored(arrival)}")
    for sentence in (*report.problems, *report.complaints):
        typer.echo(f"\n{invocation.told(sentence)}")
    if report.is_well:
        typer.echo("\nEverything arrives.")


def _show_store(kind: str, store: "StoreFacts") -> None:
    typer.echo(
        f"  store      {kind}, {store.level}, {store.version}, schema {store.schema},"
        f" {store.size_bytes / MIB:,.0f} MiB"
    )
    lag = _age(store.rollup.lag_ms) if store.rollup.due else "none"
    retention_ms = max((table.retention_lag_ms for table in store.tables), default=0)
    typer.echo(
        f"  behind     rollups {lag} ({store.rollup.due} changes), "
        f"retention {_age(retention_ms) if retention_ms else 'none'}, "
        f"{store.outbox} results to be sent, {store.parcels} parcels held"
    )
    parts = sum(table.parts for table in store.tables)
    rowwise = sum(table.rowwise_late for table in store.tables)
    what = "chunks" if store.level.has_hypertables else "partitions"
    late = f", {rowwise} of them late for the columnstore" if rowwise else ""
    typer.echo(f"  parts      {parts} {what}{late}")
    for number, job in enumerate(store.jobs):
        typer.echo(f"  {'jobs' if not number else '':<10} {_job(job, store.at_ms)}")
    if not store.jobs:
        typer.echo("  jobs       none has run yet")


def _job(job: "JobFacts", now_ms: int) -> str:
    ran = "never" if job.finished_ms is None else f"{_age(now_ms - job.finished_ms)} ago"
    due = "unknown" if job.due_ms is None else f"in {_age(job.due_ms - now_ms)}"
    if job.due_ms is not None and job.due_ms <= now_ms:
        due = "now"
    went = "failed" if job.error else "well"
    return (
        f"{job.name:<22} {went:<7} ran {ran:<12} due {due:<9} {job.failures} of {job.runs} failed"
    )


def _age(ms: int) -> str:
    """Return a length of time coarsely, in its largest unit."""
    seconds = max(0, ms) // SECOND_MS
    size, unit = next((one for one in AGES if seconds >= one[0]), AGES[-1])
    return f"{seconds // size} {unit}"


def _ms(took_ms: int | None) -> str:
    return f"{'–':>7}   " if took_ms is None else f"{took_ms:>7} ms"


def _stored(arrival: "ProbeArrival") -> str:
    took = _ms(arrival.stored_ms)
    return f"{took}  {arrival.problem}".rstrip() if arrival.problem else took
