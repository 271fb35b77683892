"""Calls of functions: arguments evaluated, then handed to the function of that name."""

from collections.abc import Callable
from typing import Final

import numpy as np

from analytics.promql import functions, relabelling, windowing
from analytics.promql.blocks import Block, joined, single
from analytics.promql.buckets import quantile_rows
from analytics.promql.nodes import Call, Node, Number, Selector, StringLiteral, bare
from analytics.promql.selecting import Grid, newest, windows
from analytics.promql.series import NAME, Floats, Labels, Mask, MatchOperator, labelled

Value = Block | Floats | str
"""A vector, a number or a string, at every step."""
Evaluate = Callable[[Node, Grid], Value]

CHANGES: Final = frozenset({"delta", "increase", "rate"})
"""Functions that stretch a change to the edges of their window."""
LAST_TWO: Final = frozenset({"idelta", "irate"})
"""Functions of the last two samples."""


def called(node: Call, grid: Grid, evaluate: Evaluate) -> Value:
    """Return what a function makes of its arguments."""
    name = node.function
    if any(_is_range(argument) for argument in node.arguments):
        return _of_range(node, grid, evaluate)
    if name in functions.VALUES:
        return functions.changed(_vector(evaluate(node.arguments[0], grid)), functions.VALUES[name])
    if name in functions.PARTS:
        block = single(_now(grid))
        if node.arguments:
            block = _vector(evaluate(node.arguments[0], grid))
        return functions.part(name, block, grid.budget)
    return SPECIAL[name](node, grid, evaluate)


def absence(node: Node, present: Block) -> Block:
    """Return one row, where nothing is present, with the labels that a selector asks for."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in node.matchers if isinstance(node, Selector) else ():
        if matcher.name == NAME:
            continue
        if matcher.sign is MatchOperator.EQUAL and matcher.name not in seen:
            found[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            found.pop(matcher.name, None)
    labels: Labels = labelled(found)
    missing: Mask = present.present.sum(axis=0) == 0
    return Block((labels,), np.ones((1, len(missing))), missing.reshape(1, -1))


def _is_range(node: Node) -> bool:
    inner = bare(node)
    return isinstance(inner, Selector) and inner.range_ms > 0


def _of_range(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    name = node.function
    argument = next(one for one in node.arguments if _is_range(one))
    selector = bare(argument)
    assert isinstance(selector, Selector), "a range is read by a selector"
    found = windows(selector, grid)
    has_any = found.high > found.low
    if name == "absent_over_time":
        return absence(selector, Block(found.labels, windowing.counted(found), has_any))
    if name in CHANGES:
        rated = windowing.extrapolated(
            found, grid.dialect, is_counter=name != "delta", is_rate=name == "rate"
        )
    elif name in LAST_TWO:
        is_rate = name == "irate"
        rated = windowing.instantaneous(found, is_counter=is_rate, is_rate=is_rate)
    elif name == "deriv":
        rated = (windowing.slopes(found), windowing.counted(found) >= 2)
    elif name == "predict_linear":
        ahead = _number(evaluate(node.arguments[1], grid))
        values = windowing.predicted(found, selector.offset_ms, ahead)
        rated = (values, windowing.counted(found) >= 2)
    elif name == "quantile_over_time":
        shares = _number(evaluate(node.arguments[0], grid))
        rated = (windowing.quantiles(found, shares), has_any)
    else:
        rated = (windowing.PLAIN[name](found), has_any)
    return joined(windowing.block(found, name, rated))


def _vector(value: Value) -> Block:
    assert isinstance(value, Block), "the parser checks types"
    return value


def _number(value: Value) -> Floats:
    assert isinstance(value, np.ndarray), "the parser checks types"
    return value


def _text(node: Node) -> str:
    inner = bare(node)
    assert isinstance(inner, StringLiteral), "the parser checks types"
    return inner.value


def _now(grid: Grid) -> Floats:
    seconds: Floats = grid.times / 1000.0
    return seconds


def _timestamp(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    inner = bare(node.arguments[0])
    if isinstance(inner, Selector):
        block, times = newest(inner, grid)
    else:
        block = _vector(evaluate(inner, grid))
        times = np.broadcast_to(_now(grid), block.values.shape)
    return functions.changed(block, lambda _: times)


def _absent(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    return absence(bare(node.arguments[0]), _vector(evaluate(node.arguments[0], grid)))


def _clamp(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    block = _vector(evaluate(node.arguments[0], grid))
    bounds = [_number(evaluate(one, grid)) for one in node.arguments[1:]]
    if node.function == "clamp":
        return functions.clamped(block, bounds[0], bounds[1])
    choose = np.minimum if node.function == "clamp_max" else np.maximum
    return functions.changed(block, lambda values: choose(values, bounds[0]))


def _round(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    nearest = evaluate(node.arguments[1] if len(node.arguments) > 1 else Number(1.0), grid)
    return functions.rounded(_vector(evaluate(node.arguments[0], grid)), _number(nearest))


def _sort(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    block = _vector(evaluate(node.arguments[0], grid))
    return functions.ordered(block, is_descending=node.function == "sort_desc")


def _label_replace(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    block = _vector(evaluate(node.arguments[0], grid))
    target, template, source, pattern = map(_text, node.arguments[1:])
    change = relabelling.Replacement(target, template, source, pattern)
    return relabelling.replaced(block, change, grid.budget)


def _label_join(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    block = _vector(evaluate(node.arguments[0], grid))
    target, separator, *sources = map(_text, node.arguments[1:])
    return relabelling.joined_labels(block, target, separator, tuple(sources), budget=grid.budget)


def _histogram_quantile(node: Call, grid: Grid, evaluate: Evaluate) -> Block:
    shares = _number(evaluate(node.arguments[0], grid))
    block = _vector(evaluate(node.arguments[1], grid))
    return quantile_rows(block, node.arguments[1], shares, grid)


SPECIAL: Final[dict[str, Callable[[Call, Grid, Evaluate], Value]]] = {
    "absent": _absent,
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "histogram_quantile": _histogram_quantile,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "pi": lambda _, grid, __: np.full(len(grid.times), np.pi),
    "round": _round,
    "scalar": lambda node, grid, evaluate: functions.scalar(
        _vector(evaluate(node.arguments[0], grid))
    ),
    "sort": _sort,
    "sort_desc": _sort,
    "time": lambda _, grid, __: _now(grid),
    "timestamp": _timestamp,
    "vector": lambda node, grid, evaluate: single(_number(evaluate(node.arguments[0], grid))),
}
"""Functions that are neither of ranges, nor of each value, nor of dates."""
