"""YAML whose every value knows its place, read strictly.

A value that is wrong is refused as `file:line:column: what is wrong`, so every reader of a file of
rules or routes says where. Unknown and doubled keys are refused. Scalars keep the text they were
written with: `expr: 1` is the text `1`. Only the first document of a file is read; whoever reads
hears whether there were more.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import yaml
from msgspec import Struct

from analytics.alerts import durations
from analytics.contracts.errors import Refused

FILE_CHARACTERS_MAX: Final = 4_000_000
"""How long a file may be."""
ALIASED_MAX: Final = 100_000
"""How many values the aliases of a file may stand for: an alias of a list of aliases multiplies, so
that a kilobyte could stand for more values than any machine reads."""
_NULL: Final = "tag:yaml.org,2002:null"
_FLAGS: Final = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Position(Struct, frozen=True):
    """Where in a file something stands; lines and columns count from 1."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class BadFile(Refused):
    """A file of rules, routes or tests that has no meaning; it says where and why."""

    code = "bad-file"

    def __init__(self, place: Position, reason: str) -> None:
        self.place = place
        self.reason = reason
        super().__init__(f"{place}: {reason}")


class Caution(Struct, frozen=True):
    """Something that loads but is most likely not what was meant."""

    place: Position
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class Node:
    """One value of a document with its place."""

    __slots__ = ("_lines", "_raw", "path")

    def __init__(self, path: str, raw: yaml.Node, lines: list[str]) -> None:
        self.path = path
        self._raw = raw
        self._lines = lines

    @property
    def place(self) -> Position:
        """Where the value begins."""
        mark = self._raw.start_mark
        return Position(self.path, mark.line + 1, mark.column + 1)

    def refuse(self, reason: str) -> BadFile:
        """Return the error that this value is wrong."""
        return BadFile(self.place, reason)

    def caution(self, reason: str) -> Caution:
        """Return a warning about this value."""
        return Caution(self.place, reason)

    @property
    def is_null(self) -> bool:
        """Whether nothing is written there."""
        return self._raw.tag == _NULL

    @property
    def is_scalar(self) -> bool:
        """Whether it is one text, number or the like."""
        return isinstance(self._raw, yaml.ScalarNode) and not self.is_null

    @property
    def is_mapping(self) -> bool:
        """Whether it is a set of fields."""
        return isinstance(self._raw, yaml.MappingNode)

    def fields(self, known: frozenset[str] | None = None) -> dict[str, "Node"]:
        """Return the fields of a mapping; refuse doubled ones and, given `known`, all others."""
        if self.is_null:
            return {}
        if not isinstance(self._raw, yaml.MappingNode):
            raise self.refuse("expected fields, as in `name: value`")
        yaml.SafeLoader("").flatten_mapping(self._raw)
        found: dict[str, Node] = {}
        for raw_key, raw in self._raw.value:
            key = Node(self.path, raw_key, self._lines)
            name = key.text()
            if known is not None and name not in known:
                listed = ", ".join(sorted(known))
                raise key.refuse(f"unknown field {name!r}; known are {listed}")
            if name in found:
                raise key.refuse(f"field {name!r} is there twice")
            found[name] = Node(self.path, raw, self._lines)
        return found

    def items(self) -> list["Node"]:
        """Return the entries of a list."""
        if self.is_null:
            return []
        if not isinstance(self._raw, yaml.SequenceNode):
            raise self.refuse("expected a list, as in `- entry`")
        return [Node(self.path, raw, self._lines) for raw in self._raw.value]

    def text(self) -> str:
        """Return the text of a scalar as it was written; nothing is the empty text."""
        if self.is_null:
            return ""
        if not isinstance(self._raw, yaml.ScalarNode):
            raise self.refuse("expected one text, found a list or fields")
        return str(self._raw.value)

    def texts(self) -> dict[str, str]:
        """Return a mapping of names to texts."""
        return {name: node.text() for name, node in self.fields().items()}

    def flag(self) -> bool:
        """Return true or false."""
        text = self.text()
        if text.lower() not in _FLAGS:
            raise self.refuse(f"{text!r} is neither true nor false")
        return _FLAGS[text.lower()]

    def whole(self) -> int:
        """Return a whole number of at least 0."""
        text = self.text()
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise self.refuse(f"{text!r} is no whole number of at least 0")
        return int(text)

    def number(self) -> float:
        """Return a number."""
        try:
            return float(self.text())
        except ValueError:
            raise self.refuse(f"{self.text()!r} is no number") from None

    def duration_ms(self) -> int:
        """Return a duration in milliseconds."""
        try:
            return durations.milliseconds(self.text())
        except ValueError as error:
            raise self.refuse(str(error)) from None

    def inside(self, line: int, column: int) -> Position:
        """Return the place of a line and column, from 1, of the scalar's own text."""
        mark = self._raw.start_mark
        style = self._raw.style if isinstance(self._raw, yaml.ScalarNode) else None
        if style in {"|", ">"}:
            at = mark.line + line
            written = self._lines[at] if at < len(self._lines) else ""
            indent = len(written) - len(written.lstrip(" "))
            return Position(self.path, at + 1, indent + column)
        if line > 1:
            return self.place
        return Position(self.path, mark.line + 1, mark.column + column + (style in {"'", '"'}))


def read(path: str, text: str) -> tuple[Node | None, tuple[Caution, ...]]:
    """Return the first document of `text`, None if empty, and a warning if there are more."""
    if len(text) > FILE_CHARACTERS_MAX:
        raise BadFile(Position(path), f"longer than {FILE_CHARACTERS_MAX} characters; split it")
    loader = yaml.SafeLoader(text)
    try:
        raw = loader.get_node() if loader.check_node() else None
        more = loader.check_node()
        _check_aliases(path, raw)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(path, mark.line + 1, mark.column + 1) if mark else Position(path)
        raise BadFile(place, f"no YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split()) or "nested too deep"
        raise BadFile(Position(path), f"no YAML: {reason}") from None
    finally:
        loader.dispose()
    cautions: tuple[Caution, ...] = ()
    if more and raw is not None:
        place = Position(path, raw.end_mark.line + 1, 1)
        cautions = (
            Caution(place, "only the first document of a file is read; this one is left out"),
        )
    root = None if raw is None or raw.tag == _NULL else Node(path, raw, text.splitlines())
    return root, cautions


def _check_aliases(path: str, root: yaml.Node | None) -> None:
    """Refuse aliases that stand for too many values, or for what they are part of."""
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        """Return how many values a reader meets below a node that it visits once an alias."""
        if isinstance(node, yaml.ScalarNode):
            counts[id(node)] = 1
            return 1
        known = counts.get(id(node))
        if known == 0:
            raise Node(path, node, []).refuse("an alias stands inside what it names; write it out")
        if known is None:
            counts[id(node)] = 0
            known = counts[id(node)] = 1 + sum(count(child) for child in _children(node))
            if known > ALIASED_MAX + len(counts):
                reason = f"its aliases stand for more than {ALIASED_MAX} values; write them out"
                raise Node(path, node, []).refuse(reason)
        return known

    if root is not None:
        count(root)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def labels_of(node: Node) -> Mapping[str, str]:
    """Return a mapping of label names to values, refusing names that are none."""
    found = node.fields()
    for name, value in found.items():
        if not is_label_name(name):
            raise value.refuse(f"{name!r} is no label name: letters, digits and _ only")
    return {name: value.text() for name, value in found.items()}


def is_label_name(name: str) -> bool:
    """Say whether `name` may name a label."""
    return name.isascii() and name.replace("_", "a").isalnum() and not name[:1].isdigit()
