"""The other side of a socket, at the level of ASGI, with or without our server's wire."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from gateway.app import Gateway
from gateway.http.connections import WIRE
from gateway.websocket.endpoint import PATH
from tests.support.gateway import WAIT_S


class Peer:
    """Says what it is told to, and keeps what it hears; `reads` off makes it take no bytes."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.aborted = False
        self._reads = asyncio.Event()
        self._reads.set()
        self._news = asyncio.Condition()
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> dict[str, Any]:
        """Give the server what was said."""
        return await self._incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the server."""
        await self._reads.wait()
        self.sent.append(message)
        if message["type"] in {"websocket.close", "websocket.http.response.body"}:
            self.leave(1000)
        async with self._news:
            self._news.notify_all()

    @property
    def ready(self) -> bool:
        """Whether bytes are taken."""
        return self._reads.is_set()

    def write(self, frames: bytes) -> None:
        """Take whole frames, as the wire hands them over."""
        at = 0
        while at < len(frames):
            first, size, at = frames[at], frames[at + 1], at + 2
            if size > 125:
                width = 2 if size == 126 else 8
                size, at = int.from_bytes(frames[at : at + width]), at + width
            data, at = frames[at : at + size], at + size
            kind = {"text": data.decode()} if first == 0x81 else {"bytes": data}
            self.sent.append({"type": "websocket.send", **kind})
        asyncio.get_running_loop().create_task(self._tell()).add_done_callback(lambda _: None)

    async def drained(self) -> None:
        """Return once bytes are taken again."""
        await self._reads.wait()

    def abort(self) -> None:
        """Be dropped."""
        self.aborted = True
        self.leave(1006)

    def stop_reading(self) -> None:
        """Take no bytes any more."""
        self._reads.clear()

    def read_again(self) -> None:
        """Take bytes again."""
        self._reads.set()

    def say(self, *commands: dict[str, Any]) -> None:
        """Send commands in one text frame."""
        text = "\n".join(json.dumps(command) for command in commands)
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._incoming.put_nowait({"type": "websocket.receive", "bytes": data})

    @property
    def unheard(self) -> bool:
        """Whether the server has not taken all that was said."""
        return not self._incoming.empty()

    def leave(self, code: int = 1001) -> None:
        """Be gone."""
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    @property
    def replies(self) -> list[Any]:
        """What was heard, as JSON."""
        return [
            json.loads(line)
            for message in self.sent
            if message["type"] == "websocket.send"
            for line in message["text"].split("\n")
        ]

    @property
    def binary(self) -> bytes:
        """What was heard, as bytes."""
        return b"".join(one["bytes"] for one in self.sent if one["type"] == "websocket.send")

    @property
    def closed_with(self) -> int | None:
        """Why the server closed, if it did."""
        codes = [one["code"] for one in self.sent if one["type"] == "websocket.close"]
        return codes[0] if codes else None

    async def until(self, done: Callable[[], object]) -> None:
        """Wait until what was heard is enough."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: bool(done()))

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


@asynccontextmanager
async def connected(
    under_test: Gateway,
    *,
    subprotocols: tuple[str, ...] = (),
    origin: str = "",
    query: str = "",
    wired: bool = True,
) -> AsyncIterator[Peer]:
    """Return the other side of a socket that is open for the length of the block."""
    peer = Peer()
    scope = {
        "type": "websocket",
        "path": PATH,
        "client": ("192.0.2.1", 40_000),
        "headers": [(b"origin", origin.encode())] if origin else [],
        "query_string": query.encode(),
        "subprotocols": list(subprotocols),
        "extensions": {"websocket.http.response": {}, **({WIRE: peer} if wired else {})},
    }
    serving = asyncio.ensure_future(under_test.asgi(scope, peer.receive, peer.send))  # type: ignore[arg-type]  # ASGI's types are looser
    try:
        yield peer
    finally:
        peer.leave()
        async with asyncio.timeout(WAIT_S):
            await serving
            await under_test.sessions.stop()
