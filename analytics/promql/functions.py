"""Functions of vectors that need nothing but their arguments.

Source: Prometheus' `promql/functions.go`. All but `sort` and `label_*` drop the metric's name.
"""

import calendar
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import numpy as np

from analytics.promql.blocks import Block, relabelled
from analytics.promql.budget import Budget
from analytics.promql.series import Floats, unnamed

Change = Callable[[Floats], Floats]


def _sign(values: Floats) -> Floats:
    return np.where(values < 0, -1.0, np.where(values > 0, 1.0, values))


VALUES: Final[Mapping[str, Change]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": np.rad2deg,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": np.deg2rad,
    "sgn": _sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""What each value becomes."""

PARTS: Final[Mapping[str, Callable[[datetime], int]]] = {
    "day_of_month": lambda at: at.day,
    "day_of_week": lambda at: at.isoweekday() % 7,
    "day_of_year": lambda at: at.timetuple().tm_yday,
    "days_in_month": lambda at: calendar.monthrange(at.year, at.month)[1],
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "month": lambda at: at.month,
    "year": lambda at: at.year,
}
"""Parts of a moment in UTC."""


def changed(block: Block, change: Change) -> Block:
    """Return a vector with each value changed, without metrics' names."""
    return relabelled(Block(block.labels, change(block.values), block.present), unnamed)


def part(name: str, block: Block, budget: Budget) -> Block:
    """Return a part of the time that each value is, in seconds."""
    take = PARTS[name]

    def taken(seconds: float) -> float:
        try:
            return float(take(datetime.fromtimestamp(math.trunc(seconds), UTC)))
        except (ValueError, OverflowError, OSError):  # beyond the calendar
            return math.nan

    flat = [taken(value) for value in budget.each(block.values.ravel().tolist())]
    return changed(block, lambda values: np.array(flat, dtype=np.float64).reshape(values.shape))


def clamped(block: Block, low: Floats, high: Floats) -> Block:
    """Return a vector held between two bounds; no rows where they are crossed."""
    bounded = Block(
        block.labels,
        np.maximum(low, np.minimum(high, block.values)),
        block.present & ~(low > high),
    )
    return relabelled(bounded, unnamed)


def rounded(block: Block, nearest: Floats) -> Block:
    """Return a vector rounded to multiples, halves upwards."""
    inverse = 1.0 / nearest
    return changed(block, lambda values: np.floor(values * inverse + 0.5) / inverse)


def scalar(block: Block) -> Floats:
    """Return the value of the only row at each step, else NaN."""
    count = block.present.sum(axis=0)
    total: Floats = np.where(block.present, block.values, 0.0).sum(axis=0)
    return np.where(count == 1, total, np.nan)


def ordered(block: Block, *, is_descending: bool) -> Block:
    """Return the rows in order of the last step's values, NaN last."""
    last = -block.values[:, -1] if is_descending else block.values[:, -1]
    order = np.argsort(last, kind="stable")
    return Block([block.labels[row] for row in order], block.values[order], block.present[order])
