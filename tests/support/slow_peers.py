"""Peers that take their time: each says a little, then drips one byte after the other for ever."""

import asyncio
import contextlib
import ssl
from typing import Final

from msgspec import Struct

DRIP_S: Final = 0.02
GIVE_UP_S: Final = 8.0
POST: Final = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SOCKET: Final = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Ke"
)
LIVE: Final = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"


class Peer(Struct, frozen=True, kw_only=True):
    """What a peer says at once, and what it then says for ever, a byte at a time."""

    name: str
    first: bytes = b""
    drip: bytes = b""
    has_token: bool = False


PEERS: Final = (
    Peer(name="no byte"),
    Peer(name="a line at a time before the head", drip=b"\r\n"),
    Peer(name="a byte at a time of the method", drip=b"G"),
    Peer(name="a byte at a time of the address", first=b"GET /", drip=b"a"),
    Peer(name="a byte at a time in a header", first=LIVE[:-2] + b"X-Slow: ", drip=b"a"),
    Peer(name="a header at a time", first=LIVE[:-2], drip=b"X: y\r\n"),
    Peer(name="a byte at a time of a WebSocket's head", first=SOCKET, drip=b"y"),
    Peer(name="lines between two requests", first=LIVE, drip=b"\r\n"),
    Peer(name="a byte at a time of the second head", first=LIVE + b"GET /", drip=b"a"),
    Peer(name="nothing after an answer", first=LIVE),
    Peer(
        name="a body that nobody takes", first=POST + b"Content-Length: 900000\r\n\r\n", drip=b" "
    ),
    Peer(
        name="a byte at a time in a body",
        first=POST + b"Content-Length: 900000\r\n\r\n[",
        drip=b" ",
        has_token=True,
    ),
    Peer(
        name="a byte at a time of a chunk's length",
        first=POST + CHUNKED,
        drip=b"0",
        has_token=True,
    ),
    Peer(
        name="a byte at a time of a chunk's extension",
        first=POST + CHUNKED + b"5;a=",
        drip=b"a",
        has_token=True,
    ),
    Peer(
        name="a byte at a time in a chunk",
        first=POST + CHUNKED + b"fffff\r\n",
        drip=b" ",
        has_token=True,
    ),
    Peer(
        name="a byte at a time after the last chunk",
        first=POST + CHUNKED + b"2\r\n[]\r\n0\r\nX-Slow: ",
        drip=b"a",
        has_token=True,
    ),
)


async def outlasted(
    peer: Peer, port: int, *, token: str, tls: ssl.SSLContext | None = None
) -> bytes:
    """Be this peer until the server ends it; return what the server said, or fail."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    first = peer.first
    if peer.has_token:
        first = first.replace(b"\r\n", b"\r\nAuthorization: Bearer " + token.encode() + b"\r\n", 1)
    writer.write(first)
    dripping = asyncio.create_task(_drip(writer, peer.drip))
    try:
        async with asyncio.timeout(GIVE_UP_S):
            return await _all_of(reader)
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _drip(writer: asyncio.StreamWriter, drip: bytes) -> None:
    place = 0
    while drip:
        await asyncio.sleep(DRIP_S)
        writer.write(drip[place : place + 1])
        place = (place + 1) % len(drip)
        with contextlib.suppress(OSError):
            await writer.drain()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            said += part
    return said
