"""Functions of ranges: what the samples of a window come to.

Sums over windows are taken by `reduceat` over all series and steps at once; what has no such form
(regression, quantiles, deviations) goes window by window. Source: Prometheus' `promql/functions.go`
(extrapolatedRate, instantValue, linearRegression and the `_over_time` family).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Final

import numpy as np

from analytics.promql.blocks import Block
from analytics.promql.budget import SAMPLES_A_LOOK, Budget
from analytics.promql.quantiles import quantile
from analytics.promql.selecting import Dialect, Windows
from analytics.promql.series import Floats, Mask, Times, unnamed

Numbers = Callable[[Windows], Floats]
"""A function of every window that has a sample; the shape is series times steps."""

_WHOLE_MAX: Final = 2.0**53
"""Up to which every whole number is one."""
_THRESHOLD: Final = 1.1
"""How many times the usual distance between samples a gap at an edge may be."""


def counted(windows: Windows) -> Floats:
    """Return how many samples each window has."""
    return (windows.high - windows.low).astype(np.float64)


def _reduced(ufunc: np.ufunc, values: Floats, low: Times, high: Times, *, budget: Budget) -> Floats:
    """Reduce `values[low:high]` of every window; where that is empty, the result is meaningless."""
    starts, ends = low.ravel(), np.maximum(high, low).ravel()
    padded, reduced = np.append(values, 0.0), np.zeros(starts.shape)
    for some in _portions(ends - starts, budget):
        bounds = np.stack([starts[some], ends[some]], axis=1).ravel()
        within = padded[: int(bounds.max()) + 1]
        reduced[some] = ufunc.reduceat(within, bounds)[::2]
    return reduced.reshape(low.shape)


def _portions(sizes: Times, budget: Budget) -> Iterator[slice]:
    """Yield windows that follow each other, as many as may be gone through between two looks."""
    if not len(sizes):
        return
    through = np.cumsum(sizes + 1)
    wanted = np.arange(SAMPLES_A_LOOK, through[-1], SAMPLES_A_LOOK)
    cuts = np.unique([0, *np.searchsorted(through, wanted), len(sizes)]).tolist()
    for start, end in pairwise(cuts):
        budget.look()
        yield slice(start, end)


def _sum(windows: Windows) -> Floats:
    """Add up each window without what rounding loses, as Prometheus' Kahan sums do."""
    budget = windows.budget
    plain = _reduced(np.add, windows.values, windows.low, windows.high, budget=budget)
    values = windows.values
    if not len(values) or _is_exact(values):
        return plain
    found, listed = plain.copy(), values.tolist()
    places = np.argwhere((windows.high > windows.low) & np.isfinite(plain))
    for row, step in budget.each(places):
        low, high = int(windows.low[row, step]), int(windows.high[row, step])
        budget.gone_through(high - low)
        with suppress(OverflowError):  # beyond all numbers on the way; what it was stays
            found[row, step] = math.fsum(listed[low:high])
    return found


def _extreme(ufunc: np.ufunc, windows: Windows) -> Floats:
    return _reduced(ufunc, windows.values, windows.low, windows.high, budget=windows.budget)


def _is_exact(values: Floats) -> bool:
    """Say whether no sum of these loses anything: they are whole, and not many or large."""
    whole = bool((values == np.rint(values)).all())
    return whole and float(np.abs(values).sum()) < _WHOLE_MAX


def _mean(windows: Windows) -> Floats:
    count = np.maximum(counted(windows), 1)
    mean: Floats = _sum(windows) / count
    large = np.isinf(mean)
    if large.any():  # a sum beyond all numbers, though the mean may not be
        mean = np.where(large, _each(_scaled_mean)(windows), mean)
    return mean


def _added(values: Floats) -> float:
    """Return a sum that loses nothing by rounding on the way."""
    return math.fsum(values) if np.isfinite(values).all() else float(values.sum())


def _scaled_mean(_: Floats, values: Floats, __: float) -> float:
    return _added(values / len(values))


def _at(windows: Windows, index: Times) -> Floats:
    """Return the values at indices that may lie outside where a window is empty."""
    if not len(windows.values):
        return np.zeros(index.shape)
    found: Floats = windows.values[np.clip(index, 0, len(windows.values) - 1)]
    return found


def _time(windows: Windows, index: Times) -> Floats:
    if not len(windows.times):
        return np.zeros(index.shape)
    found: Floats = windows.times[np.clip(index, 0, len(windows.times) - 1)].astype(np.float64)
    return found


def _steps(windows: Windows, happened: Callable[[Floats, Floats], Floats]) -> Floats:
    """Sum over a window's pairs of neighbours what `happened` between them."""
    values = windows.values
    between = np.zeros(len(values))
    if len(values) > 1:
        between[1:] = happened(values[:-1], values[1:])
    low = np.minimum(windows.low + 1, windows.high)
    total = _reduced(np.add, between, low, windows.high, budget=windows.budget)
    found: Floats = np.where(windows.high > low, total, 0.0)
    return found


def _change(before: Floats, after: Floats) -> Floats:
    both_nan = np.isnan(before) & np.isnan(after)
    return np.where((before != after) & ~both_nan, 1.0, 0.0)


def _reset(before: Floats, after: Floats) -> Floats:
    return np.where(after < before, 1.0, 0.0)


def _lost(before: Floats, after: Floats) -> Floats:
    return np.where(after < before, before, 0.0)


