"""Text that is not clean, made clean: what JSON, UTF-8 or the store cannot hold becomes U+FFFD.

Senders cut texts in the middle of a character (half of a surrogate pair), write bytes that are no
UTF-8, begin with a byte order mark or leave NUL characters. None of that may cost a record, or its
neighbours: each character that cannot be held is replaced, the mark is dropped, and all else stays
letter for letter. To clean twice is to clean once.
"""

import codecs
import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

REPLACEMENT: Final = "\ufffd"
NUL_ESCAPE: Final = b"\\u0000"
"""How JSON writes the one character that parses and that the store cannot hold."""

UTF8: Final = "utf-8"
MARK_BYTES_MAX: Final = 4
"""Bytes that the longest byte order mark has."""

_MARKS: Final = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks by the encoding that each announces; longer ones before their beginnings."""
_UNHELD: Final = re.compile("[\x00\ud800-\udfff]")
_ESCAPED: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|([dD][89a-fA-F][0-9a-fA-F]{2}|0000))"
)
"""An escape of a whole pair, or (the second group) of half a pair or NUL."""
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""Control characters that JSON holds nowhere as they are."""
_ENCODED: Final = REPLACEMENT.encode()

T = TypeVar("T")


def text(value: str) -> str:
    """Return `value` with U+FFFD for each NUL and each half of a surrogate pair."""
    return _UNHELD.sub(REPLACEMENT, value)


def announced(data: bytes) -> str:
    """Return the encoding that a byte order mark at the beginning announces, else nothing."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "")


def utf8(data: bytes) -> bytes:
    """Return `data` as UTF-8 without a byte order mark, whichever encoding its mark announces."""
    encoding = announced(data) or UTF8
    data = next((data[len(mark) :] for mark, _ in _MARKS if data.startswith(mark)), data)
    try:
        if encoding == UTF8:
            data.decode()
            return data
    except UnicodeDecodeError:
        pass
    return data.decode(encoding, "replace").encode()


def json_bytes(data: bytes) -> bytes:
    """Return JSON with U+FFFD for what no text can hold; NULs around it are dropped."""
    valid = utf8(data).strip(b"\0")
    if _CONTROLS.search(valid):
        valid = _CONTROLS.sub(_ENCODED, valid)
    return _ESCAPED.sub(_replaced, valid) if b"\\u" in valid else valid


def decoded(decode: Callable[[bytes], T], data: bytes) -> T:
    """Return what `decode` reads in JSON, or in the same made clean where it is not.

    Where cleaning does not help either, raise what `decode` said of the data as it came.
    """
    try:
        return decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        cleaned = json_bytes(data)
        if cleaned == data:
            raise
        try:
            return decode(cleaned)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise error from None


def _replaced(found: re.Match[bytes]) -> bytes:
    return found[0] if found[2] is None else found[1] + b"\\ufffd"
