"""Where in an expression something stands: promql-parser says what is wrong, but not where.

Words of the text are told apart, strings and comments left aside, so that a name in an error is
found where it is used. For a text that is no expression the place is the first word after the
longest beginning that is one.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

PREFIXES_MAX: Final = 64
"""How many beginnings are tried at most to find where a text goes wrong."""
_WORD: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<text>"(?:\\.|[^"\\])*+(?:"|\Z)|'(?:\\.|[^'\\])*+(?:'|\Z)|`[^`]*+(?:`|\Z))
    |(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9.][0-9a-zA-Z_.]*)
    |(?P<sign>=~|!~|!=|==|>=|<=|.)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED: Final = re.compile(r"'([^']+)'")


class ExpressionToken(Struct, frozen=True):
    """One word of an expression."""

    text: str
    start: int
    end: int
    is_text: bool


def words(text: str) -> list[ExpressionToken]:
    """Return the words of an expression, without blanks and comments."""
    return [
        ExpressionToken(found[0], found.start(), found.end(), found.lastgroup == "text")
        for found in _WORD.finditer(text)
        if found.lastgroup != "space"
    ]


def line_and_column(text: str, start: int) -> tuple[int, int]:
    """Return the place of a character, both counted from 1."""
    before = text[:start]
    return before.count("\n") + 1, start - before.rfind("\n")


def of_word(text: str, wanted: str, *, before: str = "") -> int:
    """Return where a word stands (with `before`: where it comes right before that), else 0."""
    found = words(text)
    for index, word in enumerate(found):
        after = found[index + 1].text if index + 1 < len(found) else ""
        if word.text.lower() == wanted.lower() and before in {"", after}:
            return word.start
    return 0


def of_subquery(text: str) -> int:
    """Return where a bracket with a colon in it opens, else 0."""
    opened = 0
    for word in words(text):
        if word.text == "[":
            opened = word.start
        if ":" in word.text and not word.is_text and text[opened : opened + 1] == "[":
            return opened
        if word.text == "]":
            opened = len(text)
    return 0


def of_error(text: str, reason: str, reads: Callable[[str], bool]) -> int:
    """Return where a text goes wrong, by what `reason` names or by its beginnings."""
    if "unexpected end" in reason or "unclosed" in reason:
        return len(text.rstrip())
    found = words(text)
    for name in _QUOTED.findall(reason):
        for word in found:
            if word.text.lower() == name.lower():
                return word.start
    return _after_what_reads(text, found, reads)


def _after_what_reads(text: str, found: list[ExpressionToken], reads: Callable[[str], bool]) -> int:
    for index in range(len(found) - 1, max(0, len(found) - 1 - PREFIXES_MAX), -1):
        if reads(text[: found[index - 1].end]):
            return found[index].start
    return found[0].start if found else 0
