"""Literals that the parser of PromQL is not to read: covered before, and uncovered after.

The parser would compile patterns with an engine of its own, of other syntax and in half a second
each, and it reads escapes between backquotes, where PromQL has none. So such literals are covered:
each character by one that stands for the literal, so that all places stay as they are.
"""

from typing import Final

import promql_parser

from analytics.promql import places
from analytics.promql.places import ExpressionToken
from analytics.promql.series import MatchOperator

PATTERNS_MAX: Final = 100
"""How many patterns the selectors of an expression may have together."""
_FIRST: Final = 0xE000
_LAST: Final = 0xF8FF
"""Characters of private use; a literal that has one is covered too."""


class TooMany(ValueError):
    """More literals than can be covered; `word` is the first that cannot."""

    def __init__(self, word: ExpressionToken, reason: str) -> None:
        self.word = word
        super().__init__(reason)


class Covered:
    """An expression for the parser, and the literals that it does not show."""

    def __init__(self, text: str) -> None:
        """Cover; raise `TooMany`."""
        plain, before, patterns = list(text), "", 0
        self._words: list[ExpressionToken] = []
        for word in places.words(text):
            is_pattern = before in {MatchOperator.LIKE, MatchOperator.UNLIKE}
            if word.is_text and (is_pattern or _must_be(word.text)):
                patterns += is_pattern
                if patterns > PATTERNS_MAX:
                    raise TooMany(word, f"more than {PATTERNS_MAX} patterns; split it")
                plain[word.start + 1 : word.end - 1] = self._cover(word)
            before = word.text
        self.text = "".join(plain)

    def literal(self, value: str) -> tuple[int, str]:
        """Return where a literal stands (0 if it was not covered) and what it says.

        Raise `ValueError` if it cannot be read.
        """
        number = ord(value[0]) - _FIRST if value else -1
        if not 0 <= number < len(self._words):
            return 0, value
        word = self._words[number]
        return word.start, _unquoted(word.text)

    def place(self, value: str) -> int:
        """Return where a literal stands, 0 if it was not covered."""
        number = ord(value[0]) - _FIRST if value else -1
        return self._words[number].start if 0 <= number < len(self._words) else 0

    def restored(self, written: str) -> str:
        """Return what the parser writes of a part of the expression, with its literals."""
        for number, word in enumerate(self._words):
            run = chr(_FIRST + number) * (len(word.text) - 2)
            written = written.replace(f'"{run}"', word.text)
        return written

    def _cover(self, word: ExpressionToken) -> str:
        number = len(self._words)
        if _FIRST + number > _LAST:
            raise TooMany(word, f"more than {number} literals with patterns or escapes; split it")
        self._words.append(word)
        return chr(_FIRST + number) * (len(word.text) - 2)


def _must_be(text: str) -> bool:
    return "\\" in text or any(_FIRST <= ord(character) <= _LAST for character in text)


def _unquoted(literal: str) -> str:
    if literal.startswith("`"):
        return literal[1:-1]
    match promql_parser.parse(literal):
        case promql_parser.StringLiteral(val=value):
            return value
    raise ValueError(f"{literal[:40]!r} is no string")
