"""All that an expression reads, read at once, so that it can be evaluated when the store is let go.

What a selector reads depends on the expression and the steps alone. `held` asks a storage for each
selector once and returns a storage of the answers, which gives an evaluation at the same moments
the same series.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from analytics.promql.budget import Budget
from analytics.promql.nodes import Aggregation, Binary, Call, Negation, Node, Selector, Wrapped
from analytics.promql.parsing import Expression
from analytics.promql.selecting import Dialect, bounds
from analytics.promql.series import (
    MatchOperator,
    Series,
    SeriesMatcher,
    Sketches,
    SketchStorage,
    Storage,
)

Key = tuple[tuple[tuple[str, MatchOperator, str], ...], int, int]


class HeldStorage:
    """The answers to the selectors of one expression."""

    def __init__(self) -> None:
        self._series: dict[Key, Sequence[Series]] = {}
        self._sketches: dict[Key, Sequence[Sketches]] = {}

    def select(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Sequence[Series]:
        """See `Storage`; only what was asked before can be asked."""
        return self._series[_key(matchers, from_ms, to_ms)]

    def select_sketches(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Sequence[Sketches]:
        """See `SketchStorage`; only what was asked before can be asked."""
        return self._sketches[_key(matchers, from_ms, to_ms)]

    def read(
        self, storage: Storage, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> None:
        """Ask a storage for series."""
        key = _key(matchers, from_ms, to_ms)
        if key not in self._series:
            self._series[key] = storage.select(matchers, from_ms, to_ms)

    def read_sketches(
        self, storage: Storage, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> None:
        """Ask a storage for sketches, if it has some."""
        key = _key(matchers, from_ms, to_ms)
        if key not in self._sketches:
            self._sketches[key] = (
                storage.select_sketches(matchers, from_ms, to_ms)
                if isinstance(storage, SketchStorage)
                else ()
            )


def held(
    expression: Expression,
    storage: Storage,
    start_ms: int,
    end_ms: int,
    *,
    budget: Budget,
    dialect: Dialect = Dialect.THREE,
) -> HeldStorage:
    """Return what an expression reads for steps from the first to the last one, both included."""
    found = HeldStorage()
    edges = np.array([start_ms, end_ms], dtype=np.int64)
    for selector, has_sketches in _selectors(expression.node, has_sketches=False):
        begins, ends = bounds(selector, edges, dialect)
        from_ms, to_ms = int(begins[0]), int(ends[-1])
        matchers = budget.watched(selector.matchers)
        found.read(storage, matchers, from_ms, to_ms)
        if has_sketches:
            found.read_sketches(storage, matchers, from_ms, to_ms)
        budget.look()
    return found


def _selectors(node: Node, *, has_sketches: bool) -> Iterator[tuple[Selector, bool]]:
    if isinstance(node, Selector):
        yield node, has_sketches
        return
    if isinstance(node, Call) and node.function == "histogram_quantile":
        has_sketches = True
    for inner in _parts(node):
        yield from _selectors(inner, has_sketches=has_sketches)


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Wrapped(inner):
            return (inner,)
        case Negation(operand):
            return (operand,)
        case Aggregation():
            parameter = () if node.parameter is None else (node.parameter,)
            return (*parameter, node.operand)
        case Binary():
            return (node.left, node.right)
        case Call():
            return node.arguments
    return ()


def _key(matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> Key:
    return tuple((one.name, one.sign, one.value) for one in matchers), from_ms, to_ms
