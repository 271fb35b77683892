"""`mainstem tail`: a topic's events, printed as they come."""

import asyncio
from typing import Annotated

import typer


def command(
    topic: Annotated[str, typer.Argument(help="Such as agents.v1; `mainstem topics` lists them.")],
    *,
    start: Annotated[
        str,
        typer.Option("--from", help="end, start, an offset, or an age such as 10m, 2h, 1d."),
    ] = "end",
    where: Annotated[
        list[str] | None, typer.Option(help="FIELD=VALUE that an event must have; repeatable.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Stop after so many events; 0 goes on until Ctrl-C.")
    ] = 0,
    broker: Annotated[
        str | None, typer.Option(help="HOST:PORT; else the broker that runs here.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, with its place.")
    ] = False,
) -> None:
    """Print the events of a topic as they come, one a line.

    Example: mainstem tail agents.v1 --from 10m --where type=request.finished --json
    """
    from analytics.contracts.errors import BadSetting
    from apps.cli import tailer
    from apps.local import broker as brokers
    from apps.local.home import home

    address = brokers.reachable(home(), broker)
    if not address:
        raise BadSetting("no broker runs here: start one with `mainstem up`, or give --broker")
    wanted = tailer.Wanted(
        topic=tailer.topic_named(topic),
        start=tailer.start_named(start),
        where=tailer.conditions(where or []),
        limit=limit,
    )
    write = tailer.as_json if as_json else tailer.as_line
    asyncio.run(tailer.follow(address, wanted, show=lambda found: typer.echo(write(found))))
