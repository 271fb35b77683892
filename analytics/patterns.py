"""Patterns that come from outside, in RE2's syntax and its time: linear in the text, always.

A selector, a matcher, a route, a silence or a template may hold any pattern; none may hold up what
it is asked of. RE2 knows no look-around and no back-references, so no pattern costs more than its
program for each byte. What a pattern, its program, and one search may cost is limited by name.
The syntax is that of Go, which is what Prometheus and Alertmanager read, and so are the words of a
refusal. Where RE2 in C++ differs: a name may be given to one group only, and a program too large
for `PROGRAM_BYTES_MAX` is refused (Go's are smaller where a class of Unicode is repeated).
Source: RE2's syntax page; Go's `regexp` (`Expand`, `ReplaceAllString`) and `regexp/syntax`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, Protocol

import re2

CHARACTERS_MAX: Final = 4_096
"""How long a pattern may be."""
PROGRAM_BYTES_MAX: Final = 512 * 1024
"""What a pattern's program, and the states that it has been in, may hold in memory."""
UNICODE_CLASSES_MAX: Final = 64
"""How often a pattern may name a class of Unicode, which are hundreds of ranges each."""
STEPS_MAX: Final = 20_000_000
"""What finding or replacing may cost at most: instructions of the program times bytes of text."""
GROUPS_MAX: Final = 64
"""How many groups a pattern may have where what they found is asked for."""
KEPT_MAX: Final = 256
"""How many compiled patterns are kept."""

_ESCAPE: Final = re.compile(r"\\(?:Q.*?(?:\\E|\Z)|.)", re.DOTALL)
_WORDS: Final = re.compile(r"[A-Za-z0-9_ /:@,=|-]*")
_GROUP: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})")
_INSIDE: Final = frozenset(bytes((byte,)) for byte in range(0x80, 0xC0))
"""Bytes within a character: nothing begins there, though RE2 finds the empty text in bytes too."""
_IN_GO: Final = {
    "bad repetition operator": "invalid nested repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "trailing \\": "trailing backslash at end of expression",
}
_NO_LOOKING: Final = "invalid or unsupported Perl syntax"


class _Found(Protocol):
    def span(self, group: int = 0) -> tuple[int, int]: ...


class _Program(Protocol):
    @property
    def programsize(self) -> int: ...
    @property
    def groups(self) -> int: ...
    @property
    def groupindex(self) -> dict[bytes, int]: ...
    def search(self, text: bytes) -> _Found | None: ...
    def fullmatch(self, text: bytes) -> _Found | None: ...
    def finditer(self, text: bytes) -> Iterator[_Found]: ...


class Pattern:
    """A pattern that was read; `dot_is_any` lets `.` stand for a line's end too."""

    def __init__(self, text: str, *, dot_is_any: bool) -> None:
        self._text = text
        self._dot_is_any = dot_is_any
        is_plain = _WORDS.fullmatch(text) is not None
        self._words = frozenset(text.split("|")) if is_plain else None
        self._matcher = _program(text, dot_is_any=dot_is_any, captures=False)

    def matches(self, value: str) -> bool:
        """Say whether it matches the whole of a value."""
        if self._words is not None:
            return value in self._words
        return self._matcher.fullmatch(_bytes(value)) is not None

    def is_in(self, text: str) -> bool:
        """Say whether it is found anywhere in a text; raise `ValueError` if that costs too much."""
        data = _bytes(text)
        self._afford(len(data))
        return self._matcher.search(data) is not None

    def filled(self, template: str, value: str) -> str | None:
        """Return `$1`, `${name}` filled with what it found in the whole of a value, if it did."""
        if not self.matches(value):
            return None
        data = _bytes(value)
        self._afford(len(data))
        program = self._finder()
        found = program.fullmatch(data)
        return None if found is None else _expanded(template, program, found, data)

    def replaced(self, template: str, text: str) -> str:
        """Return a text in which all that it finds is replaced by a template, as Go does."""
        data, program = _bytes(text), self._finder()
        out: list[str] = []
        end = position = steps = 0
        self._afford(len(data))
        for found in program.finditer(data):
            start, after = found.span()
            if data[start : start + 1] in _INSIDE:
                continue
            out.append(_text(data[end:start]))
            if after > end or start == 0:
                out.append(_expanded(template, program, found, data))
            steps += (len(data) - position) + len(template)
            self._afford(steps)
            end = position = after
        return "".join(out) + _text(data[end:])

    def _finder(self) -> _Program:
        program = _program(self._text, dot_is_any=self._dot_is_any, captures=True)
        if program.groups > GROUPS_MAX:
            raise ValueError(f"a pattern of more than {GROUPS_MAX} groups; use (?:…)")
        return program

    def _afford(self, length: int) -> None:
        if length * self._matcher.programsize > STEPS_MAX:
            raise ValueError(
                f"the pattern {self._text[:60]!r} costs too much on a text this long; "
                "write a shorter one"
            )


@lru_cache(maxsize=KEPT_MAX)
def compiled(text: str, *, dot_is_any: bool = False) -> Pattern:
    """Return the pattern; raise `ValueError` that says what is wrong, as Go would."""
    if len(text) > CHARACTERS_MAX:
        raise ValueError(f"a pattern of more than {CHARACTERS_MAX} characters")
    escapes = [found[0] for found in _ESCAPE.finditer(text)]
    if r"\C" in escapes:  # a single byte: RE2 knows it, Go does not
        raise ValueError(r"error parsing regexp: invalid escape sequence: `\C`")
    if escapes and escapes[-1].startswith(r"\Q") and not escapes[-1].endswith(r"\E"):
        raise ValueError(
            r"error parsing regexp: missing closing \E: it would quote the end as well"
        )
    if sum(escape[:2] in {r"\p", r"\P"} for escape in escapes) > UNICODE_CLASSES_MAX:
        raise ValueError(f"a pattern with more than {UNICODE_CLASSES_MAX} classes of Unicode")
    return Pattern(text, dot_is_any=dot_is_any)


@lru_cache(maxsize=KEPT_MAX)
def _program(text: str, *, dot_is_any: bool, captures: bool) -> _Program:
    options = re2.Options()
    options.max_mem = PROGRAM_BYTES_MAX
    options.log_errors = False
    options.dot_nl = dot_is_any
    options.never_capture = not captures
    try:
        program: _Program = re2.compile(_bytes(text), options)
    except re2.error as error:
        raise ValueError(_in_go(error.args[0])) from None
    return program


def _in_go(reason: bytes) -> str:
    said, _, what = _text(reason).partition(": ")
    if said.startswith("pattern too large"):
        return "a pattern whose program is too large; repeat less, or name fewer characters"
    said = _IN_GO.get(said, said)
    hint = "; RE2 has no look-around and no back-references" if said == _NO_LOOKING else ""
    return f"error parsing regexp: {said}: `{what}`{hint}"


def _expanded(template: str, program: _Program, found: _Found, data: bytes) -> str:
    def value(group: re.Match[str]) -> str:
        if group["dollar"]:
            return "$"
        name = group["bare"] or group["braced"]
        number = program.groupindex.get(_bytes(name), -1)
        if name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
            number = int(name) if len(name) < 9 else -1
        if not 0 <= number <= program.groups:
            return ""
        start, end = found.span(number)
        return _text(data[start:end]) if start >= 0 else ""

    return _GROUP.sub(value, template)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
