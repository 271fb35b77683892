"""Matchers of labels: `severity="critical"`, `team=~"a|b"`, and the old `match` and `match_re`.

A missing label is an empty one. Regular expressions match the whole value. Text is read as
Alertmanager's classic parser does (`pkg/labels/parse.go`); names may also stand in quotes.
Expressions are RE2's, as Alertmanager's are (`analytics.patterns`).
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics import patterns
from analytics.alerts.labels import Labels, quoted

_ONE: Final = re.compile(
    r'\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*|"(?:[^"\\]|\\.)+")\s*(?P<sign>=~|!~|!=|=)'
    r"\s*(?P<value>.*)",
    re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", '"': '"', "\\": "\\"}


class LabelOperator(StrEnum):
    """How a label is compared."""

    EQUAL = "="
    UNEQUAL = "!="
    LIKE = "=~"
    UNLIKE = "!~"


class LabelMatcher(Struct, frozen=True, order=True):
    """One condition on one label."""

    name: str
    sign: LabelOperator
    value: str

    def holds(self, labels: Labels) -> bool:
        """Say whether the condition holds for a label set."""
        value = labels.get(self.name, "")
        if self.sign is LabelOperator.EQUAL:
            return value == self.value
        if self.sign is LabelOperator.UNEQUAL:
            return value != self.value
        found = patterns.compiled(self.value).matches(value)
        return found is (self.sign is LabelOperator.LIKE)

    def __str__(self) -> str:
        return f"{self.name}{self.sign.value}{quoted(self.value)}"


Matchers = tuple[LabelMatcher, ...]


def all_hold(matchers: Matchers, labels: Labels) -> bool:
    """Say whether every one of `matchers` holds."""
    return all(matcher.holds(labels) for matcher in matchers)


def written(matchers: Matchers) -> str:
    """Return matchers as Alertmanager writes them: `{a="b",c=~"d"}`."""
    return "{" + ",".join(map(str, matchers)) + "}"


def made(name: str, sign: LabelOperator, value: str) -> LabelMatcher:
    """Return a matcher, its expression checked; raise `ValueError` that says what is wrong."""
    if sign in {LabelOperator.LIKE, LabelOperator.UNLIKE}:
        patterns.compiled(value)
    return LabelMatcher(name, sign, value)


def parse(text: str) -> Matchers:
    """Return the matchers in `{a="b",c=~"d"}` or `a="b"`; raise `ValueError`."""
    inner = text.strip()
    if inner.startswith("{"):
        if not inner.endswith("}"):
            raise ValueError(f"{text!r} opens a brace that it does not close")
        inner = inner[1:-1].strip().removesuffix(",")
    return tuple(map(_one, _parts(inner))) if inner else ()


def from_pairs(pairs: Mapping[str, str], sign: LabelOperator) -> Matchers:
    """Return matchers of the old form, name to value."""
    return tuple(made(name, sign, value) for name, value in sorted(pairs.items()))


def exactly(labels: Labels) -> Matchers:
    """Return the matchers that hold for all label sets with the pairs of `labels`."""
    return tuple(LabelMatcher(name, LabelOperator.EQUAL, labels[name]) for name in sorted(labels))


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


def _one(text: str) -> LabelMatcher:
    found = _ONE.fullmatch(text)
    if found is None:
        raise ValueError(f'{text!r} is no matcher: write it like severity="critical"')
    name, value = found["name"], found["value"]
    if name.startswith('"'):
        name = _unquoted(name, text)
    return made(name, LabelOperator(found["sign"]), _unquoted(value.rstrip(), text))


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
