"""`mainstem forecast`: what a time series in a CSV file will do next."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT.csv", help="Columns timestamp and value, any order.")
    ],
    *,
    horizon: Annotated[
        int, typer.Option(min=1, max=200, help="Steps ahead; a step is the rows' usual distance.")
    ] = 24,
    step: Annotated[
        float, typer.Option(min=0.0, help="Seconds of a step; 0 takes the rows' usual distance.")
    ] = 0.0,
    lower: Annotated[
        float | None, typer.Option(help="What values cannot be below, such as 0 for counts.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the forecast here; else it is printed.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a step instead of CSV.")
    ] = False,
) -> None:
    """Forecast a time series, with the intervals that hold 80 and 95 % of outcomes.

    Example: mainstem forecast cost.csv --horizon 24 --lower 0
    """
    from apps.cli import detections, forecasts

    points = forecasts.forecast(source, horizon=horizon, lower=lower, step_ms=round(step * 1_000))
    lines = forecasts.lines(points, as_json=as_json)
    if output is None:
        sys.stdout.writelines(lines)
        return
    detections.write(output, lines)
