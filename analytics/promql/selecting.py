"""Samples read for selectors: the newest at each step, and the windows before each step.

All series lie behind each other in one array, so one search finds the bounds of every window of
every series. A moment's sample is the newest within `LOOKBACK_MS` unless that ends the series; a
window leaves such ends out. Source: Prometheus' `promql/engine.go` (vectorSelectorSingle,
matrixIterSlice).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import numpy as np
from msgspec import Struct

from analytics.promql.blocks import Block, empty
from analytics.promql.budget import Budget
from analytics.promql.nodes import Selector
from analytics.promql.series import Floats, Labels, Series, Storage, Times, is_stale

LOOKBACK_MS: Final = 300_000
"""How old the newest sample of a series may be."""


class Dialect(StrEnum):
    """What changed from Prometheus 2 to 3: whether a window holds its left edge."""

    TWO = "2"
    """Windows and the lookback hold both edges."""
    THREE = "3"
    """They leave their left edge out; a counter is not extrapolated below zero."""


class Grid(Struct, frozen=True, eq=False):
    """The moments of an evaluation, and what it reads from."""

    storage: Storage
    times: Times
    dialect: Dialect
    budget: Budget


class Windows(Struct, frozen=True, eq=False):
    """The samples of every series, and the part of them in each window: `[low, high)`."""

    labels: Sequence[Labels]
    times: Times
    values: Floats
    low: Times
    high: Times
    ends: Times
    """When the window of each step ends; the offset is taken off."""
    range_ms: int
    budget: Budget


class _Flat(Struct, frozen=True, eq=False):
    labels: Sequence[Labels]
    times: Times
    values: Floats
    starts: Times
    keys: Times
    origin_ms: int
    span_ms: int

    def index(self, at: Times) -> Times:
        """Return, of each series, how many samples of all are before each of the moments."""
        rows = np.arange(len(self.labels), dtype=np.int64).reshape(-1, 1) * self.span_ms
        found: Times = np.searchsorted(self.keys, rows + (at - self.origin_ms)).astype(np.int64)
        return found


def bounds(selector: Selector, times: Times, dialect: Dialect) -> tuple[Times, Times]:
    """Return the first and the last moment that a selector looks at for each step."""
    ends = times - selector.offset_ms
    begins = ends - (selector.range_ms or LOOKBACK_MS) + (1 if dialect is Dialect.THREE else 0)
    return begins, ends


def newest(selector: Selector, grid: Grid) -> tuple[Block, Floats]:
    """Return the newest samples at each step, and when they were, in seconds."""
    oldest, at = bounds(selector, grid.times, grid.dialect)
    flat = _read(selector, grid, int(oldest[0]), int(at[-1]))
    grid.budget.take(len(flat.labels), len(at))
    if not len(flat.times):
        return empty(len(at)), np.zeros((0, len(at)))
    found = flat.index(at + 1) - 1
    is_there = found >= flat.starts.reshape(-1, 1)
    found = np.maximum(found, 0)
    values, times = flat.values[found], flat.times[found]
    present = is_there & (times >= oldest) & ~is_stale(flat.values)[found]
    return Block(flat.labels, values, present), times / 1000.0


def windows(selector: Selector, grid: Grid) -> Windows:
    """Return the samples of the range before each step."""
    begins, ends = bounds(selector, grid.times, grid.dialect)
    flat = _read(selector, grid, int(begins[0]), int(ends[-1]), without_stale=True)
    grid.budget.take(len(flat.labels), len(ends))
    return Windows(
        labels=flat.labels,
        times=flat.times,
        values=flat.values,
        low=flat.index(begins),
        high=flat.index(ends + 1),
        ends=ends,
        range_ms=selector.range_ms,
        budget=grid.budget,
    )


def _read(
    selector: Selector, grid: Grid, from_ms: int, to_ms: int, *, without_stale: bool = False
) -> _Flat:
    matchers = grid.budget.watched(selector.matchers)
    series: Sequence[Series] = grid.storage.select(matchers, from_ms, to_ms)
    lengths = np.array([len(one.times) for one in series], dtype=np.int64)
    grid.budget.take(1, int(lengths.sum()))
    row = np.repeat(np.arange(len(series), dtype=np.int64), lengths)
    times = _end_to_end([one.times for one in series]).astype(np.int64)
    values = _end_to_end([one.values for one in series])
    keep = (times >= from_ms) & (times <= to_ms)
    if without_stale:
        keep &= ~is_stale(values)
    if not keep.all():
        row, times, values = row[keep], times[keep], values[keep]
    span_ms = to_ms - from_ms + 2
    return _Flat(
        labels=[one.labels for one in series],
        times=times,
        values=values,
        starts=np.searchsorted(row, np.arange(len(series))).astype(np.int64),
        keys=row * span_ms + (times - from_ms),
        origin_ms=from_ms,
        span_ms=span_ms,
    )


def _end_to_end(parts: Sequence[Times] | Sequence[Floats]) -> Floats:
    if not parts:
        return np.zeros(0)
    whole: Floats = np.concatenate(parts)
    return whole
