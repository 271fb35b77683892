"""WebSocket frames as a server writes them: whole, not masked (RFC 6455, section 5.2).

A server's frame depends on nothing but what is in it, so one frame serves every socket that gets
the same message. That holds as long as no extension, such as compression, was agreed on.
"""

import struct
from collections.abc import Callable
from typing import Final, Protocol

from gateway.protocol.messages import Codec, Outbound

TEXT: Final = 0x81
BINARY: Final = 0x82
SHORT_MAX: Final = 125
MEDIUM_MAX: Final = 65_535
_MEDIUM: Final = struct.Struct("!BBH")
_LONG: Final = struct.Struct("!BBQ")


class Framer:
    """Encodes as a codec does, and puts the frame around it."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._first = TEXT if codec.text else BINARY

    def encode(self, outbound: Outbound) -> bytes:
        """Return a message as a whole frame."""
        return self.frame(self.codec.encode(outbound))

    def frame(self, payload: bytes) -> bytes:
        """Return a frame that holds `payload`."""
        size = len(payload)
        if size <= SHORT_MAX:
            return bytes((self._first, size)) + payload
        if size <= MEDIUM_MAX:
            return _MEDIUM.pack(self._first, 126, size) + payload
        return _LONG.pack(self._first, 127, size) + payload


class Wire(Protocol):
    """Our server's extension to ASGI: bytes straight to the peer, past the queue of `send`."""

    @property
    def ready(self) -> bool:
        """Whether the peer takes bytes now."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]:
        """What takes whole frames."""
        ...

    async def drained(self) -> None:
        """Return once the peer takes bytes again, or is gone."""
        ...

    def abort(self) -> None:
        """Drop the peer without a word."""
        ...
