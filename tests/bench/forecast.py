"""Forecasts held against what came: ours, seasonal naive and river's models, at every origin alike.

Each series is forecast again and again from further on; MASE is the mean absolute error divided by
that of seasonal naive with a day's season over the same outcomes. The series are NAB's recordings
of real systems and what the demo fleet does, by 5 minutes an hour ahead and by hours a day ahead.
River's models learn every step, scaled by the readings before the first origin, and are asked at
the same moments; they say no intervals.
"""

import itertools
import math
import random
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing, time_series

from analytics.contracts.agent_events import RequestFinished, ToolFinished
from analytics.forecast.forecaster import Forecaster
from analytics.forecast.specs import HOUR_MS, ForecastSpec
from apps.bench.report import BenchReport, Figure, report
from apps.load.demo import Fleet
from apps.load.script import bundled
from tests.bench.nab import recordings

REQUIREMENTS = ("forecast-accuracy",)
MASE_GOAL: Final = 0.9
POINTS_GOAL: Final = 5.0
DEMO_DAYS: Final = 9
PEER_SERIES_MAX: Final = 6
"""River's models take a hundred times as long, so they are asked about every few series."""

Floats = NDArray[np.float64]


class Ahead(Struct, frozen=True, kw_only=True):
    """How far apart readings lie, how far is looked, and how many are learnt before."""

    name: str
    spec: ForecastSpec
    warm: int


AHEADS: Final = (
    Ahead(
        name="hour", warm=600,
        spec=ForecastSpec(step_ms=300_000, horizon=12, season=288, long_season=2_016, lower=None),
    ),
    Ahead(
        name="day", warm=96,
        spec=ForecastSpec(step_ms=HOUR_MS, horizon=24, season=24, long_season=168, lower=None),
    ),
)  # fmt: skip


class Peer(Protocol):
    """A forecaster of river's."""

    def learn_one(self, y: float) -> object:
        """Take a reading in."""
        ...

    def forecast(self, horizon: int) -> list[float]:
        """Return what is expected of the next steps."""
        ...


class Held(Struct, frozen=True, kw_only=True):
    """What one series came to."""

    mase: float
    held80: float
    held95: float
    learn_us: float
    forecast_us: float