def extrapolated(
    windows: Windows, dialect: Dialect, *, is_counter: bool, is_rate: bool
) -> tuple[Floats, Mask]:
    """Return the change over each window, stretched to its edges, and where there is one."""
    first, last = windows.low, windows.high - 1
    count = counted(windows)
    first_value = _at(windows, first)
    result = _at(windows, last) - first_value
    if is_counter:
        result = result + _steps(windows, _lost)
    sampled = (_time(windows, last) - _time(windows, first)) / 1000
    usual = sampled / np.maximum(count - 1, 1)
    to_start = (_time(windows, first) - (windows.ends - windows.range_ms)) / 1000
    to_end = (windows.ends - _time(windows, last)) / 1000
    if is_counter and dialect is Dialect.TWO:
        to_start = _above_zero(to_start, sampled, first_value, result)
    to_start = np.where(to_start < usual * _THRESHOLD, to_start, usual / 2)
    if is_counter and dialect is Dialect.THREE:
        to_start = _above_zero(to_start, sampled, first_value, result)
    to_end = np.where(to_end < usual * _THRESHOLD, to_end, usual / 2)
    factor = (sampled + to_start + to_end) / sampled
    if is_rate:
        factor = factor / (windows.range_ms / 1000)
    return result * factor, count >= 2


def _above_zero(to_start: Floats, sampled: Floats, first: Floats, result: Floats) -> Floats:
    """Shorten the way back to where a counter would be zero."""
    to_zero = sampled * (first / result)
    nearer: Floats = np.where((result > 0) & (first >= 0) & (to_zero < to_start), to_zero, to_start)
    return nearer


def instantaneous(windows: Windows, *, is_counter: bool, is_rate: bool) -> tuple[Floats, Mask]:
    """Return the change between the last two samples of each window, and where there is one."""
    last = windows.high - 1
    before, after = _at(windows, last - 1), _at(windows, last)
    result = after - before
    if is_counter:
        result = np.where(after < before, after, result)
    apart = (_time(windows, last) - _time(windows, last - 1)) / 1000
    has_two = (counted(windows) >= 2) & (apart > 0)
    return (result / apart if is_rate else result), has_two


def _through(windows: Windows, row: int, step: int) -> slice:
    """Return where the samples of a window are, which are about to be gone through."""
    low, high = int(windows.low[row, step]), int(windows.high[row, step])
    windows.budget.gone_through(high - low)
    return slice(low, high)


def _each(function: Callable[[Floats, Floats, float], float]) -> Numbers:
    """Lift a function of seconds, values and the window's end to every window."""

    def lifted(windows: Windows) -> Floats:
        found = np.zeros(windows.low.shape)
        for row, step in windows.budget.each(np.argwhere(windows.high > windows.low)):
            part = _through(windows, row, step)
            end_ms = float(windows.ends[step])
            seconds = windows.times[part] / 1000.0
            found[row, step] = function(seconds, windows.values[part], end_ms / 1000.0)
        return found

    return lifted


def regression(seconds: Floats, values: Floats, at: float) -> tuple[float, float]:
    """Return the slope of the line of least squares, and its value `at` a time."""
    if len(values) < 2:
        return np.nan, np.nan
    if (values == values[0]).all():
        finite = np.isfinite(values[0])
        return (0.0, float(values[0])) if finite else (np.nan, np.nan)
    x = seconds - at
    x_mean, y_mean = _added(x) / len(x), _added(values) / len(values)
    slope = _added((x - x_mean) * (values - y_mean)) / _added((x - x_mean) ** 2)
    return float(slope), float(y_mean - slope * x_mean)


def slopes(windows: Windows) -> Floats:
    """Return the slope of the samples of each window, a second."""
    return _each(lambda seconds, values, _: regression(seconds, values, float(seconds[0]))[0])(
        windows
    )


def predicted(windows: Windows, offset_ms: int, ahead: Floats) -> Floats:
    """Return where the line through each window's samples will be `ahead` seconds later."""
    found = np.zeros(windows.low.shape)
    for row, step in windows.budget.each(np.argwhere(windows.high > windows.low)):
        part = _through(windows, row, step)
        at = float(windows.ends[step] + offset_ms) / 1000.0
        slope, level = regression(windows.times[part] / 1000.0, windows.values[part], at)
        found[row, step] = slope * ahead[step] + level
    return found


def quantiles(windows: Windows, shares: Floats) -> Floats:
    """Return a quantile of the samples of each window, the share changing by step."""
    found = np.zeros(windows.low.shape)
    for row, step in windows.budget.each(np.argwhere(windows.high > windows.low)):
        values = windows.values[_through(windows, row, step)]
        found[row, step] = quantile(values, float(shares[step]))
    return found


PLAIN: Final[Mapping[str, Numbers]] = {
    "avg_over_time": _mean,
    "changes": lambda windows: _steps(windows, _change),
    "count_over_time": counted,
    "last_over_time": lambda windows: _at(windows, windows.high - 1),
    "max_over_time": lambda windows: _extreme(np.fmax, windows),
    "min_over_time": lambda windows: _extreme(np.fmin, windows),
    "present_over_time": lambda windows: np.ones(windows.low.shape),
    "resets": lambda windows: _steps(windows, _reset),
    "stddev_over_time": _each(lambda _, values, __: float(values.std())),
    "stdvar_over_time": _each(lambda _, values, __: float(values.var())),
    "sum_over_time": _sum,
}
"""Functions that take a range alone and answer for every window with a sample."""


def block(windows: Windows, name: str, found: tuple[Floats, Mask]) -> Block:
    """Return a vector of values where there are any; `last_over_time` keeps the metric's name."""
    values, present = found
    named = windows.labels
    labels = named if name == "last_over_time" else [unnamed(one) for one in named]
    return Block(labels, values, present)
