"""Regular expressions of selectors, in the syntax of RE2.

Python reads nearly all of it; a flag in the middle of a pattern, which in RE2 holds to the end of
its group, is rewritten into a group of its own. What remains beyond Python is refused. A pattern
matches a whole value. Source: RE2's syntax page; Prometheus' `model/labels` (FastRegexMatcher).
"""

import re
from typing import Final

PATTERN_CHARACTERS_MAX: Final = 4_096
"""How long a pattern may be."""
_FLAGS: Final = re.compile(r"\(\?([ims]+)\)")


def compiled(text: str) -> re.Pattern[str]:
    """Return the pattern; raise `ValueError` that says what is wrong."""
    if len(text) > PATTERN_CHARACTERS_MAX:
        raise ValueError(f"a pattern of more than {PATTERN_CHARACTERS_MAX} characters")
    try:
        return re.compile(_grouped(text).replace(r"\z", r"\Z"), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def _grouped(text: str) -> str:
    """Turn `(?i)` into `(?i:…)` up to the end of the group that it stands in."""
    out: list[str] = []
    open_flags = [0]
    index = 0
    while index < len(text):
        flags = _FLAGS.match(text, index)
        if text[index] == "\\":
            out.append(text[index : index + 2])
            index += 2
        elif text[index] == "[":
            end = _class_end(text, index)
            out.append(text[index:end])
            index = end
        elif flags:
            out.append(f"(?{flags[1]}:")
            open_flags[-1] += 1
            index = flags.end()
        else:
            out.append(_plain(text[index], open_flags))
            index += 1
    return "".join(out) + ")" * open_flags[0]


def _plain(character: str, open_flags: list[int]) -> str:
    if character == "(":
        open_flags.append(0)
    elif character == ")" and len(open_flags) > 1:
        return ")" * (open_flags.pop() + 1)
    elif character == "|" and open_flags[-1]:
        raise ValueError("a flag before an alternative is not supported; write (?i:a|b)")
    return character


def _class_end(text: str, start: int) -> int:
    index = start + 1 + (text[start + 1 : start + 2] == "^")
    index += text[index : index + 1] == "]"
    while index < len(text) and text[index] != "]":
        index += 2 if text[index] == "\\" else 1
    return index + 1
