"""Which part of a whole moved it: the dimension (model, tool, skill, agent) behind an anomaly."""

import math
from collections.abc import Mapping

from msgspec import Struct


class Contribution(Struct, frozen=True, kw_only=True):
    """What one value of one dimension added to the change of the whole."""

    dimension: str
    part: str
    change: float
    share: float
    """Of the dimension's changes in absolute terms, 0 to 1."""


def contributions(
    before: Mapping[str, Mapping[str, float]],
    after: Mapping[str, Mapping[str, float]],
    *,
    limit: int = 10,
) -> tuple[Contribution, ...]:
    """Return the parts of every dimension by how much they moved, the largest share first.

    `before` and `after` hold, by dimension, each part's amount; a part that is missing is zero. A
    dimension in which nothing moved says nothing.
    """
    found: list[Contribution] = []
    for dimension in sorted({*before, *after}):
        old, new = before.get(dimension, {}), after.get(dimension, {})
        changes = {part: new.get(part, 0.0) - old.get(part, 0.0) for part in {*old, *new}}
        total = math.fsum(abs(change) for change in changes.values())
        found += [
            Contribution(dimension=dimension, part=part, change=change, share=abs(change) / total)
            for part, change in changes.items()
            if change
        ]
    found.sort(key=lambda one: (-one.share, one.dimension, one.part))
    return tuple(found[:limit])
