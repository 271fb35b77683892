"""Vectors over all steps at once: a row a label set, a column a moment.

Every operation works on whole blocks, so an instant over many series and a range over many steps
are the same few numpy calls. A cell that is not `present` has no sample; its value is meaningless.
Two rows of one label set may meet only where they are never present together, as in Prometheus.
"""

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from analytics.promql.errors import BadEvaluation
from analytics.promql.nodes import Grouping
from analytics.promql.series import NAME, Floats, Labels, Mask, Times, dropped, kept


class Block(Struct, frozen=True, eq=False):
    """A vector at every step."""

    labels: Sequence[Labels]
    values: Floats
    present: Mask


def empty(steps: int) -> Block:
    """Return a vector without rows."""
    return Block((), np.zeros((0, steps)), np.zeros((0, steps), dtype=np.bool_))


def single(values: Floats) -> Block:
    """Return a vector of one row without labels, present at every step."""
    return Block(((),), values.reshape(1, -1), np.ones((1, len(values)), dtype=np.bool_))


def relabelled(block: Block, change: Callable[[Labels], Labels]) -> Block:
    """Change the labels of every row; rows that become one are joined."""
    return joined(Block([change(labels) for labels in block.labels], block.values, block.present))


def joined(block: Block) -> Block:
    """Join rows of one label set; refuse two samples of one label set at one step."""
    if len(set(block.labels)) == len(block.labels):
        return block
    first: dict[Labels, int] = {}
    into = np.array([first.setdefault(one, len(first)) for one in block.labels])
    held = np.zeros((len(first), block.values.shape[1]), dtype=np.int64)
    np.add.at(held, into, block.present)
    if (held > 1).any():
        row = int(np.argwhere(held > 1)[0][0])
        raise BadEvaluation(
            f"two series have the labels {shown(list(first)[row])} once their names or labels"
            " are changed; aggregate them first"
        )
    values = np.zeros((len(first), block.values.shape[1]))
    for row, target in enumerate(into):
        values[target] = np.where(block.present[row], block.values[row], values[target])
    return Block(list(first), values, held > 0)


def stacked(upper: Block, lower: Block) -> Block:
    """Put two vectors under each other."""
    return joined(
        Block(
            [*upper.labels, *lower.labels],
            np.concatenate([upper.values, lower.values]),
            np.concatenate([upper.present, lower.present]),
        )
    )


def occupied(block: Block) -> Block:
    """Leave out rows that are nowhere present."""
    used = block.present.any(axis=1)
    if used.all():
        return block
    rows: list[int] = np.flatnonzero(used).tolist()
    return Block([block.labels[row] for row in rows], block.values[rows], block.present[rows])


def key_of(grouping: Grouping) -> Callable[[Labels], Labels]:
    """Return what tells the groups apart; what is excluded, the metric's name is too."""
    if grouping.excludes:
        excluded = grouping.names | {NAME}
        return lambda labels: dropped(labels, excluded)
    return lambda labels: kept(labels, grouping.names)


class Groups(Struct, frozen=True, eq=False):
    """Which rows belong together."""

    keys: Sequence[Labels]
    of_row: Times
    """The number of each row's group."""


def groups(labels: Sequence[Labels], grouping: Grouping) -> Groups:
    """Return the groups of rows, in order of their first row."""
    key = key_of(grouping)
    numbers: dict[Labels, int] = {}
    of_row = [numbers.setdefault(key(one), len(numbers)) for one in labels]
    return Groups(list(numbers), np.array(of_row, dtype=np.int64))


def shown(labels: Labels) -> str:
    """Return labels as an expression has them."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"
