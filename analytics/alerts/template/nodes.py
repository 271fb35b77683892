"""A template as a tree: what Go's package `text/template/parse` makes of one."""

from collections.abc import Mapping

from msgspec import Struct


class Constant(Struct, frozen=True):
    """A text, number or truth as written; None is `nil`."""

    value: str | float | int | bool | None


class Dot(Struct, frozen=True):
    """The value that a template stands at, or a field of it."""

    path: tuple[str, ...] = ()


class Variable(Struct, frozen=True):
    """A variable with its sign, or a field of it."""

    name: str
    path: tuple[str, ...] = ()


class Function(Struct, frozen=True):
    """A function by its name."""

    name: str


class Chain(Struct, frozen=True):
    """A pipeline in brackets, or a field of what it gives."""

    pipe: "Pipe"
    path: tuple[str, ...] = ()


Operand = Constant | Dot | Variable | Function | Chain


class Command(Struct, frozen=True):
    """An operand, or a function or method with what it is given."""

    words: tuple[Operand, ...]


class Pipe(Struct, frozen=True):
    """Commands, each given what the one before gave, and the variables that keep the result."""

    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()
    assigns: bool = False
    """Whether its variables are there already."""


class TextNode(Struct, frozen=True):
    """A text as it stands."""

    text: str


class Action(Struct, frozen=True):
    """A pipeline whose result is written."""

    pipe: Pipe


class Choice(Struct, frozen=True):
    """`if` and `with`: one of two bodies; `with` stands at what its pipeline gave."""

    pipe: Pipe
    body: tuple["Node", ...]
    other: tuple["Node", ...]
    moves: bool


class Loop(Struct, frozen=True):
    """`range`: a body for each of what a pipeline gave, another one if it gave none."""

    pipe: Pipe
    body: tuple["Node", ...]
    other: tuple["Node", ...]


class Invoke(Struct, frozen=True):
    """`template` and `block`: another template at a value."""

    name: str
    pipe: Pipe | None


class Leave(Struct, frozen=True):
    """`break`, or `continue`."""

    is_break: bool


Node = TextNode | Action | Choice | Loop | Invoke | Leave


class Tree(Struct, frozen=True):
    """A whole template with the ones that it defines."""

    body: tuple[Node, ...]
    defined: Mapping[str, tuple[Node, ...]] = {}
