"""Whether a value looks drawn at random, as keys and tokens are, or chosen, as passwords are.

What stands in code after `token =` is mostly no token but a name, a call or a word of the
documentation. Words and names keep to one kind of character for a while; what was drawn at random
changes between small letters, capitals and digits every few characters.
"""

import re
from collections import Counter
from itertools import pairwise
from math import log2
from typing import Final

MIXED_MIN: Final = 0.4
"""Changes of kind, a character, from which letters of both cases are no words."""
SINGLE_MIN: Final = 0.2
"""The same where the letters are of one case."""
CHANGES_MIN: Final = 3
PART_MIN: Final = 8
"""Characters of a part that can be told from a word."""
MIXED_SIZE_MIN: Final = 10
LETTERS_SIZE_MIN: Final = 16
WHOLE_MIN: Final = 24
"""Characters of a value with signs in it that can be told from words with signs between them."""
BITS_MIN: Final = 2.5
"""Entropy of its characters, in bits, below which nothing was drawn at random."""
LOOKED_AT_MAX: Final = 256
"""Characters of a value that are looked at."""

_PART: Final = re.compile(r"[A-Za-z0-9]+")
_CAMEL: Final = re.compile(r"(?:[A-Z]?[a-z]+[0-9]?)+[A-Z]?|[A-Z]+")
_CONSONANTS: Final = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}|[BCDFGHJKLMNPQRSTVWXZ]{6}")
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STANDING_IN: Final = re.compile(
    r"(?i)(?:[<$%{*#@=\[].*|x{3,}.*|\.{2,}.*|.*\.\.\.|//.*|[a-z]+:/.*|arn:.*|.*::.*|sha\d+[=:].*|"
    r"(?:your|my|some|the|an?|fake|dummy|example|sample|new|old|no|not|get|set|is|has)[-_ ].*|"
    r"n/?a|none|null|true|false|undefined|required|optional|string|"
    r"change-?me.*|redacted.*|placeholder.*)"
)
_NAMES: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:(?:\.#?|->)[A-Za-z_][A-Za-z0-9_]*)+")
_PATH: Final = re.compile(
    r"[.~]{0,2}/[A-Za-z].*|(?:[\w.-]+/)+[\w-]*\.?[a-z]{1,4}"
    r"|[\w.:-]+\.(?:pem|key|crt|json|ya?ml|toml|py|js|txt|md|html?)"
)


def is_stand_in(value: str) -> bool:
    """Say whether a value stands in for one: a variable, a placeholder, a path, a word for none."""
    value = value[:LOOKED_AT_MAX]
    if _STANDING_IN.fullmatch(value) or _NAMES.fullmatch(value):
        return True
    return _PATH.fullmatch(value) is not None and not is_drawn(value)


def is_drawn(value: str) -> bool:
    """Say whether a value looks drawn at random."""
    value = value[:LOOKED_AT_MAX]
    if len(value) < PART_MIN or _bits(value) < BITS_MIN:
        return False
    if _UUID.fullmatch(value):
        return True
    parts = _PART.findall(value)
    if any(map(_is_part_drawn, parts)):
        return True
    whole = "".join(parts)
    if all(map(_CAMEL.fullmatch, parts)):
        return False
    return len(whole) >= WHOLE_MIN and any(map(str.isdigit, whole)) and _is_part_drawn(whole)


def is_chosen(value: str) -> bool:
    """Say whether a value looks like a password: letters with digits or signs among them."""
    value = value[:LOOKED_AT_MAX]
    has_letter = any(map(str.isalpha, value)) and value.count("/") < 2
    return has_letter and any(sign.isdigit() or sign in "!@#$%^&*+" for sign in value)


def _is_part_drawn(part: str) -> bool:
    size = len(part)
    if size < PART_MIN or part.isdigit():
        return False
    changes = sum(_kind(one) != _kind(other) for one, other in pairwise(part))
    if part.lower() != part != part.upper():
        return (
            size >= MIXED_SIZE_MIN
            and not _CAMEL.fullmatch(part)
            and changes >= max(CHANGES_MIN, MIXED_MIN * size)
        )
    if part.isalpha():
        return size >= LETTERS_SIZE_MIN and _CONSONANTS.search(part) is not None
    return changes >= max(CHANGES_MIN, SINGLE_MIN * size)


def _kind(sign: str) -> int:
    return sign.isdigit() + 2 * sign.isupper()


def _bits(value: str) -> float:
    total = len(value)
    return -sum(n / total * log2(n / total) for n in Counter(value).values())
