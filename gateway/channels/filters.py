"""Server-side filters: which publications of a channel a subscriber wants, by their tags.

A filter is a tree as the protocol has it (centrifugal/protocol, `FilterNode`): a leaf compares one
tag, an inner node is `and`, `or` or `not` of others. A filter is read once, when a channel is
joined, and is bounded in depth and nodes; one that cannot be read is refused, never passed over.
A tag that is absent is equal to nothing, so `neq` and `nin` hold for it; numbers are compared as
numbers, and what is none satisfies no order.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from analytics.contracts.errors import Refused
from gateway.protocol.messages import TagFilter

DEPTH_MAX: Final = 8
NODES_MAX: Final = 64

Tags = Mapping[str, str]
Accepts = Callable[[Tags], bool]

_ORDERS: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "gt": lambda tag, value: tag > value,
    "gte": lambda tag, value: tag >= value,
    "lt": lambda tag, value: tag < value,
    "lte": lambda tag, value: tag <= value,
}
_TEXTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "eq": lambda tag, value: tag == value,
    "sw": lambda tag, value: tag.startswith(value),
    "ew": lambda tag, value: tag.endswith(value),
    "ct": lambda tag, value: value in tag,
}


class BadFilter(Refused):
    """A tag filter that has no meaning."""

    code = "bad-filter"


def compile_filter(tree: TagFilter) -> Accepts:
    """Return the filter as a function of tags; raise `BadFilter` if it cannot be read."""
    left = [NODES_MAX]
    return _node(tree, depth=1, left=left)


def equal_to(wanted: Tags) -> Accepts:
    """Return a filter for publications that have all of these tags."""
    pairs = tuple(wanted.items())
    return lambda tags: all(tags.get(key) == value for key, value in pairs)


def both(one: Accepts | None, other: Accepts | None) -> Accepts | None:
    """Return the filter that holds where both do; none is a filter that always holds."""
    if one is None or other is None:
        return one or other
    return lambda tags: one(tags) and other(tags)


def _node(tree: TagFilter, *, depth: int, left: list[int]) -> Accepts:
    left[0] -= 1
    if depth > DEPTH_MAX or left[0] < 0:
        raise BadFilter(f"a filter has at most {NODES_MAX} nodes, {DEPTH_MAX} deep")
    if not tree.op:
        return _leaf(tree)
    inner = [_node(node, depth=depth + 1, left=left) for node in tree.nodes]
    if tree.op == "and" and inner:
        return lambda tags: all(accepts(tags) for accepts in inner)
    if tree.op == "or" and inner:
        return lambda tags: any(accepts(tags) for accepts in inner)
    if tree.op == "not" and len(inner) == 1:
        return lambda tags: not inner[0](tags)
    raise BadFilter(f"a filter's op is 'and' or 'or' of some, or 'not' of one, not {tree.op!r}")


def _leaf(tree: TagFilter) -> Accepts:
    key, value, values = tree.key, tree.val, frozenset(tree.vals)
    if not key:
        raise BadFilter("a filter that compares names the tag in 'key'")
    match tree.cmp:
        case "ex":
            return lambda tags: key in tags
        case "nex":
            return lambda tags: key not in tags
        case "neq":
            return lambda tags: tags.get(key) != value
        case "in":
            return lambda tags: tags.get(key) in values
        case "nin":
            return lambda tags: tags.get(key) not in values
    if tree.cmp in _TEXTS:
        holds = _TEXTS[tree.cmp]
        return lambda tags: key in tags and holds(tags[key], value)
    if tree.cmp in _ORDERS:
        return _ordered(key, value, _ORDERS[tree.cmp])
    raise BadFilter(f"a filter compares by eq, neq, in, nin, ex, gt …, not by {tree.cmp!r}")


def _ordered(key: str, value: str, holds: Callable[[Decimal, Decimal], bool]) -> Accepts:
    bound = _number(value)
    if bound is None:
        raise BadFilter(f"a filter that orders wants a number, not {value[:32]!r}")

    def accepts(tags: Tags) -> bool:
        tag = _number(tags.get(key, ""))
        return tag is not None and holds(tag, bound)

    return accepts


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
