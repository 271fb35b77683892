"""A template cut into texts and actions, and actions into words, as Go's lexer does.

One pass over the text from left to right: time is linear in its length.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

LEFT: Final = "{{"
RIGHT: Final = "}}"
SPACE: Final = " \t\r\n"
_WORD: Final = re.compile(
    r'(?P<text>"(?:[^"\\\n]|\\[^\n])*")|(?P<raw>`[^`]*`)|(?P<character>\'(?:[^\'\\\n]|\\[^\n])+\')'
    r"|(?P<number>[+-]?(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?))"
    r"|(?P<variable>\$\w*)|(?P<field>\.[^\W\d]\w*)|(?P<name>[^\W\d]\w*)|(?P<sign>:=|[=|(),.])"
)


class BadTemplate(ValueError):
    """A template that cannot be read; `line` and `column` count from 1 in its own text."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        self.reason = reason
        self.line = line
        self.column = column
        super().__init__(reason)


class ActionToken(Struct, frozen=True):
    """A word of an action: its kind, its text, and whether it follows the one before closely."""

    kind: str
    text: str
    is_close: bool = False


class Token(Struct, frozen=True):
    """A text, or the words of an action; `offset` is where it begins."""

    offset: int
    text: str = ""
    words: tuple[ActionToken, ...] = ()


def pieces(text: str) -> Iterator[Token]:
    """Cut a template; raise `BadTemplate`."""
    at, trims = 0, False
    while True:
        begin = text.find(LEFT, at)
        end = len(text) if begin < 0 else begin
        cuts = (
            begin >= 0
            and text[begin + 2 : begin + 3] == "-"
            and text[begin + 3 : begin + 4] in (*SPACE,)
        )
        between = text[at:end]
        between = between.lstrip(SPACE) if trims else between
        between = between.rstrip(SPACE) if cuts else between
        if between:
            yield Token(at, between)
        if begin < 0:
            return
        words, at, trims = _action(text, begin, begin + (3 if cuts else 2))
        if words is not None:
            yield Token(begin, words=tuple(words))


def placed(reason: str, text: str, offset: int) -> BadTemplate:
    """Return the error that something is wrong at a place of a text."""
    before = text[:offset]
    return BadTemplate(reason, before.count("\n") + 1, offset - before.rfind("\n"))


def _action(text: str, begin: int, at: int) -> tuple[list[ActionToken] | None, int, bool]:
    """Return the words of an action, None for a comment; where it ends, and what follows it."""
    start = _spaced(text, at)
    if text.startswith("/*", start):
        end = text.find("*/", start + 2)
        closed = None if end < 0 else _closed(text, end + 2)
        if closed is None:
            raise placed("a comment is not closed by */}}", text, begin)
        return None, *closed
    words: list[ActionToken] = []
    while True:
        closed = _closed(text, at)
        if closed is not None:
            return words, *closed
        start = _spaced(text, at)
        found = _WORD.match(text, start)
        if found is None:
            if start >= len(text) or text.startswith(LEFT, start):
                raise placed("an action is not closed by }}", text, begin)
            raise placed(f"unexpected {text[start]!r} in an action", text, start)
        words.append(ActionToken(found.lastgroup or "", found[0], start == at and bool(words)))
        at = found.end()


def _closed(text: str, at: int) -> tuple[int, bool] | None:
    """Return where an action ends whose words are over, and whether it trims what follows."""
    after = _spaced(text, at)
    if text.startswith(RIGHT, after):
        return after + 2, False
    if after > at and text.startswith("-" + RIGHT, after):
        return after + 3, True
    return None


def _spaced(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at
