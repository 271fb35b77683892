"""What alerting asks of an expression before it is evaluated.

Reading and its errors are `analytics.promql`'s. Here is what else can be said of the syntax tree:
which labels a result can have, and which part of a condition tells whether there is data at all.
"""

from functools import lru_cache
from typing import Final

import promql_parser
from msgspec import Struct

from analytics import promql
from analytics.promql.literals import Covered

COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})
EXPRESSION_CHARACTERS_MAX: Final = 16_384
"""How long an expression may be."""
SHAPES_MAX: Final = 16_384
"""How many expressions are remembered with their shape."""


class Unreadable(ValueError):
    """An expression that cannot be read; line and column count from 1 in its own text."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason)


class Shape(Struct, frozen=True):
    """What the syntax tells of an expression's result."""

    labels: frozenset[str] | None
    """The labels a result may have; None when the syntax does not say."""
    subject: str | None
    """The expression without its last comparison: it gives a row for all there is data of."""
    beyond: Unreadable | None = None
    """Why it is PromQL that we do not evaluate."""


@lru_cache(maxsize=SHAPES_MAX)
def shape(text: str) -> Shape:
    """Return what the syntax of `text` tells; raise `Unreadable`."""
    if len(text) > EXPRESSION_CHARACTERS_MAX:
        raise Unreadable(f"longer than {EXPRESSION_CHARACTERS_MAX} characters")
    if not text.strip():
        raise Unreadable("an expression is missing")
    beyond: Unreadable | None = None
    try:
        promql.parse(text)
    except promql.BadPattern as error:
        raise Unreadable(error.reason, error.line, error.column) from None
    except promql.BadExpression as error:
        beyond = Unreadable(error.reason, error.line, error.column)
    try:
        covered = Covered(text)
        tree = promql_parser.parse(covered.text)
    except ValueError as error:
        raise beyond or Unreadable(str(error)) from None
    subject = _subject(tree)
    return Shape(_labels(tree), None if subject is None else covered.restored(subject), beyond)


def _bare(tree: promql_parser.Expr) -> promql_parser.Expr:
    while isinstance(tree, promql_parser.ParenExpr):
        tree = tree.expr
    return tree


def _labels(tree: promql_parser.Expr) -> frozenset[str] | None:
    tree = _bare(tree)
    if isinstance(tree, promql_parser.NumberLiteral):
        return frozenset()
    if isinstance(tree, promql_parser.AggregateExpr):
        return _aggregated(tree)
    if isinstance(tree, promql_parser.BinaryExpr):
        return _joined(tree)
    return None


def _aggregated(tree: promql_parser.AggregateExpr) -> frozenset[str] | None:
    if str(tree.op) in {"topk", "bottomk", "limitk", "limit_ratio", "count_values"}:
        return None
    if tree.modifier is None:
        return frozenset()
    if tree.modifier.type == promql_parser.AggModifierType.By:
        return frozenset(tree.modifier.labels)
    return None


def _joined(tree: promql_parser.BinaryExpr) -> frozenset[str] | None:
    if tree.modifier is not None and tree.modifier.matching is not None:
        return None
    left, right = _bare(tree.lhs), _bare(tree.rhs)
    if isinstance(right, promql_parser.NumberLiteral):
        return _labels(left)
    if isinstance(left, promql_parser.NumberLiteral):
        return _labels(right)
    if str(tree.op) in {"and", "unless"}:
        return _labels(left)
    one, two = _labels(left), _labels(right)
    return None if one is None or two is None else one | two


def _subject(tree: promql_parser.Expr) -> str | None:
    tree = _bare(tree)
    if not isinstance(tree, promql_parser.BinaryExpr):
        return None
    if str(tree.op) in {"and", "unless"}:
        return _subject(tree.lhs)
    is_filter = str(tree.op) in COMPARISONS and not (tree.modifier and tree.modifier.return_bool)
    if not is_filter:
        return None
    left, right = _bare(tree.lhs), _bare(tree.rhs)
    return str(right if isinstance(left, promql_parser.NumberLiteral) else left)
