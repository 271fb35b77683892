"""Patterns in linear time, over bytes: RE2's, by which all of a text is gone through.

Bytes are read one by one, as characters of Latin-1, so that what is no UTF-8 is gone through too.
"""

from collections.abc import Iterator
from typing import Final, Protocol

import re2

Span = tuple[int, int]
PROGRAM_BYTES_MAX: Final = 64 * 1024 * 1024
"""What a pattern's program, and the states that it has been in, may hold in memory."""


class Found(Protocol):
    """Where a pattern and its groups are."""

    def span(self, group: int = 0) -> Span:
        """Return where a group begins and ends."""
        ...

    def groups(self) -> tuple[bytes | None, ...]:
        """Return what each group holds."""
        ...


class Look(Protocol):
    """Says whether there is a place, not which."""

    def __call__(self, text: bytes, /) -> list[int] | None:
        """Return nothing if there is none."""
        ...


class Program(Protocol):
    """A compiled pattern."""

    def search(self, text: bytes) -> Found | None:
        """Return the first place."""
        ...

    def finditer(self, text: bytes, pos: int = 0) -> Iterator[Found]:
        """Return all places, in order and apart."""
        ...


def compiled(pattern: str) -> Program:
    """Return the program of a pattern."""
    program: Program = re2.compile(pattern.encode("latin-1"), _options())
    return program


def looking_for(*heads: str) -> Look:
    """Return a set of patterns, which costs half of what a search does, and tells no places."""
    look = re2.Set.SearchSet(_options())
    look.Add("|".join(heads).encode("latin-1"))
    look.Compile()
    match: Look = look.Match
    return match


def _options() -> "re2.Options":
    options = re2.Options()
    options.max_mem = PROGRAM_BYTES_MAX
    options.log_errors = False
    options.encoding = re2.Options.Encoding.LATIN1
    return options
