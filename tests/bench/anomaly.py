"""Detection scored by the Numenta Anomaly Benchmark's standard profile, one reading at a time.

Ours runs as shipped, with one fixed threshold; peers get the best threshold of many for the whole
corpus, with hindsight and the same refractory time. `left out` chooses width, power, refractory
time and threshold of ours anew without one category at a time and scores that category by them.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from river import anomaly as river_anomaly

from analytics.anomaly.detector import SNAPSHOT_BYTES_MAX, Detector
from analytics.anomaly.shapes import VIEWS
from analytics.anomaly.specs import DetectorSpec
from apps.bench.report import BenchReport, Figure, report
from tests.bench.nab import Recording, Scored, recordings, score

REQUIREMENTS = ("anomaly-nab", "anomaly-speed")
SCORE_GOAL: Final = 70.0
LEFT_OUT_GOAL: Final = 4.0
SPEED_GOAL_US: Final = 200.0
DAY_MS: Final = 86_400_000
WIDTHS: Final = (8, 12, 18)
POWERS: Final = (4.0, 8.0, 16.0)
QUIET_SHARES: Final = (0.02, 0.03, 0.045)
RARITIES: Final = tuple(1.6 + 0.05 * step for step in range(19))
QUANTILES: Final = (0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.993, 0.996, 0.998, 0.999, 0.9995)

Scores = NDArray[np.float64]


class Rated(Protocol):
    """A detector of river's with a score for one reading."""

    def score_one(self, x: dict[str, float]) -> float:
        """Return how anomalous a reading is."""
        ...

    def learn_one(self, x: dict[str, float]) -> object:
        """Take a reading in."""
        ...


class RatedValue(Protocol):
    """A detector of river's with a score for one value and what goes with it."""

    def score_one(self, x: None, y: float) -> float:
        """Return how anomalous a value is."""
        ...

    def learn_one(self, x: None, y: float) -> object:
        """Take a value in."""
        ...


def run() -> BenchReport:
    """Score ours, then its parameters with a category left out, then river's, random and null."""
    files = recordings()
    started = time.process_time()
    ours, false_a_day, size = _shipped(files)
    took_us = (time.process_time() - started) * 1e6 / sum(len(one.values) for one in files)
    left_out = _left_out(files)
    figures = [
        Figure(
            name="NAB standard profile, shipped", value=round(ours.normalised, 2), unit="points",
            goal=SCORE_GOAL, at_least=True, note=f"{ours.found} of {ours.windows} windows",
        ),
        Figure(name="parameters left out", value=round(left_out, 2), unit="points"),
        Figure(
            name="lost when left out", value=round(ours.normalised - left_out, 2),
            unit="points", goal=LEFT_OUT_GOAL,
        ),
        Figure(
            name="false alarms", value=round(false_a_day, 3), unit="a day a series",
            note=f"{ours.false_alarms} in all",
        ),
        Figure(name="cost", value=round(took_us, 1), unit="µs a reading", goal=SPEED_GOAL_US),
        Figure(name="largest snapshot", value=size, unit="bytes", goal=SNAPSHOT_BYTES_MAX),
    ]  # fmt: skip
    figures += [
        Figure(
            name=f"peer: {name}", value=round(_hindsight(files, rate).normalised, 2), unit="points"
        )
        for name, rate in PEERS.items()
    ]
    return report("anomaly", __doc__ or "", figures=tuple(figures))


def _shipped(files: Sequence[Recording]) -> tuple[Scored, float, int]:
    total, days, size = Scored(), 0.0, 0
    for one in files:
        detector = Detector()
        rows = enumerate(zip(one.at_ms, one.values, strict=True))
        alarms = [row for row, (at, value) in rows if detector.learn(at, value).is_anomaly]
        total += score(one, alarms)
        days += (one.at_ms[-1] - one.at_ms[one.probation]) / DAY_MS
        size = max(size, len(detector.snapshot()))
    return total, total.false_alarms / days, size


