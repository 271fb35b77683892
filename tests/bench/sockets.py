"""The least a client of the WebSocket protocol can cost: many of them fit into one process.

RFC 6455 with a masking key of zeros, which is as valid as any other and spares the masking; one
command a frame; replies are found by their id without reading the rest. It measures servers, and is
no client for anything else.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

GREETING: Final = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING: Final = b"{}"
PONG: Final = b"{}"
TEXT: Final = 0x81
CLOSE: Final = 0x88
NO_MASK: Final = b"\0\0\0\0"
WAIT_S: Final = 30.0
_ID: Final = re.compile(rb'"id":(\d+)')


class Refused(Exception):
    """The server did not take the socket, or closed it."""


class Peer(asyncio.Protocol):
    """One socket; `call` answers with the reply's bytes, pushes go to `on_push`."""

    def __init__(self, greeting: bytes, on_push: Callable[[bytes], None] | None = None) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self._greeting = greeting
        self._on_push = on_push
        self._buffer = b""
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._last = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its ways only
        self._transport.write(self._greeting)
        self.sent_bytes += len(self._greeting)

    def data_received(self, data: bytes) -> None:
        """Take what the server sends."""
        self.received_bytes += len(data)
        self._buffer = self._buffer + data if self._buffer else data
        if not self.opened.done():
            head, ended, rest = self._buffer.partition(b"\r\n\r\n")
            if not ended:
                return
            self._buffer = rest
            if b" 101 " in head.split(b"\r\n", 1)[0]:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(Refused(head.split(b"\r\n", 1)[0].decode()))
                return
        self._frames()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what waits."""
        self.closed = True
        gone = Refused(f"the socket is gone: {error!r}")
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(gone)
        if not self.opened.done():
            self.opened.set_exception(gone)

    def send(self, payload: bytes) -> int:
        """Send one text frame; return how many bytes it took."""
        assert self._transport is not None, "a socket is written to once it is open"
        size = len(payload)
        if size < 126:
            head = bytes((TEXT, 0x80 | size))
        elif size < 65_536:
            head = bytes((TEXT, 0x80 | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((TEXT, 0x80 | 127)) + size.to_bytes(8, "big")
        frame = head + NO_MASK + payload
        self._transport.write(frame)
        self.sent_bytes += len(frame)
        return len(frame)

    def call(self, command: bytes) -> "asyncio.Future[bytes]":
        """Send a command, without its braces and id; the future is its reply."""
        self._last += 1
        self.send(b'{"id":%d,%b}' % (self._last, command))
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[self._last] = waiting
        return waiting

    def stop_reading(self) -> None:
        """Read nothing any more, as a client does that hangs."""
        assert self._transport is not None, "only what is open can hang"
        self._transport.pause_reading()

    def abort(self) -> None:
        """Drop the socket."""
        if self._transport is not None:
            self._transport.abort()

    def _frames(self) -> None:
        data, at = self._buffer, 0
        while len(data) - at >= 2:
            size, begins = data[at + 1] & 0x7F, at + 2
            if size == 126:
                size, begins = int.from_bytes(data[begins : begins + 2], "big"), begins + 2
            elif size == 127:
                size, begins = int.from_bytes(data[begins : begins + 8], "big"), begins + 8
            if len(data) < begins + size:
                break
            if data[at] == TEXT:
                self._text(data[begins : begins + size])
            elif data[at] == CLOSE and self._transport is not None:
                self._transport.close()
            at = begins + size
        self._buffer = data[at:]

    def _text(self, frame: bytes) -> None:
        for one in frame.split(b"\n"):
            if one == PING:
                self.send(PONG)
                continue
            found = None if one.startswith(b'{"push"') else _ID.search(one)
            if found is None:
                if self._on_push is not None:
                    self._on_push(one)
                continue
            waiting = self._waiting.pop(int(found[1]), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(one)


async def opened(
    host: str, port: int, path: str, *, on_push: Callable[[bytes], None] | None = None
) -> Peer:
    """Open a socket; raise `Refused` if the server does not take it."""
    greeting = GREETING.format(path=path, host=host, port=port).encode()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_S):
        _, peer = await loop.create_connection(lambda: Peer(greeting, on_push), host, port)
        await peer.opened
    return peer


async def connected(
    host: str, port: int, token: str, *, path: str = "/connection/websocket",
    on_push: Callable[[bytes], None] | None = None,
) -> Peer:  # fmt: skip
    """Open a socket and show a token on it."""
    peer = await opened(host, port, path, on_push=on_push)
    async with asyncio.timeout(WAIT_S):
        reply = await peer.call(b'"connect":{"token":"%b"}' % token.encode())
    if b'"error"' in reply:
        raise Refused(reply.decode())
    return peer
