"""`histogram_quantile`: over classic buckets, one series each `le`, and over our sketches.

Sketches are read where the argument is a selector, a `sum` of one, or `rate`, `increase` or
`sum_over_time` of its range; merging adds counts, so a rate has the quantiles of its window. In a
series each sketch counts the values since the one before. Elsewhere sketches are not seen.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from analytics.measures import sketch
from analytics.promql.blocks import Block, empty, joined, key_of, stacked
from analytics.promql.budget import Budget
from analytics.promql.nodes import Aggregation, Call, Node, Selector, bare
from analytics.promql.quantiles import of_buckets, of_sketch
from analytics.promql.selecting import Grid, bounds
from analytics.promql.series import NAME, Floats, Labels, SketchStorage, dropped, unnamed, value_of

LE: Final = "le"
"""The label with a bucket's upper bound."""
_MERGING: Final = frozenset({"rate", "increase", "sum_over_time"})
_ASIDE: Final = frozenset({NAME, LE})

Merged = dict[Labels, list[sketch.Counts]]
"""The counts of each label set at each step; an empty one is no sample."""


def quantile_rows(block: Block, node: Node, shares: Floats, grid: Grid) -> Block:
    """Return a quantile of every histogram: in `block` or read by `node`."""
    sketched = _of_sketches(_merged(node, grid), shares, grid.budget)
    return stacked(_of_buckets(block, shares, grid.budget), sketched)


def _of_buckets(block: Block, shares: Floats, budget: Budget) -> Block:
    histograms: dict[Labels, list[tuple[float, int]]] = {}
    for row, labels in enumerate(block.labels):
        bound = _bound(value_of(labels, LE))
        if bound is not None:
            histograms.setdefault(dropped(labels, _ASIDE), []).append((bound, row))
    values = np.zeros((len(histograms), len(shares)))
    present = np.zeros(values.shape, dtype=np.bool_)
    for number, members in enumerate(histograms.values()):
        for step, share in enumerate(budget.each(shares)):
            held = [
                (bound, float(block.values[row, step]))
                for bound, row in members
                if block.present[row, step]
            ]
            if held:
                values[number, step] = of_buckets(held, float(share))
                present[number, step] = True
    return joined(Block(list(histograms), values, present))


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _of_sketches(merged: Merged, shares: Floats, budget: Budget) -> Block:
    if not merged:
        return empty(len(shares))
    values = [
        [
            of_sketch(counts, float(share))
            for counts, share in zip(budget.each(steps), shares, strict=True)
        ]
        for steps in merged.values()
    ]
    present = [[bool(counts) for counts in steps] for steps in merged.values()]
    labels = [unnamed(one) for one in merged]
    return joined(Block(labels, np.array(values), np.array(present, dtype=np.bool_)))


def _merged(node: Node, grid: Grid) -> Merged:
    match bare(node):
        case Selector() as selector if not selector.range_ms:
            return _selected(selector, grid, is_newest=True)
        case Call(function, arguments) if function in _MERGING:
            inner = bare(arguments[0])
            assert isinstance(inner, Selector), "these functions take a range"
            found = _selected(inner, grid, is_newest=False)
            return _regrouped(found, {labels: unnamed(labels) for labels in found}, grid.budget)
        case Aggregation(operator="sum") as aggregation:
            found = _merged(aggregation.operand, grid)
            key = key_of(aggregation.grouping)
            return _regrouped(found, {labels: key(labels) for labels in found}, grid.budget)
    return {}


def _regrouped(found: Merged, keys: Mapping[Labels, Labels], budget: Budget) -> Merged:
    merged: Merged = {}
    for labels, steps in found.items():
        held = merged.setdefault(keys[labels], [{} for _ in steps])
        for into, counts in zip(held, budget.each(steps), strict=True):
            sketch.merge(into, counts)
    return merged


def _selected(selector: Selector, grid: Grid, *, is_newest: bool) -> Merged:
    if not isinstance(grid.storage, SketchStorage):
        return {}
    begins, ends = bounds(selector, grid.times, grid.dialect)
    found: Merged = {}
    matchers = grid.budget.watched(selector.matchers)
    series = grid.storage.select_sketches(matchers, int(begins[0]), int(ends[-1]))
    for one in series:
        grid.budget.take(1, len(ends))
        low = np.searchsorted(one.times, begins)
        high = np.searchsorted(one.times, ends, side="right")
        if is_newest:
            low = np.maximum(low, high - 1)
        steps = found.setdefault(one.labels, [{} for _ in ends])
        for into, first, last in zip(steps, low.tolist(), high.tolist(), strict=True):
            for counts in grid.budget.each(one.counts[first:last]):
                sketch.merge(into, counts)
    return found
