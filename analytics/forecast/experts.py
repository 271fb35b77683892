"""The models that forecasts are made of: each says a whole path ahead from what came so far.

- last, recent: the last reading; the mean of the last few.
- seasonal, weekly: the readings of one season ago (seasonal naive), short and long.
- profile: the mean of each phase of the season, and the last distance from it, which fades.
- smoothing: Holt-Winters with an additive season and a damped trend (Gardner 1985).
- regression: a seasonal autoregression, learnt by recursive least squares with forgetting (as in
  SNARIMAX, without differences), run ahead step by step.

A model that has not seen enough says what `last` says.
"""

import math
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from analytics.forecast.specs import ForecastSpec

Floats = NDArray[np.float64]

NAMES: Final = (
    "last", "recent", "seasonal", "weekly", "profile", "smoothing", "regression",
)  # fmt: skip
RECENT: Final = 12
PROFILE_SEASONS: Final = 7
LEVEL_KEEPS: Final = 0.1
TREND_KEEPS: Final = 0.02
SEASON_KEEPS: Final = 0.15
DAMPING: Final = 0.9
FORGETTING: Final = 0.998
PRIOR: Final = 100.0
"""The variance of coefficients before anything was seen."""
LAGS: Final = (1, 2, 3)
COEFFICIENTS: Final = len(LAGS) + 3
"""Those of the lags, of one season ago and the step before it, and the intercept."""
BEYOND: Final = 3.0
"""How far beyond the range of the past a path may go, in widths of that range."""


class Smoothing(Struct):
    """The state of Holt-Winters."""

    level: float = 0.0
    trend: float = 0.0
    seasons: list[float] = []
    rows: int = 0

    def learn(self, value: float, season: int) -> None:
        """Take a reading."""
        if not self.seasons:
            self.seasons = [0.0] * season
            self.level = value
        phase = self.rows % season
        usual = self.seasons[phase]
        before = self.level
        pace = max(LEVEL_KEEPS, 1 / (self.rows + 1))
        forecast = before + DAMPING * self.trend
        self.level = forecast + pace * (value - usual - forecast)
        self.trend = DAMPING * self.trend + TREND_KEEPS * (self.level - before - self.trend)
        keeps = 0.5 if self.rows < season else SEASON_KEEPS
        self.seasons[phase] = usual + keeps * (value - self.level - usual)
        self.rows += 1

    def path(self, horizon: int) -> Floats:
        """Return what is expected of the next steps."""
        ahead = np.arange(1, horizon + 1)
        season = len(self.seasons)
        phases = (self.rows + ahead - 1) % season
        trend = self.trend * DAMPING * (1 - DAMPING**ahead) / (1 - DAMPING)
        return np.asarray(self.level + trend + np.array(self.seasons)[phases], dtype=np.float64)


class Regression(Struct):
    """Coefficients of a seasonal autoregression and their spread, scaled by the readings."""

    weights: list[float] = []
    spread: list[float] = []
    scale: float = 0.0
    rows: int = 0

    def learn(self, features: Floats, value: float) -> None:
        """Take a reading with the features that came before it (recursive least squares)."""
        if not self.weights:
            self.weights = [1.0] + [0.0] * (COEFFICIENTS - 1)
            self.spread = (np.eye(COEFFICIENTS) * PRIOR).ravel().tolist()
        weights = np.array(self.weights)
        spread = np.array(self.spread).reshape(COEFFICIENTS, COEFFICIENTS)
        gain = spread @ features
        total = FORGETTING + float(features @ gain)
        gain /= total
        error = value - float(weights @ features)
        spread = (spread - np.outer(gain, gain) * total) / FORGETTING
        if not np.isfinite(spread).all() or float(np.trace(spread)) > PRIOR * 1e6:
            spread = np.eye(COEFFICIENTS) * PRIOR
        self.weights = (weights + gain * error).tolist()
        self.spread = spread.ravel().tolist()
        self.rows += 1


def scale_of(history: Floats) -> float:
    """Return by what readings are divided before they are regressed."""
    return max(float(np.mean(np.abs(history))), 1e-9)


def features(history: Floats, season: int, scale: float) -> Floats:
    """Return what a regression looks at before the next reading."""
    lagged = [history[-lag] for lag in LAGS]
    return np.array([*lagged, history[-season], history[-season - 1], scale]) / scale


def ahead(history: Floats, regression: Regression, spec: ForecastSpec) -> Floats:
    """Return the path of a regression, each step on the ones before it."""
    scale, weights = scale_of(history), regression.weights
    season = spec.season
    line = (history[-season - 1 :] / scale).tolist()
    first, second, third, seasonal, before, intercept = weights
    for _ in range(spec.horizon):
        line.append(
            first * line[-1] + second * line[-2] + third * line[-3]
            + seasonal * line[-season] + before * line[-season - 1] + intercept
        )  # fmt: skip
    return np.array(line[season + 1 :]) * scale


def profile(history: Floats, spec: ForecastSpec) -> Floats:
    """Return the usual season, and the last distance from it, which fades as it did so far."""
    season = spec.season
    rounds = min(len(history) // season, PROFILE_SEASONS)
    table = history[len(history) - rounds * season :].reshape(rounds, season)
    usual = table.mean(axis=0)
    rest = (table - usual).ravel()
    power = float(rest @ rest)
    fades = float(rest[1:] @ rest[:-1]) / power if power > 0 else 0.0
    fades = min(max(fades, 0.0), 0.995)
    steps = np.arange(1, spec.horizon + 1)
    return np.asarray(usual[(steps - 1) % season] + rest[-1] * fades**steps, dtype=np.float64)


def paths(
    history: Floats, smoothing: Smoothing, regression: Regression, spec: ForecastSpec
) -> Floats:
    """Return a path for each of `NAMES`: a row a model, a column a step."""
    horizon, season, week = spec.horizon, spec.season, spec.long_season
    steps = np.arange(horizon)
    last = np.full(horizon, history[-1])
    seasoned = len(history) >= season + 2
    rows = [last, np.full(horizon, history[-RECENT:].mean())]
    rows.append(history[-season + steps % season] if seasoned else last)
    has_week = bool(week) and len(history) >= week
    rows.append(history[-week + steps % week] if has_week else rows[-1])
    rows.append(profile(history, spec) if len(history) >= 2 * season else rows[2])
    rows.append(smoothing.path(horizon) if smoothing.rows >= 2 * season else rows[1])
    is_learnt = seasoned and regression.rows >= 4 * COEFFICIENTS
    rows.append(ahead(history, regression, spec) if is_learnt else rows[1])
    low, high = float(history.min()), float(history.max())
    reach = BEYOND * (high - low)
    table = np.nan_to_num(np.stack(rows), nan=low, posinf=high + reach, neginf=low - reach)
    return np.asarray(np.clip(table, low - reach, high + reach), dtype=np.float64)


def log2_bucket(step: int) -> int:
    """Return which share of the horizon a step (from 1) is in: 1, 2, 3-4, 5-8, 9-16, …."""
    return math.ceil(math.log2(step)) if step > 1 else 0
