"""Matchers of labels: `severity="critical"`, `team=~"a|b"`, and the old `match` and `match_re`.

A missing label is an empty one. Regular expressions match the whole value. Text is read as
Alertmanager's classic parser does (`pkg/labels/parse.go`); names may also stand in quotes.
Expressions are Python's, which reads nearly all of RE2's syntax; what it cannot read is refused.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final

from msgspec import Struct

from analytics.alerts.labels import Labels, quoted

PATTERN_CHARACTERS_MAX: Final = 4_096
"""How long a regular expression may be."""
_ONE: Final = re.compile(
    r'\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*|"(?:[^"\\]|\\.)+")\s*(?P<sign>=~|!~|!=|=)'
    r"\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
_FLAGGED: Final = re.compile(r"\(\?([ims]+)\)")
_ESCAPES: Final = {"n": "\n", '"': '"', "\\": "\\"}


class Sign(StrEnum):
    """How a label is compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LIKE = "=~"
    UNLIKE = "!~"


class Matcher(Struct, frozen=True, order=True):
    """One condition on one label."""

    name: str
    sign: Sign
    value: str

    def holds(self, labels: Labels) -> bool:
        """Say whether the condition holds for a label set."""
        value = labels.get(self.name, "")
        if self.sign is Sign.EQUAL:
            return value == self.value
        if self.sign is Sign.UNEQUAL:
            return value != self.value
        found = pattern(self.value).fullmatch(value) is not None
        return found is (self.sign is Sign.LIKE)

    def __str__(self) -> str:
        return f"{self.name}{self.sign.value}{quoted(self.value)}"


Matchers = tuple[Matcher, ...]


def all_hold(matchers: Matchers, labels: Labels) -> bool:
    """Say whether every one of `matchers` holds."""
    return all(matcher.holds(labels) for matcher in matchers)


def written(matchers: Matchers) -> str:
    """Return matchers as Alertmanager writes them: `{a="b",c=~"d"}`."""
    return "{" + ",".join(map(str, matchers)) + "}"


@lru_cache(maxsize=4_096)
def pattern(text: str) -> re.Pattern[str]:
    """Return a compiled expression; raise `ValueError` that says what is wrong."""
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise ValueError(f"a pattern of more than {PATTERN_CHARACTERS_MAX} characters")
    flags = re.DOTALL
    flagged = _FLAGGED.match(text)
    if flagged:
        flags |= re.IGNORECASE if "i" in flagged[1] else re.NOFLAG
        flags |= re.MULTILINE if "m" in flagged[1] else re.NOFLAG
        text = text[flagged.end() :]
    try:
        return re.compile(text, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def made(name: str, sign: Sign, value: str) -> Matcher:
    """Return a matcher, its expression checked; raise `ValueError` that says what is wrong."""
    if sign in {Sign.LIKE, Sign.UNLIKE}:
        pattern(value)
    return Matcher(name, sign, value)


def parse(text: str) -> Matchers:
    """Return the matchers in `{a="b",c=~"d"}` or `a="b"`; raise `ValueError`."""
    inner = text.strip()
    if inner.startswith("{"):
        if not inner.endswith("}"):
            raise ValueError(f"{text!r} opens a brace that it does not close")
        inner = inner[1:-1].strip().removesuffix(",")
    return tuple(map(_one, _parts(inner))) if inner else ()


def from_pairs(pairs: Mapping[str, str], sign: Sign) -> Matchers:
    """Return matchers of the old form, name to value."""
    return tuple(made(name, sign, value) for name, value in sorted(pairs.items()))


def exactly(labels: Labels) -> Matchers:
    """Return the matchers that hold for all label sets with the pairs of `labels`."""
    return tuple(Matcher(name, Sign.EQUAL, labels[name]) for name in sorted(labels))


def _parts(text: str) -> list[str]:
    parts, start, in_quotes, escaped = [], 0, False, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            in_quotes = not in_quotes
        elif character == "," and not in_quotes:
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _one(text: str) -> Matcher:
    found = _ONE.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is no matcher: write it like severity="critical"')
    name, value = found["name"], found["value"]
    if name.startswith('"'):
        name = _unquoted(name, text)
    return made(name, Sign(found["sign"]), _unquoted(value, text))


def _unquoted(value: str, whole: str) -> str:
    is_quoted = value.startswith('"')
    if is_quoted and (len(value) < 2 or not value.endswith('"')):
        raise ValueError(f"{whole!r} opens a quote that it does not close")
    inner = value[1:-1] if is_quoted else value
    out: list[str] = []
    take: Callable[[str], None] = out.append
    escaped = False
    for character in inner:
        if escaped:
            take(_ESCAPES.get(character, "\\" + character))
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            raise ValueError(f"{whole!r} holds a quote that is not escaped")
        else:
            take(character)
    if escaped:
        if is_quoted:
            raise ValueError(f"{whole!r} ends in a lone backslash")
        take("\\")
    return "".join(out)
