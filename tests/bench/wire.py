"""A client that costs little: HTTP/1.1 over kept connections, one request at a time on each.

A benchmark's client must not be what is measured: general clients take about a millisecond of
processor a request. Connections are opened as they are needed, up to a limit, and reused.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

CONNECTIONS_MAX: Final = 200
ANSWER_S: Final = 30.0

_Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client(Struct, frozen=True):
    """Posts to one address, with the same headers each time."""

    host: str
    port: int
    head: str
    idle: list[_Wire]
    free: asyncio.Semaphore

    async def post(self, body: bytes) -> int:
        """Post `body`; return the status once the whole answer is there."""
        async with self.free, asyncio.timeout(ANSWER_S):
            wire = reader, writer = self._kept() or await self._open()
            writer.write(f"{self.head}content-length: {len(body)}\r\n\r\n".encode() + body)
            status = await _answer(reader)
            self.idle.append(wire)
            return status

    async def close(self) -> None:
        """Close all connections."""
        for _, writer in self.idle:
            writer.close()
            await writer.wait_closed()

    def _kept(self) -> _Wire | None:
        while self.idle:
            wire = self.idle.pop()
            if not wire[0].at_eof():
                return wire
        return None

    async def _open(self) -> _Wire:
        return await asyncio.open_connection(self.host, self.port)


def client(url: str, headers: dict[str, str]) -> Client:
    """Return a client that posts to `url`."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    lines = [f"POST {parts.path or '/'} HTTP/1.1", f"host: {host}:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join(lines) + "\r\n"
    return Client(host, port, head, idle=[], free=asyncio.Semaphore(CONNECTIONS_MAX))


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = next(
        (line.split(":")[1] for line in head.splitlines() if line.startswith("content-length:")),
        "0",
    )
    await reader.readexactly(int(length))
    return status