def _left_out(files: Sequence[Recording]) -> float:
    """Return the score of all categories, each judged by what the others would choose."""
    categories = sorted({one.category for one in files})
    found: dict[tuple[float, ...], dict[str, Scored]] = {}
    for width in WIDTHS:
        rarities = [_rarities(one, width) for one in files]
        for power, share in itertools.product(POWERS, QUIET_SHARES):
            joined = [_joined(each, power) for each in rarities]
            for least in RARITIES:
                by = dict.fromkeys(categories, Scored())
                for one, rarity in zip(files, joined, strict=True):
                    by[one.category] += score(one, _alarms(rarity, least, share))
                found[width, power, share, least] = by
    total = Scored()
    for left in categories:
        chosen = max(
            found.values(), key=lambda by: sum(one.raw for key, one in by.items() if key != left)
        )
        total += chosen[left]
    return total.normalised


def _rarities(one: Recording, width: int) -> Scores:
    """Return the views' rarities and the silence's of every row, one row each."""
    detector = Detector(DetectorSpec(width=width))
    rows = zip(one.at_ms, one.values, strict=True)
    return np.array([list(detector.learn(at, value).rarities.values()) for at, value in rows])


def _joined(rarities: Scores, power: float) -> Scores:
    views = rarities[:, : len(VIEWS)]
    joined: Scores = np.maximum((views**power).mean(axis=1) ** (1 / power), rarities[:, -1])
    return joined


def _alarms(scores: Scores, least: float, share: float) -> list[int]:
    spec = DetectorSpec()
    alarms, until = list[int](), -1
    for row in np.flatnonzero(scores >= least).tolist():
        if row > until:
            alarms.append(row)
            until = row + min(spec.quiet_max, max(spec.quiet_min, int(share * row)))
    return alarms


def _hindsight(files: Sequence[Recording], rate: Callable[[Recording], Scores]) -> Scored:
    """Return the best score of one threshold for the corpus, chosen knowing the answer."""
    rated = [rate(one) for one in files]
    share = DetectorSpec().quiet_share
    every = np.concatenate(rated)
    best = sum((score(one, ()) for one in files), Scored())
    for least in sorted({float(np.quantile(every, quantile)) for quantile in QUANTILES}):
        total = Scored()
        for one, scores in zip(files, rated, strict=True):
            total += score(one, _alarms(scores, least, share))
        best = max(best, total, key=lambda scored: scored.raw)
    return best


def _river(make: Callable[[], Rated]) -> Callable[[Recording], Scores]:
    def rate(one: Recording) -> Scores:
        model, scores = make(), list[float]()
        low, high = math.inf, -math.inf
        for value in one.values:
            low, high = min(low, value), max(high, value)
            reading = {"value": (value - low) / (high - low) if high > low else 0.5}
            scores.append(float(model.score_one(reading)))
            model.learn_one(reading)
        return np.array(scores)

    return rate


def _of_values(make: Callable[[], RatedValue]) -> Callable[[Recording], Scores]:
    def rate(one: Recording) -> Scores:
        model, scores = make(), list[float]()
        for value in one.values:
            scores.append(float(model.score_one(None, value)))
            model.learn_one(None, value)
        return np.array(scores)

    return rate


def _random(one: Recording) -> Scores:
    random = Random(one.name)
    return np.array([random.random() for _ in one.values])


PEERS: Final[dict[str, Callable[[Recording], Scores]]] = {
    "null": lambda one: np.zeros(len(one.values)),
    "random": _random,
    "river HalfSpaceTrees": _river(lambda: river_anomaly.HalfSpaceTrees(seed=1)),
    "river OneClassSVM": _river(river_anomaly.OneClassSVM),
    "river GaussianScorer": _of_values(river_anomaly.GaussianScorer),
    "river StandardAbsoluteDeviation": _of_values(river_anomaly.StandardAbsoluteDeviation),
}
