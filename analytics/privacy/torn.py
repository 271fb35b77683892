"""Contents and secrets left out of JSON that was cut or torn, which no decoder reads.

The text is gone through once, token by token: what follows the name of a content is left out, a
string as well as everything within brackets, to the end of the text if they are never closed. What
follows the name of a secret is hidden. Its
time is linear in the text's length, whatever is in it.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from analytics.privacy.places import LEFT_OUT, Effort

_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]++|[\]}]++|[^\s"\[\]{}]++', re.DOTALL)
NAMED_MAX: Final = 20_000
"""Values whose names are judged, in one text; what follows is left out."""
_NAME_MAX: Final = 64
"""Characters of a name that may be one of a content."""
_NUMBER: Final = re.compile(r":-?[0-9][0-9.]*")
_HIDDEN: Final = '"<secret>"'
_LEFT_OUT: Final = '"<content>"'


def without_contents(text: str, *, is_content: Callable[[str], bool]) -> str:
    """Return the text with each content that follows its name left out."""
    parts: list[str] = []
    kept_to = depth = 0
    leaving_out = False
    name = ""
    for found in _TOKEN.finditer(text):
        said = found.group()
        if leaving_out:
            left = depth + _deeper(said)
            if left <= 0:
                end = found.start() + depth if depth else found.end()
                kept_to, leaving_out, name = end, False, ""
            depth = left
        elif said == ":" and name and is_content(name):
            parts += (text[kept_to : found.end()], _LEFT_OUT)
            kept_to, leaving_out, depth = len(text), True, 0
        elif said.startswith(":") and name and is_content(name):
            parts += (text[kept_to : found.start()], ":", _LEFT_OUT)
            kept_to, name = found.end(), ""
        else:
            name = _name_in(said)
    return "".join((*parts, text[kept_to:]))


def without_secrets(
    text: str,
    *,
    is_secret: Callable[[str, str], bool],
    is_password: Callable[[str], bool],
    effort: Effort,
) -> str:
    """Return the text with each string, or list of them, hidden whose name tells of a secret."""
    parts: list[str] = []
    kept_to = listed = named = 0
    name = ""
    is_named = False
    for found in _TOKEN.finditer(text):
        if named >= NAMED_MAX:
            effort.left_out += 1
            return "".join((*parts, text[kept_to : found.start()], LEFT_OUT))
        said = found.group()
        if is_named and said.startswith('"'):
            named += 1
            if is_secret(name, _string_in(said)):
                parts += (text[kept_to : found.start()], _HIDDEN)
                kept_to = found.end()
            is_named = listed > 0
        elif is_named and said[0] == "[":
            listed += len(said)
        elif said[0] == ":" and name:
            number = _NUMBER.match(said)
            if number is not None and is_password(name):
                parts += (text[kept_to : found.start()], ":", _HIDDEN)
                kept_to = found.start() + number.end()
            is_named = len(said) == 1
        elif not (is_named and listed and said == ","):
            is_named, listed = False, 0
            name = _name_in(said)
    return "".join((*parts, text[kept_to:]))


def _string_in(said: str) -> str:
    try:
        return msgspec.json.decode(said, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return said.strip('"')


def _deeper(said: str) -> int:
    if said[0] in "[{":
        return len(said)
    return -len(said) if said[0] in "]}" else 0


def _name_in(said: str) -> str:
    if not said.startswith('"') or len(said) > _NAME_MAX:
        return ""
    if "\\" not in said:
        return said.strip('"')
    try:
        return msgspec.json.decode(said, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return ""
