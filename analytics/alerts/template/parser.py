"""Templates read as Go reads them (`text/template/parse`): words in, a tree out.

A function that nobody defined is a `BadFunction`, so that whoever reads a file may go on without
the one text; everything else that is wrong is a `BadTemplate` with its line and column.
"""

import re
from collections.abc import Callable, Collection
from typing import Final

from analytics.alerts.template.lexer import ActionToken, BadTemplate, Token, pieces, placed
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

TEMPLATE_CHARACTERS_MAX: Final = 16_384
"""How long a template may be."""
DEPTH_MAX: Final = 32
"""How deep brackets and blocks may nest."""
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL
)
_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
    "'": "'", '"': '"',
}  # fmt: skip
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
_ENDS: Final = frozenset({"end", "else"})


class BadFunction(BadTemplate):
    """A function that is not defined."""


def parse(text: str, *, functions: Collection[str], variables: Collection[str]) -> Tree:
    """Read a template; raise `BadTemplate` or `BadFunction`."""
    if len(text) > TEMPLATE_CHARACTERS_MAX:
        raise BadTemplate(f"longer than {TEMPLATE_CHARACTERS_MAX} characters")
    return _Reader(text, frozenset(functions), list(variables)).tree()


class _Reader:
    def __init__(self, text: str, functions: frozenset[str], variables: list[str]) -> None:
        self._text = text
        self._functions = functions
        self._variables = variables
        self._pieces = list(pieces(text))
        self._at = 0
        self._depth = 0
        self._loops = 0
        self._defined: dict[str, tuple[Node, ...]] = {}

    def tree(self) -> Tree:
        body, ended = self._body()
        if ended is not None:
            raise self._wrong(ended, f"unexpected {{{{{ended.words[0].text}}}}}")
        return Tree(body, self._defined)

    def _body(self) -> tuple[tuple[Node, ...], Token | None]:
        """Return nodes up to an end or an else, and that."""
        nodes: list[Node] = []
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            self._at += 1
            if not piece.words and piece.text:
                nodes.append(TextNode(piece.text))
                continue
            if piece.words and piece.words[0].text in _ENDS and piece.words[0].kind == "name":
                return tuple(nodes), piece
            node = self._guarded(piece)
            if node is not None:
                nodes.append(node)
        return tuple(nodes), None

    def _guarded(self, piece: Token) -> Node | None:
        try:
            return self._node(piece)
        except BadTemplate as error:
            if type(error) is _Unplaced:
                raise self._wrong(piece, error.reason) from None
            if isinstance(error, _UnplacedFunction):
                line = placed("", self._text, piece.offset)
                raise BadFunction(error.reason, line.line, line.column) from None
            raise

    def _node(self, piece: Token) -> Node | None:
        head = piece.words[0] if piece.words else None
        read = self._KEYWORDS.get(head.text) if head is not None and head.kind == "name" else None
        if read is not None:
            return read(self, piece)
        return Action(self._pipeline(piece.words))

    def _block_of(self, piece: Token, scope: int) -> tuple[Node, ...]:
        """Return the nodes up to the end of a block; variables of it are forgotten."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(piece, f"blocks nest deeper than {DEPTH_MAX}")
        body, ended = self._body()
        if ended is None:
            raise self._wrong(piece, f"{piece.words[0].text} has no {{{{end}}}}")
        self._depth -= 1
        self._ended = ended
        del self._variables[scope:]
        return body

    def _if(self, piece: Token) -> Node:
        scope = len(self._variables)
        moves = piece.words[0].text == "with"
        pipe = self._pipeline(piece.words[1:])
        inner = len(self._variables)
        body = self._block_of(piece, inner)
        other = self._else(inner, (piece.words[0].text,))
        del self._variables[scope:]
        return Choice(pipe, body, other, moves)

    def _range(self, piece: Token) -> Node:
        scope = len(self._variables)
        pipe = self._pipeline(piece.words[1:], most=2)
        inner = len(self._variables)
        self._loops += 1
        body = self._block_of(piece, inner)
        self._loops -= 1
        other = self._else(inner, ())
        del self._variables[scope:]
        return Loop(pipe, body, other)

    def _else(self, scope: int, chained: tuple[str, ...]) -> tuple[Node, ...]:
        """Return what follows an else, if one ended the block that was just read."""
        ended = self._ended
        if ended.words[0].text == "end":
            if len(ended.words) > 1:
                raise self._wrong(ended, "unexpected words after end")
            return ()
        if len(ended.words) > 1:
            if ended.words[1].text not in chained:
                raise self._wrong(ended, f"unexpected {ended.words[1].text!r} after else")
            again = self._guarded(Token(ended.offset, words=ended.words[1:]))
            return () if again is None else (again,)
        other = self._block_of(ended, scope)
        if self._ended.words[0].text == "else":
            raise self._wrong(self._ended, "a second else")
        return other

    def _define(self, piece: Token) -> None:
        name, rest = self._name(piece)
        if rest or self._depth:
            raise self._wrong(piece, "define takes a name, outside of other blocks")
        self._defined[name] = self._own(piece)

    def _template(self, piece: Token) -> Node:
        name, rest = self._name(piece)
        return Invoke(name, self._pipeline(rest) if rest else None)

    def _block(self, piece: Token) -> Node:
        name, rest = self._name(piece)
        pipe = self._pipeline(rest)
        self._defined.setdefault(name, self._own(piece))
        return Invoke(name, pipe)

    def _own(self, piece: Token) -> tuple[Node, ...]:
        """Return the body of a template of its own, which sees no variables but `$`."""
        outer, self._variables = self._variables, ["$"]
        loops, self._loops = self._loops, 0
        body = self._block_of(piece, 1)
        if self._ended.words[0].text == "else":
            raise self._wrong(self._ended, "unexpected {{else}}")
        self._variables, self._loops = outer, loops
        return body

    def _leave(self, piece: Token) -> Node:
        word = piece.words[0].text
        if not self._loops or len(piece.words) > 1:
            raise self._wrong(piece, f"{word} stands alone, inside of a range")
        return Leave(word == "break")

    _KEYWORDS: Final[dict[str, Callable[["_Reader", Token], Node | None]]] = {
        "if": _if, "with": _if, "range": _range, "define": _define, "template": _template,
        "block": _block, "break": _leave, "continue": _leave,
    }  # fmt: skip

    def _name(self, piece: Token) -> tuple[str, tuple[ActionToken, ...]]:
        words = piece.words[1:]
        if not words or words[0].kind not in {"text", "raw"}:
            raise self._wrong(piece, f"{piece.words[0].text} needs a name in quotes")
        return _unquoted(words[0].text), words[1:]

    def _pipeline(self, words: tuple[ActionToken, ...], *, most: int = 1) -> Pipe:
        names, assigns, rest = _declared(words, most)
        if assigns and (unknown := [one for one in names if one not in self._variables]):
            raise _Unplaced(f"undefined variable {unknown[0]!r}")
        pipe, at = self._commands(rest, 0, 0)
        if at < len(rest):
            raise _Unplaced("a bracket is closed that was not opened")
        if names and not assigns:
            self._variables += names
        return Pipe(pipe.commands, names, assigns)

    def _commands(self, words: tuple[ActionToken, ...], at: int, depth: int) -> tuple[Pipe, int]:
        if depth > DEPTH_MAX:
            raise _Unplaced(f"brackets nest deeper than {DEPTH_MAX}")
        commands: list[Command] = []
        while True:
            operands: list[Operand] = []
            while at < len(words) and words[at].text not in {"|", ")"}:
                operand, at = self._operand(words, at, depth)
                operands.append(operand)
            if not operands:
                raise _Unplaced("a value is missing" if words else "an action is empty")
            _check_head(operands, is_first=not commands)
            commands.append(Command(tuple(operands)))
            if at >= len(words) or words[at].text == ")":
                return Pipe(tuple(commands)), at
            at += 1

    def _operand(self, words: tuple[ActionToken, ...], at: int, depth: int) -> tuple[Operand, int]:
        word = words[at]
        at += 1
        if word.text == "(" and word.kind == "sign":
            pipe, at = self._commands(words, at, depth + 1)
            if at >= len(words):
                raise _Unplaced("a bracket is not closed")
            path, at = _path(words, at + 1)
            return Chain(pipe, path), at
        if word.kind == "variable":
            if word.text not in self._variables:
                known = ", ".join(self._variables)
                raise _Unplaced(f"undefined variable {word.text!r}; known are {known}")
            path, at = _path(words, at)
            return Variable(word.text, path), at
        if word.kind == "field" or word.text == ".":
            path, at = _path(words, at)
            return Dot((word.text[1:], *path) if word.kind == "field" else path), at
        return self._plain(word), at

    def _plain(self, word: ActionToken) -> Operand:
        if word.kind == "name" and word.text not in _CONSTANTS:
            if word.text not in self._functions:
                known = ", ".join(sorted(self._functions))
                raise _UnplacedFunction(f"function {word.text!r} is not defined; there are {known}")
            return Function(word.text)
        if word.kind == "sign":
            raise _Unplaced(f"unexpected {word.text!r}")
        return Constant(_constant(word))

    def _wrong(self, piece: Token, reason: str) -> BadTemplate:
        return placed(reason, self._text, piece.offset)


class _Unplaced(BadTemplate):
    """Something wrong in an action whose place is not known yet."""


class _UnplacedFunction(BadTemplate):
    """A function that is not defined, whose place is not known yet."""


def _declared(
    words: tuple[ActionToken, ...], most: int
) -> tuple[tuple[str, ...], bool, tuple[ActionToken, ...]]:
    """Return the variables that a pipeline sets, whether they exist, and the rest of it."""
    names = [words[0].text] if words and words[0].kind == "variable" else []
    at = len(names)
    two = [one.kind for one in words[:3]] == ["variable", "sign", "variable"]
    if most > 1 and two and words[1].text == ",":
        names.append(words[2].text)
        at = 3
    if names and at < len(words) and words[at].kind == "sign" and words[at].text in {":=", "="}:
        return tuple(names), words[at].text == "=", words[at + 1 :]
    return (), False, words


def _path(words: tuple[ActionToken, ...], at: int) -> tuple[tuple[str, ...], int]:
    path: list[str] = []
    while at < len(words) and words[at].kind == "field" and words[at].is_close:
        path.append(words[at].text[1:])
        at += 1
    return tuple(path), at


def _check_head(operands: list[Operand], *, is_first: bool) -> None:
    head = operands[0]
    is_callable = isinstance(head, Function) or (
        isinstance(head, Dot | Variable | Chain) and bool(head.path)
    )
    if len(operands) > 1 and not is_callable:
        raise _Unplaced("a value cannot be called; only functions take values")
    if isinstance(head, Constant) and (not is_first or head.value is None):
        raise _Unplaced("a constant cannot be given a value, and nil is none")


def _constant(word: ActionToken) -> str | float | int | bool | None:
    match word.kind:
        case "name":
            return _CONSTANTS[word.text]
        case "character":
            inside = _unquoted(f'"{word.text[1:-1]}"')
            if len(inside) != 1:
                raise _Unplaced(f"{word.text} is no character")
            return ord(inside)
        case "number":
            return _number(word.text)
        case _:
            return _unquoted(word.text)


def _number(text: str) -> float | int:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(text.lstrip("+"), 8) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise _Unplaced(f"{text!r} is no number") from None


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    return _ESCAPE.sub(_escaped, text[1:-1])


def _escaped(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    try:
        if code:
            return chr(int(code, 16))
        if found[4]:
            return chr(int(found[4], 8))
        return _ESCAPES[found[5]]
    except (KeyError, ValueError, OverflowError):
        raise _Unplaced(f"unknown escape {found[0]!r} in a text") from None
