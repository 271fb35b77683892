"""Aggregations: many rows to one a group, or a group's highest and lowest rows.

Sums are compensated, by pairs in a tree (Knuth's two-sum), so that values far apart in size lose
nothing, as Prometheus' Kahan sums do not. Source: Prometheus' `promql/engine.go` (aggregation).
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from analytics.promql.blocks import Block, Groups, empty, groups
from analytics.promql.budget import Budget
from analytics.promql.errors import BadEvaluation
from analytics.promql.nodes import Grouping
from analytics.promql.quantiles import quantile
from analytics.promql.series import Floats, Times

Reduce = Callable[[Block, Groups], Floats]


def aggregated(
    operator: str, block: Block, grouping: Grouping, parameter: Floats | None, *, budget: Budget
) -> Block:
    """Return a row a group (`topk` and `bottomk`: the rows themselves)."""
    if parameter is not None and operator in {"topk", "bottomk"}:
        return _ranked(block, grouping, parameter, budget, is_top=operator == "topk")
    if not block.labels:
        return empty(block.values.shape[1])
    found = groups(block.labels, grouping)
    if parameter is not None:
        values = _quantiles(block, found, parameter, budget)
    else:
        values = _REDUCTIONS[operator](block, found)
    return Block(found.keys, values, _counted(block, found) > 0)


def _counted(block: Block, found: Groups) -> Floats:
    counts = np.zeros((len(found.keys), block.values.shape[1]))
    np.add.at(counts, found.of_row, block.present)
    return counts


def _added(block: Block, found: Groups) -> Floats:
    values = np.where(block.present, block.values, 0.0)
    order = np.argsort(found.of_row, kind="stable")
    group, high = found.of_row[order], values[order]
    lost = np.zeros(high.shape)
    while len(group) > len(found.keys):
        group, high, lost = _halved(group, high, lost)
    return np.where(np.isfinite(high) & np.isfinite(lost), high + lost, high)


def _halved(group: Times, high: Floats, lost: Floats) -> tuple[Times, Floats, Floats]:
    """Add every other row of a group to the one before it, and keep what rounding lost."""
    starts = np.searchsorted(group, group)
    is_first = (np.arange(len(group)) - starts) % 2 == 0
    second = np.flatnonzero(~is_first)
    first = second - 1
    total = high[first] + high[second]
    part = total - high[first]
    error = (high[first] - (total - part)) + (high[second] - part)
    high, lost = high.copy(), lost.copy()
    high[first] = total
    lost[first] += lost[second] + error
    return group[is_first], high[is_first], lost[is_first]


def _mean(block: Block, found: Groups) -> Floats:
    count = np.maximum(_counted(block, found), 1)
    mean = _added(block, found) / count
    if not np.isfinite(mean).all():  # a sum beyond all numbers, though the mean may not be
        parts = Block(block.labels, block.values / count[found.of_row], block.present)
        mean = np.where(np.isfinite(mean), mean, _added(parts, found))
    return mean


def _variance(block: Block, found: Groups) -> Floats:
    away = (block.values - _mean(block, found)[found.of_row]) ** 2
    return _mean(Block(block.labels, away, block.present), found)


def _extreme(ufunc: np.ufunc) -> Reduce:
    def reduced(block: Block, found: Groups) -> Floats:
        held = np.full((len(found.keys), block.values.shape[1]), np.nan)
        ufunc.at(held, found.of_row, np.where(block.present, block.values, np.nan))
        return held

    return reduced


def _ones(block: Block, found: Groups) -> Floats:
    return np.ones((len(found.keys), block.values.shape[1]))


_REDUCTIONS: Final[Mapping[str, Reduce]] = {
    "avg": _mean,
    "count": _counted,
    "group": _ones,
    "max": _extreme(np.fmax),
    "min": _extreme(np.fmin),
    "stddev": lambda block, found: np.sqrt(_variance(block, found)),
    "stdvar": _variance,
    "sum": _added,
}


def _members(found: Groups) -> list[Times]:
    order = np.argsort(found.of_row, kind="stable")
    bounds = np.searchsorted(found.of_row[order], np.arange(1, len(found.keys)))
    return np.split(order, bounds)


def _quantiles(block: Block, found: Groups, shares: Floats, budget: Budget) -> Floats:
    values = np.zeros((len(found.keys), block.values.shape[1]))
    for number, rows in enumerate(_members(found)):
        for step, share in enumerate(budget.each(shares)):
            held = block.values[rows, step][block.present[rows, step]]
            values[number, step] = quantile(held, float(share))
    return values


def _ranked(
    block: Block, grouping: Grouping, numbers: Floats, budget: Budget, *, is_top: bool
) -> Block:
    if np.isnan(numbers).any():
        raise BadEvaluation("how many rows to keep is NaN; write a number")
    if not block.labels:
        return block
    keep = np.zeros(block.present.shape, dtype=np.bool_)
    order: list[int] = []
    for rows in budget.each(_members(groups(block.labels, grouping))):
        keys = -block.values[rows] if is_top else block.values[rows]
        keys = np.where(np.isnan(keys), np.inf, keys)
        missing = ~block.present[rows]
        ranked = np.lexsort((np.isnan(block.values[rows]), keys, missing), axis=0)
        place = np.empty_like(ranked)
        np.put_along_axis(place, ranked, np.arange(len(rows)).reshape(-1, 1), axis=0)
        keep[rows] = (place < np.minimum(numbers, len(rows)).astype(np.int64)) & ~missing
        order += rows[ranked[:, -1]].tolist()
    return Block([block.labels[row] for row in order], block.values[order], keep[order])