def run() -> BenchReport:
    """Forecast every series at both distances; ours first, then some by river's."""
    figures: list[Figure] = []
    for ahead in AHEADS:
        real = list(_real(ahead))
        ours = [one for one in (_held(series, ahead) for series in real) if one is not None]
        demo = [one for one in (_held(series, ahead) for series in _demo(ahead)) if one is not None]
        figures += _figures(f"{ahead.name} ahead, {len(ours)} real series", ours)
        figures += _figures(f"{ahead.name} ahead, demo fleet", demo)
        figures += _peers(ahead, real[:: max(1, len(real) // PEER_SERIES_MAX)])
        figures += [
            Figure(
                name=f"{ahead.name}: to learn a reading, to forecast",
                value=round(statistics.median(one.learn_us for one in ours), 1), unit="us",
                note=f"forecast {statistics.median(one.forecast_us for one in ours):.0f} us",
            )
        ]  # fmt: skip
    return report("forecast", __doc__ or "", figures=tuple(figures))


def _figures(what: str, found: Sequence[Held]) -> list[Figure]:
    mase = statistics.median(one.mase for one in found)
    worse = sum(one.mase >= 1 for one in found)
    figures = [
        Figure(
            name=f"MASE, {what}", value=round(mase, 3), unit="x seasonal naive", goal=MASE_GOAL,
            note=f"mean {statistics.mean(one.mase for one in found):.3f}, worse in {worse}",
        )
    ]  # fmt: skip
    for level, held in (
        (80, [one.held80 for one in found]),
        (95, [one.held95 for one in found]),
    ):
        share = 100 * statistics.mean(held)
        near = sum(abs(100 * one - level) <= POINTS_GOAL for one in held)
        figures.append(
            Figure(
                name=f"held by {level} %, {what}", value=round(abs(share - level), 1),
                unit="points off", goal=POINTS_GOAL,
                note=f"{share:.1f} %; {near} of {len(held)} series within {POINTS_GOAL:.0f}",
            )
        )  # fmt: skip
    return figures


def _real(ahead: Ahead) -> Iterator[list[tuple[int, float]]]:
    for one in recordings():
        if not one.category.startswith("real"):
            continue
        series = _stepped(zip(one.at_ms, one.values, strict=True), ahead.spec.step_ms)
        if len(series) >= ahead.warm + 2 * ahead.spec.horizon:
            yield series


def _stepped(rows: Iterable[tuple[int, float]], step_ms: int) -> list[tuple[int, float]]:
    """Return the mean of each step; one without a reading is no number."""
    found: dict[int, list[float]] = {}
    for at_ms, value in rows:
        found.setdefault(at_ms // step_ms, []).append(value)
    first, last = min(found), max(found)
    return [
        (step * step_ms, statistics.fmean(found[step]) if step in found else math.nan)
        for step in range(first, last + 1)
    ]


def _demo(ahead: Ahead) -> Iterator[list[tuple[int, float]]]:
    """Yield requests, tokens and tool calls of the demo fleet by step."""
    fleet = Fleet(
        [one for one in bundled().scripts if sum(len(turn.steps) for turn in one.turns) > 1],
        speed=1.0,
        random=random.Random(1),
        new_id=map(str, itertools.count()).__next__,
    )
    start_ms = 1_767_225_600_000
    fleet.begin(start_ms)
    steps = DEMO_DAYS * 24 * HOUR_MS // ahead.spec.step_ms
    counts = np.zeros((3, steps))
    for step in range(steps):
        until_ms = start_ms + (step + 1) * ahead.spec.step_ms
        while taken := fleet.due(until_ms, 10_000):
            for event in taken:
                if isinstance(event, RequestFinished):
                    counts[0, step] += 1
                    counts[1, step] += event.output_tokens
                counts[2, step] += isinstance(event, ToolFinished)
    for row in counts:
        yield [
            (start_ms + step * ahead.spec.step_ms, float(value)) for step, value in enumerate(row)
        ]


def _held(series: Sequence[tuple[int, float]], ahead: Ahead) -> Held | None:
    """Forecast a series from every origin; None where seasonal naive is never off."""
    spec, forecaster = ahead.spec, Forecaster(ahead.spec)
    values = np.array([value for _, value in series])
    ours, naive, held80, held95 = [], [], [], []
    learn_s = forecast_s = 0.0
    origins = 0
    for row, (at_ms, value) in enumerate(series):
        begun_s = time.perf_counter()
        forecaster.learn(at_ms, value)
        learn_s += time.perf_counter() - begun_s
        if not _is_origin(row, len(values), ahead):
            continue
        begun_s = time.perf_counter()
        points = forecaster.forecast()
        forecast_s += time.perf_counter() - begun_s
        origins += 1
        came, season = _outcomes(values, row, spec)
        known = np.isfinite(came) & np.isfinite(season)
        ours.append(np.abs(np.array([point.mean for point in points]) - came)[known])
        naive.append(np.abs(season - came)[known])
        held80.append(_within(came, [(one.low80, one.high80) for one in points])[known])
        held95.append(_within(came, [(one.low95, one.high95) for one in points])[known])
    off = float(np.concatenate(naive).mean())
    if not off:
        return None
    return Held(
        mase=float(np.concatenate(ours).mean()) / off,
        held80=float(np.concatenate(held80).mean()),
        held95=float(np.concatenate(held95).mean()),
        learn_us=learn_s / len(series) * 1e6,
        forecast_us=forecast_s / origins * 1e6,
    )


def _is_origin(row: int, rows: int, ahead: Ahead) -> bool:
    horizon = ahead.spec.horizon
    return ahead.warm <= row < rows - horizon and (row - ahead.warm) % (horizon // 2) == 0


def _outcomes(values: Floats, row: int, spec: ForecastSpec) -> tuple[Floats, Floats]:
    """Return what came after a row, and what seasonal naive says of it."""
    came = values[row + 1 : row + 1 + spec.horizon]
    season = values[row + 1 - spec.season : row + 1]
    return came, season[np.arange(spec.horizon) % spec.season]


def _within(came: Floats, ends: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    low, high = np.array(ends).T
    return np.asarray((came >= low) & (came <= high))


def _peers(ahead: Ahead, real: Sequence[Sequence[tuple[int, float]]]) -> Iterator[Figure]:
    for name in ("SNARIMAX", "HoltWinters"):
        found = [_peer_mase(name, series, ahead) for series in real]
        yield Figure(
            name=f"river {name}, {ahead.name} ahead, {len(found)} of them",
            value=round(statistics.median(found), 3),
            unit="x seasonal naive",
        )


def _peer(name: str, spec: ForecastSpec) -> Peer:
    if name == "HoltWinters":
        return time_series.HoltWinters(  # type: ignore[no-untyped-call] # river has no types here
            alpha=0.1, beta=0.02, gamma=0.15, seasonality=spec.season, multiplicative=False
        )
    slowly = optim.SGD(0.003)
    regressor = preprocessing.StandardScaler() | linear_model.LinearRegression(optimizer=slowly)
    return time_series.SNARIMAX(p=3, d=0, q=0, m=spec.season, sp=1, sd=0, sq=0, regressor=regressor)


def _peer_mase(name: str, series: Sequence[tuple[int, float]], ahead: Ahead) -> float:
    peer, spec = _peer(name, ahead.spec), ahead.spec
    values = np.array([value for _, value in series])
    first = values[: ahead.warm][np.isfinite(values[: ahead.warm])]
    middle, spread = float(first.mean()), float(first.std()) or 1.0
    theirs, naive, last = [], [], 0.0
    for row, value in enumerate(values.tolist()):
        last = (value - middle) / spread if math.isfinite(value) else last
        peer.learn_one(last)
        if _is_origin(row, len(values), ahead):
            came, season = _outcomes(values, row, spec)
            known = np.isfinite(came) & np.isfinite(season)
            said = np.nan_to_num(np.array(peer.forecast(spec.horizon)), posinf=1e12, neginf=-1e12)
            theirs.append(np.minimum(np.abs(said * spread + middle - came), 1e12)[known])
            naive.append(np.abs(season - came)[known])
    return float(np.concatenate(theirs).mean()) / max(float(np.concatenate(naive).mean()), 1e-12)
