"""`mainstem detect`: the anomalies of a CSV file, judged row by row."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from analytics.anomaly.specs import THRESHOLD, DetectorSpec, SeriesKind


def command(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT.csv", help="Columns timestamp and value, any order.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option(help="Write the judged rows here; else they are printed.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The score from which a row is an anomaly.")
    ] = THRESHOLD,
    kind: Annotated[SeriesKind, typer.Option(help="What the values are.")] = SeriesKind.GAUGE,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a row instead of CSV.")
    ] = False,
) -> None:
    """Judge every row of a time series by the rows before it, and say why.

    Example: mainstem detect cpu.csv --output judged.csv
    """
    from analytics.contracts.errors import BadSetting
    from apps.cli import detections

    if not threshold:
        raise BadSetting("--threshold 0.0 would call every row an anomaly; give more than 0")
    spec = DetectorSpec(kind=kind, threshold=threshold)
    lines = detections.judged(source, spec, as_json=as_json)
    if output is None:
        sys.stdout.writelines(lines)
        return
    detections.write(output, lines)
