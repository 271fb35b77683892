"""`label_replace` and `label_join`: labels made of labels, of a bounded length.

Source: Prometheus' `promql/functions.go` (funcLabelReplace, funcLabelJoin).
"""

import re
from typing import Final

from msgspec import Struct

from analytics.promql.blocks import Block, relabelled
from analytics.promql.budget import Budget
from analytics.promql.errors import BadEvaluation
from analytics.promql.series import Labels, labelled, pattern, value_of

VALUE_CHARACTERS_MAX: Final = 4_096
"""How long a label may be that is made of others."""
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Replacement(Struct, frozen=True):
    """Which label is set to what, from what an expression finds in another."""

    target: str
    template: str
    source: str
    expression: str


def replaced(block: Block, asked: Replacement, budget: Budget) -> Block:
    """Return rows with a label set from what a pattern found in another."""
    _check(asked.target)
    try:
        found = pattern(asked.expression)
    except ValueError as error:
        raise BadEvaluation(f"label_replace: {error}") from None

    def change(labels: Labels) -> Labels:
        budget.turn()
        try:
            value = found.filled(asked.template, value_of(labels, asked.source))
        except ValueError as error:
            raise BadEvaluation(f"label_replace: {error}") from None
        return labels if value is None else _with(labels, asked.target, value)

    return relabelled(block, change)


def joined_labels(
    block: Block, target: str, separator: str, sources: tuple[str, ...], *, budget: Budget
) -> Block:
    """Return rows with a label set from others with a separator between."""
    for name in (target, *sources):
        _check(name)

    def change(labels: Labels) -> Labels:
        budget.turn()
        return _with(labels, target, separator.join(value_of(labels, name) for name in sources))

    return relabelled(block, change)


def _with(labels: Labels, name: str, value: str) -> Labels:
    if len(value) > VALUE_CHARACTERS_MAX:
        raise BadEvaluation(
            f"the label {name!r} would have more than {VALUE_CHARACTERS_MAX} characters"
        )
    return labelled({**dict(labels), name: value})


def _check(name: str) -> None:
    if not _LABEL.fullmatch(name):
        raise BadEvaluation(f"{name!r} is no label name; write letters, digits and _")
