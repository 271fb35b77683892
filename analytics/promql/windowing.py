"""Functions of ranges: what the samples of a window come to.

Sums over windows are taken by `reduceat` over all series and steps at once; what has no such form
(regression, quantiles, deviations) goes window by window. Source: Prometheus' `promql/functions.go`
(extrapolatedRate, instantValue, linearRegression and the `_over_time` family).
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from analytics.promql.blocks import Block
from analytics.promql.quantiles import quantile
from analytics.promql.selecting import Dialect, Windows
from analytics.promql.series import Floats, Mask, Times, unnamed

Numbers = Callable[[Windows], Floats]
"""A function of every window that has a sample; the shape is series times steps."""

_THRESHOLD: Final = 1.1
"""How many times the usual distance between samples a gap at an edge may be."""


def counted(windows: Windows) -> Floats:
    """Return how many samples each window has."""
    return (windows.high - windows.low).astype(np.float64)


def _reduced(ufunc: np.ufunc, values: Floats, low: Times, high: Times) -> Floats:
    """Reduce `values[low:high]` of every window; where that is empty, the result is meaningless."""
    if not low.size:
        return np.zeros(low.shape)
    padded = np.append(values, 0.0)
    bounds = np.stack([low.ravel(), np.maximum(high, low).ravel()], axis=1).ravel()
    reduced: Floats = ufunc.reduceat(padded, bounds)[::2].reshape(low.shape)
    return reduced


def _sum(windows: Windows) -> Floats:
    return _reduced(np.add, windows.values, windows.low, windows.high)


def _mean(windows: Windows) -> Floats:
    count = np.maximum(counted(windows), 1)
    mean: Floats = _sum(windows) / count
    large = np.isinf(mean)
    if large.any():  # a sum beyond all numbers, though the mean may not be
        mean = np.where(large, _each(_scaled_mean)(windows), mean)
    return mean


def _scaled_mean(_: Floats, values: Floats, __: float) -> float:
    return float((values / len(values)).sum())


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
    total = _reduced(np.add, between, low, windows.high)
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


def _each(function: Callable[[Floats, Floats, float], float]) -> Numbers:
    """Lift a function of seconds, values and the window's end to every window."""

    def lifted(windows: Windows) -> Floats:
        found = np.zeros(windows.low.shape)
        for row, step in np.argwhere(windows.high > windows.low):
            part = slice(windows.low[row, step], windows.high[row, step])
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
    x_mean, y_mean = x.mean(), values.mean()
    slope = ((x - x_mean) * (values - y_mean)).sum() / ((x - x_mean) ** 2).sum()
    return float(slope), float(y_mean - slope * x_mean)


def slopes(windows: Windows) -> Floats:
    """Return the slope of the samples of each window, a second."""
    return _each(lambda seconds, values, _: regression(seconds, values, float(seconds[0]))[0])(
        windows
    )


def predicted(windows: Windows, offset_ms: int, ahead: Floats) -> Floats:
    """Return where the line through each window's samples will be `ahead` seconds later."""
    found = np.zeros(windows.low.shape)
    for row, step in np.argwhere(windows.high > windows.low):
        part = slice(windows.low[row, step], windows.high[row, step])
        at = float(windows.ends[step] + offset_ms) / 1000.0
        slope, level = regression(windows.times[part] / 1000.0, windows.values[part], at)
        found[row, step] = slope * ahead[step] + level
    return found


def quantiles(windows: Windows, shares: Floats) -> Floats:
    """Return a quantile of the samples of each window, the share changing by step."""
    found = np.zeros(windows.low.shape)
    for row, step in np.argwhere(windows.high > windows.low):
        values = windows.values[windows.low[row, step] : windows.high[row, step]]
        found[row, step] = quantile(values, float(shares[step]))
    return found


PLAIN: Final[Mapping[str, Numbers]] = {
    "avg_over_time": _mean,
    "changes": lambda windows: _steps(windows, _change),
    "count_over_time": counted,
    "last_over_time": lambda windows: _at(windows, windows.high - 1),
    "max_over_time": lambda windows: _reduced(np.fmax, windows.values, windows.low, windows.high),
    "min_over_time": lambda windows: _reduced(np.fmin, windows.values, windows.low, windows.high),
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
