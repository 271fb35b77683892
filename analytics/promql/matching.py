"""Two vectors under one operator: which rows meet, and what they come to.

Rows meet by the labels that `on` and `ignoring` leave. Source: Prometheus' `promql/engine.go`
(VectorAnd, VectorOr, VectorUnless, VectorBinop, resultMetric).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from analytics.promql.blocks import Block, Groups, groups, joined, occupied, shown, stacked
from analytics.promql.budget import Budget
from analytics.promql.errors import BadEvaluation
from analytics.promql.nodes import Binary, Matching
from analytics.promql.series import NAME, Floats, Labels, Mask, Times, dropped, kept, value_of
from analytics.promql.subset import COMPARISONS

OPERATIONS: Final[Mapping[str, Callable[[Floats, Floats], Floats]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
"""What an operator makes of two numbers; a comparison gives truth."""


def combined(left: Block, right: Block, node: Binary) -> Block:
    """Return the set of rows that `and`, `or` or `unless` leave."""
    left_groups, right_groups = _grouped(left, right, node.matching)
    if node.operator == "or":
        taken = _present_in(left, left_groups)[right_groups.of_row]
        return stacked(left, Block(right.labels, right.values, right.present & ~taken))
    taken = _present_in(right, right_groups)[left_groups.of_row]
    wanted = taken if node.operator == "and" else ~taken
    return Block(left.labels, left.values, left.present & wanted)


def matched(left: Block, right: Block, node: Binary, budget: Budget) -> Block:
    """Return what an operator makes of the rows that meet."""
    left, right = occupied(left), occupied(right)
    is_swapped = node.matching.many == "right"
    many, one = (right, left) if is_swapped else (left, right)
    many_groups, one_groups = _grouped(many, one, node.matching)
    both: Mask = np.logical_and(many.present.any(axis=0), one.present.any(axis=0))
    side = "left" if is_swapped else "right"
    _check_single(one, one_groups, both, side)
    many_rows, one_rows = _pairs(many_groups, one_groups, budget, steps=len(both))
    many_values, one_values = many.values[many_rows], one.values[one_rows]
    present = many.present[many_rows] & one.present[one_rows]
    if not node.matching.many:
        _check_explicit(many, many_groups, many_rows, present)
    sides = (one_values, many_values) if is_swapped else (many_values, one_values)
    values, present = _operated(node, sides, sides[0], present)
    labels = _labels(
        node, [many.labels[row] for row in many_rows], [one.labels[row] for row in one_rows]
    )
    return _unique(Block(labels, values, present), node.matching)


def scaled(block: Block, scalar: Floats, node: Binary, *, is_left: bool) -> Block:
    """Return what an operator makes of each row and a number; `is_left` if the number is first."""
    wide = np.broadcast_to(scalar, block.values.shape)
    sides = (wide, block.values) if is_left else (block.values, wide)
    values, present = _operated(node, sides, block.values, block.present)
    labels = block.labels
    if node.operator not in COMPARISONS or node.is_bool:
        labels = [dropped(one, frozenset({NAME})) for one in labels]
    return joined(Block(labels, values, present))


def _operated(
    node: Binary, sides: tuple[Floats, Floats], original: Floats, present: Mask
) -> tuple[Floats, Mask]:
    found = OPERATIONS[node.operator](*sides)
    if node.operator not in COMPARISONS or node.is_bool:
        return found.astype(np.float64), present
    return original, present & found.astype(np.bool_)


def _grouped(first: Block, second: Block, matching: Matching) -> tuple[Groups, Groups]:
    """Give the groups of both sides the same numbers."""
    together = groups([*first.labels, *second.labels], matching.grouping)
    count = len(first.labels)
    return (
        Groups(together.keys, together.of_row[:count]),
        Groups(together.keys, together.of_row[count:]),
    )


def _counts(block: Block, found: Groups) -> Times:
    counts = np.zeros((len(found.keys), block.present.shape[1]), dtype=np.int64)
    np.add.at(counts, found.of_row, block.present)
    return counts


def _present_in(block: Block, found: Groups) -> Mask:
    present: Mask = _counts(block, found) > 0
    return present


def _check_single(one: Block, found: Groups, both: Mask, side: str) -> None:
    """Refuse two rows of one group on the side that must have one."""
    double = (_counts(one, found) > 1) & both
    if double.any():
        group = int(np.argwhere(double)[0][0])
        rows = sorted(one.labels[row] for row in np.flatnonzero(found.of_row == group).tolist())
        listed = ", ".join(map(shown, rows[:2]))
        raise BadEvaluation(
            f"found duplicate series for the match group {shown(found.keys[group])} on the {side}"
            f" hand-side of the operation: [{listed}];many-to-many matching not allowed:"
            " matching labels must be unique on one side"
        )


def _pairs(many: Groups, one: Groups, budget: Budget, *, steps: int) -> tuple[Times, Times]:
    """Return the rows of both sides that are in one group, each pair once."""
    order = np.argsort(one.of_row, kind="stable")
    ordered = one.of_row[order]
    low = np.searchsorted(ordered, many.of_row, side="left")
    high = np.searchsorted(ordered, many.of_row, side="right")
    lengths = high - low
    budget.take(int(lengths.sum()), steps)
    many_rows = np.repeat(np.arange(len(many.of_row)), lengths)
    within = np.arange(len(many_rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return many_rows, order[np.repeat(low, lengths) + within]


def _check_explicit(many: Block, found: Groups, rows: Times, present: Mask) -> None:
    """Refuse two rows of one group where each should have one."""
    counts = np.zeros((len(found.keys), present.shape[1]), dtype=np.int64)
    np.add.at(counts, found.of_row[rows], present)
    if (counts > 1).any():
        group = int(np.argwhere(counts > 1)[0][0])
        raise BadEvaluation(
            f"multiple matches for labels {shown(found.keys[group])}: many-to-one matching must be"
            " explicit (group_left/group_right)"
        )


def _labels(node: Binary, many: Sequence[Labels], one: Sequence[Labels]) -> list[Labels]:
    matching = node.matching
    names = matching.grouping.names
    lost = frozenset() if node.operator in COMPARISONS and not node.is_bool else frozenset({NAME})
    included = frozenset(matching.included)
    found = []
    for one_labels, own in zip(one, many, strict=True):
        rest = own
        if not matching.many:
            rest = dropped(own, names) if matching.grouping.excludes else kept(own, names)
        if included:
            added = [(name, value_of(one_labels, name)) for name in included]
            rest = dropped(rest, included) + tuple(pair for pair in added if pair[1])
        found.append(tuple(sorted(dropped(rest, lost))))
    return found


def _unique(block: Block, matching: Matching) -> Block:
    try:
        return joined(block)
    except BadEvaluation:
        if not matching.many:
            raise
        raise BadEvaluation(
            "multiple matches for labels: grouping labels must ensure unique matches"
        ) from None
