"""Templates of labels and annotations: Go's template language with Prometheus' functions.

`$labels`, `$value`, `$externalLabels`, `$externalURL` and the same as fields of the dot; `if`,
`with`, `range`, `define`, `template`, `block`, variables, pipelines; the functions that Go,
Prometheus and Alertmanager have (`template_running.NAMES`). A label that an alert does not have
renders as the empty text. What fails when rendering becomes a text that says so, as in Prometheus:
an alert is never lost to it. What a template may cost is limited, see `template_running`.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from analytics.alerts.labels import Labels
from analytics.alerts.template.execution import NAMES, Around, Run
from analytics.alerts.template.lexer import BadTemplate
from analytics.alerts.template.nodes import (
    Action,
    Chain,
    Choice,
    Dot,
    Function,
    Invoke,
    Loop,
    Node,
    Operand,
    Pipe,
    TextNode,
    Tree,
    Variable,
)
from analytics.alerts.template.parser import BadFunction
from analytics.alerts.template.parser import parse as read
from analytics.alerts.template.values import Root, Value

__all__ = ["Around", "BadFunction", "BadTemplate", "Data", "Template", "broken", "parse"]

FAILED: Final = "<error expanding template: "
_VARIABLES: Final = ("$", "$labels", "$externalLabels", "$externalURL", "$value")
_LABELS: Final = "Labels"
_VALUE: Final = "Value"


class Data(Struct, frozen=True, kw_only=True):
    """What a template speaks of."""

    labels: Labels
    value: float
    external_labels: Labels = {}
    external_url: str = ""


class Template(Struct, frozen=True):
    """A template that was read; `fault` says why it could not be, and is what it renders as."""

    tree: Tree
    text: str
    """As it was written."""
    fault: str = ""

    def labels_used(self) -> frozenset[str]:
        """Return the names of the alert's own labels that it speaks of."""
        found = (_rooted(operand) for operand in _operands(self.tree))
        return frozenset(path[1] for path in found if path[:1] == (_LABELS,) and len(path) > 1)

    def uses_value(self) -> bool:
        """Say whether it speaks of the value, which changes from tick to tick."""
        return any(_rooted(operand)[:1] == (_VALUE,) for operand in _operands(self.tree))

    def is_fixed(self) -> bool:
        """Say whether it is the same for every alert."""
        return not self.fault and all(isinstance(one, TextNode) for one in self.tree.body)

    def asks(self) -> bool:
        """Say whether what it writes rests on more than the alert: on queries or the time."""
        names = {one.name for one in _operands(self.tree) if isinstance(one, Function)}
        return bool(names & {"query", "now"})

    def render(self, data: Data, around: Around | None = None) -> str:
        """Return the text filled in; where that fails, a text that says why."""
        if self.fault:
            return f"{FAILED}{self.fault}>"
        if self.is_fixed():
            return "".join(one.text for one in self.tree.body if isinstance(one, TextNode))
        known = around or Around(external_url=data.external_url)
        root = Root(
            labels=data.labels,
            external_labels=data.external_labels,
            external_url=data.external_url,
            value=float(data.value),
        )
        variables: dict[str, Value] = {
            "$": root,
            "$labels": root.labels,
            "$externalLabels": root.external_labels,
            "$externalURL": root.external_url,
            "$value": root.value,
        }
        try:
            return Run(self.tree, known).text(root, variables)
        except (ValueError, OverflowError, RecursionError) as error:
            return f"{FAILED}{error}>"


def parse(text: str) -> Template:
    """Read a template; raise `BadFunction` for a function that nobody has, else `BadTemplate`."""
    return Template(read(text, functions=NAMES, variables=_VARIABLES), text)


def broken(text: str, fault: str) -> Template:
    """Return what stands for a template that could not be read."""
    return Template(Tree(()), text, fault)


def _rooted(operand: Operand) -> tuple[str, ...]:
    """Return the path of an operand from the root of the data; empty if it is from elsewhere."""
    match operand:
        case Dot():
            return operand.path
        case Variable(name="$"):
            return operand.path
        case Variable(name="$labels"):
            return (_LABELS, *operand.path)
        case Variable(name="$value"):
            return (_VALUE, *operand.path)
        case _:
            return ()


def _operands(tree: Tree) -> Iterator[Operand]:
    waiting: list[tuple[Node, bool]] = [(node, True) for node in tree.body]
    waiting += [(node, False) for body in tree.defined.values() for node in body]
    while waiting:
        node, is_root = waiting.pop()
        match node:
            case Action() | Invoke():
                pipe, inner, other = node.pipe, False, False
            case Choice():
                pipe, inner, other = node.pipe, is_root and not node.moves, is_root
            case Loop():
                pipe, inner, other = node.pipe, False, is_root
            case _:
                continue
        if isinstance(node, Choice | Loop):
            waiting += [(one, inner) for one in node.body]
            waiting += [(one, other) for one in node.other]
        if pipe is not None:
            yield from _of(pipe, is_root=is_root)


def _of(pipe: Pipe, *, is_root: bool) -> Iterator[Operand]:
    for command in pipe.commands:
        for word in command.words:
            if isinstance(word, Chain):
                yield from _of(word.pipe, is_root=is_root)
            elif is_root or not isinstance(word, Dot):
                yield word
