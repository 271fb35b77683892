"""A CSV file read whole and what comes after it: what `mainstem forecast` does.

The step is the usual distance of the file's rows; several rows of a step count as their mean. The
seasons are a day and a week, as far as they have between 2 and 2,500 steps.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from msgspec import structs

from analytics.forecast.forecaster import Forecaster
from analytics.forecast.specs import DAY_MS, ForecastSpec, ForecastStep
from apps.cli.detections import BadTable, rows

COLUMNS: Final = ("timestamp", "mean", "low80", "high80", "low95", "high95")
SEASON_MAX: Final = 400
LONG_SEASON_MAX: Final = 2_500
HORIZON_MAX: Final = 200


def forecast(
    source: Path, *, horizon: int, lower: float | None, step_ms: int = 0
) -> tuple[ForecastStep, ...]:
    """Return what the series in a file does in the next steps; raise `BadTable`."""
    readings = sorted((at_ms, value) for _, _, at_ms, value in rows(source))
    times = sorted({at_ms for at_ms, _ in readings})
    if not step_ms:
        distances = Counter(after - before for before, after in pairwise(times))
        if not distances:
            raise BadTable(f"{source}: fewer than two rows with a time of their own; give more")
        step_ms = max(distances, key=lambda distance: (distances[distance], -distance))
    forecaster = Forecaster(spec_of(step_ms, horizon, lower))
    sums: dict[int, list[float]] = {}
    for at_ms, value in readings:
        if math.isfinite(value):
            sums.setdefault(at_ms - at_ms % step_ms, []).append(value)
    if not sums:
        raise BadTable(f"{source}: no value is a number; give a column 'value' of numbers")
    for at_ms in sorted(sums):
        forecaster.learn(at_ms, math.fsum(sums[at_ms]) / len(sums[at_ms]))
    return forecaster.forecast()


def spec_of(step_ms: int, horizon: int, lower: float | None) -> ForecastSpec:
    """Return how a series with that step is forecast."""
    day = DAY_MS // step_ms
    season = day if 2 <= day <= SEASON_MAX else 7 if day < 2 else SEASON_MAX
    week = 7 * day
    long_season = week if season < week <= LONG_SEASON_MAX else 0
    return ForecastSpec(
        step_ms=step_ms, horizon=horizon, season=season, long_season=long_season, lower=lower
    )


def lines(points: tuple[ForecastStep, ...], *, as_json: bool) -> Iterator[str]:
    """Return the lines of a forecast, the header of a CSV first."""
    if not as_json:
        yield ",".join(COLUMNS) + "\n"
    for point in points:
        at_ms, *values = structs.astuple(point)
        when = datetime.fromtimestamp(at_ms / 1_000, tz=UTC).isoformat().replace("+00:00", "Z")
        if as_json:
            yield json.dumps(dict(zip(COLUMNS, (when, *values), strict=True))) + "\n"
        else:
            yield ",".join([when, *map(repr, values)]) + "\n"
