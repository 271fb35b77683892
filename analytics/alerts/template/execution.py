"""Runs a template: what it writes, within limits on steps, output, queries and depth.

A step is a node, a call, or `CHARACTERS_A_STEP` characters given to a function or made by one, so
the time of a template follows its steps whatever it computes. The steps of all templates that are
rendered at once may be limited together, by one `Work`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never
from urllib.parse import urlsplit

from analytics.alerts.template import functions
from analytics.alerts.template.builtins import Function as Called
from analytics.alerts.template.builtins import text
from analytics.alerts.template.functions import COSTLY, FUNCTIONS
from analytics.alerts.template.nodes import (
    Action,
    Chain,
    Choice,
    Command,
    Constant,
    Dot,
    Function,
    Invoke,
    Leave,
    Loop,
    Node,
    Operand,
    Pipe,
    TextNode,
    Tree,
    Variable,
)
from analytics.alerts.template.values import (
    Instant,
    Sample,
    Value,
    field,
    kind,
    shown,
    size,
    truth,
)

STEPS_MAX: Final = 20_000
"""What one template may cost."""
TOTAL_STEPS_MAX: Final = 1_000_000
"""What all templates of a group of rules may cost at one time."""
OUTPUT_CHARACTERS_MAX: Final = 65_536
VALUE_CHARACTERS_MAX: Final = 262_144
CHARACTERS_A_STEP: Final = 64
QUERIES_MAX: Final = 10
"""How often one template may ask `query`."""
ROWS_MAX: Final = 1_000
"""How many rows a `query` may give."""
DEPTH_MAX: Final = 32
"""How deep templates may call each other."""
QUERY_STEPS: Final = 200
METHODS: Final = frozenset({"Format", "Unix", "String", "UTC"})
SPECIAL: Final = frozenset(
    {"and", "or", "call", "query", "tmpl", "externalURL", "pathPrefix", "now"}
)
NAMES: Final = frozenset(FUNCTIONS) | SPECIAL
"""Every function that a template may call."""

Ask = Callable[[str], Sequence[Sample]]
"""Returns what an expression gives; raises `ValueError`."""


class Work:
    """How many steps are left to all who share it."""

    def __init__(self, steps: int = TOTAL_STEPS_MAX) -> None:
        self.steps = steps


class Around:
    """What a template knows beside its data: addresses, the time, and whom to ask."""

    def __init__(
        self,
        *,
        external_url: str = "",
        seconds: float = 0.0,
        ask: Ask | None = None,
        work: Work | None = None,
    ) -> None:
        self.external_url = external_url
        self.seconds = seconds
        self.ask = ask
        self.work = work or Work()


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Run:
    """One run of one template."""

    def __init__(self, tree: Tree, around: Around) -> None:
        self._tree = tree
        self._around = around
        self._steps = STEPS_MAX
        self._queries = 0
        self._depth = 0
        self._out: list[str] = []
        self._written = 0
        self._variables: list[tuple[str, Value]] = []

    def text(self, data: Value, variables: Mapping[str, Value]) -> str:
        """Return what the template writes; raise `ValueError` where it fails."""
        self._variables = [*variables.items()]
        self._nodes(self._tree.body, data)
        return "".join(self._out)

    def _spend(self, steps: int = 1) -> None:
        self._steps -= steps
        self._around.work.steps -= steps
        if self._steps < 0:
            raise ValueError(f"the template takes more than {STEPS_MAX} steps")
        if self._around.work.steps < 0:
            raise ValueError("the templates of these rules take too many steps together")

    def _write(self, written: str) -> None:
        self._written += len(written)
        if self._written > OUTPUT_CHARACTERS_MAX:
            raise ValueError(f"the text is longer than {OUTPUT_CHARACTERS_MAX} characters")
        self._out.append(written)

    def _nodes(self, nodes: Sequence[Node], dot: Value) -> None:
        for node in nodes:
            self._spend()
            match node:
                case TextNode():
                    self._write(node.text)
                case Action():
                    found = self._pipe(node.pipe, dot)
                    if not node.pipe.names:
                        self._write(shown(found))
                case Choice():
                    self._choice(node, dot)
                case Loop():
                    self._loop(node, dot)
                case Invoke():
                    self._invoke(
                        node.name, None if node.pipe is None else self._pipe(node.pipe, dot)
                    )
                case Leave():
                    raise _Break if node.is_break else _Continue
                case _:
                    assert_never(node)

    def _choice(self, node: Choice, dot: Value) -> None:
        scope = len(self._variables)
        found = self._pipe(node.pipe, dot)
        if truth(found):
            self._nodes(node.body, found if node.moves else dot)
        else:
            self._nodes(node.other, dot)
        del self._variables[scope:]

    def _loop(self, node: Loop, dot: Value) -> None:
        scope = len(self._variables)
        pairs = _pairs(self._pipe(node.pipe, dot, declares=False))
        for key, one in pairs:
            del self._variables[scope:]
            self._keep(node.pipe, ((key, one) if len(node.pipe.names) > 1 else (one,)))
            self._spend()
            try:
                self._nodes(node.body, one)
            except _Continue:
                continue
            except _Break:
                break
        del self._variables[scope:]
        if not pairs:
            self._nodes(node.other, dot)

    def _keep(self, pipe: Pipe, values: Sequence[Value]) -> None:
        for name, value in zip(pipe.names, values, strict=False):
            self._set(name, value) if pipe.assigns else self._variables.append((name, value))

    def _invoke(self, name: str, data: Value) -> None:
        body = self._tree.defined.get(name)
        if body is None:
            raise ValueError(f"template {name!r} not defined")
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ValueError(f"templates call each other deeper than {DEPTH_MAX}")
        outer, self._variables = self._variables, [("$", data)]
        self._nodes(body, data)
        self._variables = outer
        self._depth -= 1

    def _pipe(self, pipe: Pipe, dot: Value, *, declares: bool = True) -> Value:
        value: Value = None
        for place, command in enumerate(pipe.commands):
            value = self._command(command, dot, [] if place == 0 else [value])
        if declares and pipe.names:
            self._keep(pipe, (value,))
        return value

    def _set(self, name: str, value: Value) -> None:
        for place in reversed(range(len(self._variables))):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return
        raise ValueError(f"undefined variable: {name}")

    def _command(self, command: Command, dot: Value, piped: list[Value]) -> Value:
        self._spend()
        head, rest = command.words[0], command.words[1:]
        if isinstance(head, Function):
            return self._function(head.name, rest, dot, piped)
        if isinstance(head, Dot | Variable | Chain) and head.path and head.path[-1] in METHODS:
            owner = self._operand(_shortened(head), dot)
            if isinstance(owner, Instant):
                given = [self._operand(one, dot) for one in rest] + piped
                return _method(owner, head.path[-1], given)
        if rest or piped:
            raise ValueError("can't give argument to non-function")
        return self._operand(head, dot)

    def _operand(self, operand: Operand, dot: Value) -> Value:
        match operand:
            case Constant():
                return operand.value
            case Function():
                return self._function(operand.name, (), dot, [])
            case Dot():
                found, path = dot, operand.path
            case Variable():
                found, path = self._variable(operand.name), operand.path
            case Chain():
                found, path = self._pipe(operand.pipe, dot), operand.path
            case _:
                assert_never(operand)
        for place, name in enumerate(path):
            if isinstance(found, Instant) and name in METHODS and place == len(path) - 1:
                return _method(found, name, [])
            found = field(found, name)
        return found

    def _variable(self, name: str) -> Value:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise ValueError(f"undefined variable: {name}")

    def _function(
        self, name: str, words: Sequence[Operand], dot: Value, piped: list[Value]
    ) -> Value:
        if name in {"and", "or"}:
            return self._junction(name, words, dot, piped)
        given = [self._operand(one, dot) for one in words] + piped
        cost = sum(map(size, given)) // CHARACTERS_A_STEP
        self._spend(1 + cost + COSTLY.get(name, 0))
        try:
            found = self._called(name, given)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"error calling {name}: {error}") from None
        made = size(found)
        if made > VALUE_CHARACTERS_MAX:
            raise ValueError(f"{name} made more than {VALUE_CHARACTERS_MAX} characters")
        self._spend(made // CHARACTERS_A_STEP)
        return found

    def _junction(
        self, name: str, words: Sequence[Operand], dot: Value, piped: list[Value]
    ) -> Value:
        found: Value = None
        if not words and not piped:
            raise ValueError(f"wrong number of args for {name}: want at least 1 got 0")
        for word in words:
            found = self._operand(word, dot)
            if truth(found) is not (name == "and"):
                return found
        return piped[0] if piped else found

    def _called(self, name: str, given: list[Value]) -> Value:
        match name:
            case "query":
                return self._query(*_counted(name, given, 1, 1))
            case "tmpl":
                return self._tmpl(*_counted(name, given, 2, 2))
            case "externalURL":
                _counted(name, given, 0, 0)
                return self._around.external_url
            case "pathPrefix":
                _counted(name, given, 0, 0)
                return urlsplit(self._around.external_url).path
            case "now":
                _counted(name, given, 0, 0)
                return Instant(self._around.seconds)
            case "call":
                raise ValueError("there is no function in the data that could be called")
            case _:
                called: Called
                called, least, most = FUNCTIONS[name]
                return called(_counted(name, given, least, most))

    def _query(self, expression: Value) -> Value:
        self._queries += 1
        self._spend(QUERY_STEPS)
        if self._queries > QUERIES_MAX:
            raise ValueError(f"a template may ask {QUERIES_MAX} queries")
        if self._around.ask is None:
            raise ValueError("there are no series to ask here")
        found = self._around.ask(text(expression))
        if len(found) > ROWS_MAX:
            raise ValueError(f"the query gives more than {ROWS_MAX} rows")
        self._spend(len(found))
        return [*found]

    def _tmpl(self, name: Value, data: Value) -> str:
        outer, self._out = self._out, []
        self._invoke(text(name), data)
        written, self._out = "".join(self._out), outer
        return written


def _shortened(head: Dot | Variable | Chain) -> Operand:
    """Return what a method is called of."""
    match head:
        case Dot():
            return Dot(head.path[:-1])
        case Variable():
            return Variable(head.name, head.path[:-1])
        case Chain():
            return Chain(head.pipe, head.path[:-1])


def _method(value: Instant, name: str, given: list[Value]) -> Value:
    match name:
        case "Format":
            return functions.formatted(value, text(*_counted(name, given, 1, 1)))
        case "Unix":
            return int(value.seconds)
        case "UTC":
            return value
        case _:
            return shown(value)


def _counted(name: str, given: list[Value], least: int, most: int) -> list[Value]:
    if len(given) < least or (most >= 0 and len(given) > most):
        wanted = f"at least {least}" if most < 0 else str(least)
        raise ValueError(f"wrong number of args for {name}: want {wanted} got {len(given)}")
    return given


def _pairs(value: Value) -> Sequence[tuple[Value, Value]]:
    """Return what a range goes through: places or keys, and what is there."""
    match value:
        case None:
            return ()
        case bool() | str() | float():
            raise ValueError(f"range can't iterate over {shown(value)}")
        case int():
            count = min(max(value, 0), STEPS_MAX + 1)
            return [(place, place) for place in range(count)]
        case Mapping():
            return [(name, value[name]) for name in sorted(value)]
        case list() | tuple():
            return [*enumerate(value)]
        case _:
            raise ValueError(f"range can't iterate over {kind(value)}")
