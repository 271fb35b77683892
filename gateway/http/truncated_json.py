"""A JSON body cut while it comes: one of any size is held within a limit and says what it is about.

Texts longer than `TEXT_BYTES_MAX` keep their beginning; a value of the outermost object that is
still too large is left out whole. In the place of either stands a digest of what was cut: values
that differed still differ. Everything else is kept letter for letter. It asks for JSON that is well
formed, as the parser will that reads what is left; bytes that are not come out as they went in.
"""

import hashlib
import re
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import TooLarge

TEXT_BYTES_MAX: Final = 65_536
"""Bytes of one text that are kept."""
KEY_BYTES_MAX: Final = 512
"""Bytes of a name in the outermost object by which its value's size is told."""
DIGEST_BYTES: Final = 8

_STRUCTURE: Final = re.compile(rb'["{}\[\]:]')
_TEXT: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_TORN_ESCAPE: Final = re.compile(rb"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
QUOTE, BACKSLASH, COLON = b'"\\:'
OPENING: Final = b"{["


class TruncatedBody(Struct, frozen=True):
    """What is left of a body, and how many bytes its outermost values lost, by their names."""

    body: bytes
    lost: dict[str, int]


class Cutter:
    """Takes a body piece by piece.

    Past `kept_max` bytes values are left out; past twice as many the body is refused.
    """

    def __init__(self, *, kept_max: int, text_max: int = TEXT_BYTES_MAX) -> None:
        self._kept_max = kept_max
        self._text_max = text_max
        self._kept = bytearray()
        self._lost: dict[str, int] = {}
        self._depth = 0
        self._is_text = self._is_escaped = False
        self._text_at = self._text_length = 0
        self._text_digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._key = ""
        self._value_at = 0
        """Where the outermost value that is being read begins in what is kept; 0 is nowhere."""
        self._value_digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._value_length = 0
        self._is_dropped = False
        """Whether the outermost value that is being read is left out."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece; raise `TooLarge` where what is left of the body is."""
        at = 0
        while at < len(piece):
            at = self._in_text(piece, at) if self._is_text else self._between(piece, at)
            if not self._is_text and not self._is_dropped and len(self._kept) > self._kept_max:
                self._drop()

    def result(self) -> TruncatedBody:
        """Return what is left."""
        return TruncatedBody(bytes(self._kept), self._lost)

    def _between(self, piece: bytes, at: int) -> int:
        """Take what stands up to the next text or bracket, and that."""
        found = _STRUCTURE.search(piece, at)
        end = found.end() if found else len(piece)
        self._keep(piece[at:end])
        if found is None:
            return end
        sign = piece[end - 1]
        if sign == QUOTE:
            self._is_text = True
            self._text_at, self._text_length = len(self._kept), 0
            self._text_digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        elif sign == COLON:
            if self._depth == 1:
                self._begin_value()
        elif sign in OPENING:
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth == 1 and self._is_dropped:
                self._end_dropped()
        return end

    def _in_text(self, piece: bytes, at: int) -> int:
        """Take a text up to its end, or to the end of the piece."""
        if self._is_escaped:
            self._is_escaped = False
            self._keep_text(piece[at : at + 1])
            return at + 1
        found = _TEXT.match(piece, at)
        end = found.end() if found else len(piece)
        self._keep_text(piece[at:end])
        if end == len(piece):
            return end
        if piece[end] == BACKSLASH:
            self._is_escaped = True
            self._keep_text(piece[end : end + 1])
            return end + 1
        self._end_text()
        self._keep(b'"')
        return end + 1

    def _keep(self, part: bytes) -> None:
        self._value_digest.update(part)
        self._value_length += len(part)
        if not self._is_dropped:
            self._kept += part

    def _keep_text(self, part: bytes) -> None:
        room = max(self._text_max - self._text_length, 0)
        self._text_length += len(part)
        self._text_digest.update(part)
        self._value_length += len(part)
        self._value_digest.update(part)
        if not self._is_dropped:
            self._kept += part[:room]

    def _end_text(self) -> None:
        self._is_text = False
        cut = self._text_length - self._text_max
        if cut <= 0 or self._is_dropped:
            return
        torn = _TORN_ESCAPE.search(self._kept, self._text_at)
        if torn:
            del self._kept[torn.start(1) :]
        self._kept += f"…[{cut} bytes cut, {self._text_digest.hexdigest()}]".encode()
        self._lost[self._key] = self._lost.get(self._key, 0) + cut

    def _begin_value(self) -> None:
        text = bytes(self._kept[self._text_at : self._text_at + KEY_BYTES_MAX])
        self._key = text.partition(b'"')[0].decode("utf-8", "replace")
        self._value_at, self._value_length = len(self._kept), 0
        self._value_digest = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def _drop(self) -> None:
        """Leave out the outermost value that is being read."""
        if self._depth < 2 or not self._value_at:
            if len(self._kept) > 2 * self._kept_max:
                raise TooLarge(
                    f"the body has more than {self._kept_max} bytes; send less at a time"
                )
            return
        self._is_dropped = True
        del self._kept[self._value_at :]

    def _end_dropped(self) -> None:
        self._is_dropped = False
        lost = self._lost[self._key] = self._value_length
        self._kept += f'"…[{lost} bytes cut, {self._value_digest.hexdigest()}]"'.encode()
