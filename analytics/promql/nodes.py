"""An expression as a tree: what evaluation walks.

Durations are milliseconds. Parentheses stay as `Wrapped`: `absent` looks for a selector without.
"""

from typing import Literal

from msgspec import Struct

from analytics.promql.series import SeriesMatcher


class Number(Struct, frozen=True):
    """A number as it stands."""

    value: float


class StringLiteral(Struct, frozen=True):
    """A string as it stands."""

    value: str


class Selector(Struct, frozen=True):
    """Series by their labels, at a moment; `range_ms` above zero: the samples up to it."""

    matchers: tuple[SeriesMatcher, ...]
    offset_ms: int = 0
    range_ms: int = 0


class Negation(Struct, frozen=True):
    """A minus before something."""

    operand: "Node"


class Grouping(Struct, frozen=True):
    """Which labels tell groups apart: these, or all but these."""

    names: frozenset[str]
    excludes: bool


class Aggregation(Struct, frozen=True):
    """Many rows to one a group."""

    operator: str
    operand: "Node"
    grouping: Grouping
    parameter: "Node | None" = None


class Matching(Struct, frozen=True):
    """How rows of two vectors meet; `many` is the side that may have several a group."""

    grouping: Grouping
    many: Literal["", "left", "right"] = ""
    included: tuple[str, ...] = ()


class Binary(Struct, frozen=True):
    """Two sides and an operator."""

    operator: str
    left: "Node"
    right: "Node"
    matching: Matching
    is_bool: bool = False


class Call(Struct, frozen=True):
    """A function and its arguments."""

    function: str
    arguments: tuple["Node", ...]


class Wrapped(Struct, frozen=True):
    """Something in parentheses."""

    inner: "Node"


Node = Number | StringLiteral | Selector | Negation | Aggregation | Binary | Call | Wrapped


def bare(node: Node) -> Node:
    """Return what stands within parentheses."""
    while isinstance(node, Wrapped):
        node = node.inner
    return node
