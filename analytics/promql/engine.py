"""Expressions evaluated at a moment or at every step of a range, as Prometheus does.

A range is evaluated at all steps at once; its answer at each step equals an instant's there. The
answer depends on the storage and the arguments only: nothing is kept between calls. Source:
Prometheus' `promql/engine.go`; `Dialect` says which of its generations.
"""

from typing import Final

import numpy as np

from analytics.promql.aggregating import aggregated
from analytics.promql.blocks import Block
from analytics.promql.budget import Budget
from analytics.promql.calls import Value, called
from analytics.promql.errors import BadEvaluation
from analytics.promql.functions import changed
from analytics.promql.matching import OPERATIONS, combined, matched, scaled
from analytics.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Selector,
    StringLiteral,
    Wrapped,
    bare,
)
from analytics.promql.parsing import Expression
from analytics.promql.selecting import Dialect, Grid, newest, windows
from analytics.promql.series import InstantPoint, Matrix, Series, Storage, Times, Vector
from analytics.promql.subset import SETS

__all__ = ["STEPS_MAX", "Dialect", "Result", "check_steps", "instant", "ranged"]

STEPS_MAX: Final = 11_000
"""How many steps a range may have, as in Prometheus' API."""

Result = Vector | Matrix | float | str
"""A row a series, the samples of a range selector, a scalar or a string."""


def instant(
    expression: Expression,
    storage: Storage,
    at_ms: int,
    *,
    dialect: Dialect = Dialect.THREE,
    budget: Budget | None = None,
) -> Result:
    """Return what an expression comes to at a moment; raise `BadEvaluation`."""
    grid = Grid(storage, np.array([at_ms], dtype=np.int64), dialect, budget or Budget())
    inner = bare(expression.node)
    if isinstance(inner, Selector) and inner.range_ms:
        return _samples(inner, grid)
    with np.errstate(all="ignore"):
        value = _evaluated(expression.node, grid)
    if isinstance(value, str):
        return value
    if isinstance(value, Block):
        return _vector(value)
    return float(value[0])


def ranged(
    expression: Expression,
    storage: Storage,
    start_ms: int,
    end_ms: int,
    *,
    step_ms: int,
    dialect: Dialect = Dialect.THREE,
    budget: Budget | None = None,
) -> Matrix:
    """Return what an expression comes to at every step, both ends included, series by labels."""
    grid = Grid(storage, _steps(start_ms, end_ms, step_ms), dialect, budget or Budget())
    inner = bare(expression.node)
    if isinstance(inner, StringLiteral) or (isinstance(inner, Selector) and inner.range_ms):
        raise BadEvaluation("only a scalar or a vector has a value at every step of a range")
    with np.errstate(all="ignore"):
        value = _evaluated(expression.node, grid)
    assert not isinstance(value, str), "strings are refused above"
    if isinstance(value, Block):
        return _matrix(value, grid.times)
    return (Series((), grid.times, value),)


def check_steps(start_ms: int, end_ms: int, step_ms: int) -> None:
    """Refuse a range that has no steps, or too many; raise `BadEvaluation`."""
    if step_ms <= 0 or end_ms < start_ms:
        raise BadEvaluation(
            f"no steps of {step_ms} ms from {start_ms} to {end_ms}; the end comes after the start"
        )
    if (end_ms - start_ms) // step_ms >= STEPS_MAX:
        raise BadEvaluation(f"more than {STEPS_MAX} steps; take a longer step or a shorter range")


def _steps(start_ms: int, end_ms: int, step_ms: int) -> Times:
    check_steps(start_ms, end_ms, step_ms)
    return np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)


def _evaluated(node: Node, grid: Grid) -> Value:
    grid.budget.turn()
    match node:
        case Wrapped(inner):
            return _evaluated(inner, grid)
        case Number(number):
            return np.full(len(grid.times), number)
        case StringLiteral(text):
            return text
        case Selector():
            return newest(node, grid)[0]
        case Negation(operand):
            value = _evaluated(operand, grid)
            assert not isinstance(value, str), "the parser checks types"
            return changed(value, np.negative) if isinstance(value, Block) else np.negative(value)
        case Aggregation():
            return _taken(_aggregated(node, grid), grid)
        case Binary():
            return _taken(_operated(node, grid), grid)
        case Call():
            return _taken(called(node, grid, _evaluated), grid)


def _taken(value: Value, grid: Grid) -> Value:
    if isinstance(value, Block):
        grid.budget.take(len(value.labels), len(grid.times))
    return value


def _aggregated(node: Aggregation, grid: Grid) -> Block:
    block = _evaluated(node.operand, grid)
    assert isinstance(block, Block), "the parser checks types"
    parameter = None
    if node.parameter is not None:
        value = _evaluated(node.parameter, grid)
        assert isinstance(value, np.ndarray), "the parser checks types"
        parameter = value
    return aggregated(node.operator, block, node.grouping, parameter, budget=grid.budget)


def _operated(node: Binary, grid: Grid) -> Value:
    left, right = _evaluated(node.left, grid), _evaluated(node.right, grid)
    assert not isinstance(left, str), "the parser checks types"
    assert not isinstance(right, str), "the parser checks types"
    if isinstance(left, Block) and isinstance(right, Block):
        grid.budget.take(len(left.labels) + len(right.labels), len(grid.times))
        if node.operator in SETS:
            return combined(left, right, node)
        return matched(left, right, node, grid.budget)
    if isinstance(left, Block):
        assert isinstance(right, np.ndarray)
        return scaled(left, right, node, is_left=False)
    if isinstance(right, Block):
        return scaled(right, left, node, is_left=True)
    return OPERATIONS[node.operator](left, right).astype(np.float64)


def _vector(block: Block) -> Vector:
    return tuple(
        InstantPoint(labels, value)
        for labels, value, is_there in zip(
            block.labels, block.values[:, 0].tolist(), block.present[:, 0].tolist(), strict=True
        )
        if is_there
    )


def _matrix(block: Block, times: Times) -> Matrix:
    order = sorted(range(len(block.labels)), key=block.labels.__getitem__)
    return tuple(
        Series(block.labels[row], times[block.present[row]], block.values[row, block.present[row]])
        for row in order
        if block.present[row].any()
    )


def _samples(selector: Selector, grid: Grid) -> Matrix:
    found = windows(selector, grid)
    parts = zip(found.labels, found.low[:, 0].tolist(), found.high[:, 0].tolist(), strict=True)
    return tuple(
        Series(labels, found.times[low:high], found.values[low:high])
        for labels, low, high in parts
        if low < high
    )
