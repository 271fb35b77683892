"""A TCP proxy between a worker and its store that can delay, stall and reset.

It forwards bytes and understands none of them. What is waited for here is the fault itself: a delay
is the time that a slow network takes.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from apps.local.ports import LOOPBACK

CHUNK_BYTES: Final = 65_536
_LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on with no time: closing sends a reset."""

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class Proxy:
    """Forwards connections to one port of this machine; made by `proxied`."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.target_port = target_port
        self.delay_s = 0.0
        """How long every chunk takes, either way."""
        self._deserted: set[asyncio.StreamWriter] = set()
        self._there = asyncio.Event()
        self._back = asyncio.Event()
        self._cue = b""
        self._cued = asyncio.Event()
        self.flow()
        self._pairs: set[Pair] = set()

    @property
    def connections(self) -> int:
        """How many connections are forwarded now."""
        return len(self._pairs)

    def stall(self) -> None:
        """Forward nothing until `flow`; connections are taken and stay silent."""
        self._there.clear()
        self._back.clear()

    async def mute(self, after: bytes) -> None:
        """Once `after` is asked, forward what is asked and no answer, until `flow`."""
        self._cue = after
        await self._cued.wait()

    def flow(self) -> None:
        """Forward what waited, and what comes."""
        self._there.set()
        self._back.set()
        self._cue = b""
        self._cued.clear()

    def reset(self) -> int:
        """Break every connection at once, on both sides; return how many."""
        broken = list(self._pairs)
        for pair in broken:
            for writer in pair:
                _abort(writer)
        return len(broken)

    def desert(self) -> int:
        """Break every connection on the near side alone; the far side hears nothing of it.

        So it is for a server whose client's machine is gone. Return how many there were.
        """
        broken = list(self._pairs)
        for near, far in broken:
            self._deserted.add(far)
            _abort(near)
        return len(broken)

    def abandon(self) -> None:
        """End the far sides that were deserted."""
        for writer in self._deserted:
            _abort(writer)
        self._deserted.clear()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self.target_port)
        except OSError:
            _abort(writer)
            return
        pair = (writer, back)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._carry(reader, back, self._there), self._carry(there, writer, self._back)
            )
        finally:
            self._pairs.discard(pair)
            for one in set(pair) - self._deserted:
                one.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        """Carry one direction; its end is passed on, a break breaks the other side."""
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                if self._cue and gate is self._there and self._cue in chunk:
                    self._back.clear()
                    self._cued.set()
                await gate.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if writer in self._deserted:
                    return
                writer.write(chunk)
                await writer.drain()
            if writer not in self._deserted:
                writer.write_eof()
        except OSError:
            if writer not in self._deserted:
                _abort(writer)


@asynccontextmanager
async def proxied(target_port: int) -> AsyncIterator[Proxy]:
    """Run a proxy to `target_port` on a free port of the loopback interface."""
    proxy = Proxy(target_port)
    taken: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.forward(reader, writer))
        taken.add(task)
        task.add_done_callback(taken.discard)

    server = await asyncio.start_server(accepted, LOOPBACK, 0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        proxy.flow()
        proxy.abandon()
        proxy.reset()
        if taken:
            await asyncio.wait(taken)


def _abort(writer: asyncio.StreamWriter) -> None:
    held = writer.get_extra_info("socket")
    if held is not None:
        with contextlib.suppress(OSError):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    transport = writer.transport
    transport.abort()
