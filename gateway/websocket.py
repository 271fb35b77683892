"""One WebSocket: a reader that always drains, and a writer that is never waited for.

Commands are handled as they come; what takes time runs beside the reader, at most `calls_max` at
once, further calls are answered "too many requests". What waits to be written is bounded in bytes
and each write in time: a peer that reads too slowly is closed, or cut off where it takes no bytes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, assert_never

from msgspec import Struct

from gateway import metrics
from gateway.methods import Methods
from gateway.protocol import codes
from gateway.protocol.codes import Close, Fault
from gateway.protocol.messages import Codec
from gateway.protocol.session import Call, Effect, Garbled, Opened, Session, Shut, Write
from gateway.protocol.transitions import Signal, State
from gateway.wheel import Wheel

CLOSE_PAUSE_S: Final = 0.05
"""Between the last data and a close frame: a client drops what it has not handled by then."""
JOINED_BYTES_MAX: Final = 65_536
"""Replies joined in one frame."""

Message = MutableMapping[str, Any]  # ASGI's own type
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

log = logging.getLogger(__name__)


class Bounds(Struct, frozen=True, kw_only=True):
    """The limits of one socket."""

    calls_max: int
    outbound_bytes_max: int
    write_seconds_max: float


class Keeper(Struct, frozen=True, kw_only=True):
    """What sockets share: clocks, methods, and who is told what happens to them."""

    now_ms: Callable[[], int]
    wall_ms: Callable[[], int]
    methods: Methods
    wheel: Wheel
    bounds: Bounds
    opened: Callable[["Socket", Opened], None]
    garbled: Callable[[Garbled], None]
    spawn: Callable[[Awaitable[None]], "asyncio.Task[None]"]


class Socket:
    """See the module; `run` is the whole life of an accepted socket."""

    def __init__(
        self,
        session: Session,
        keeper: Keeper,
        *,
        codec: Codec,
        send: Send,
        abort: Callable[[], None] | None,
    ) -> None:
        self.session = session
        self.frames = 0
        self.peer_code = 1006
        self._keeper = keeper
        self._codec = codec
        self._send = send
        self._abort = abort
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._close: Close | None = None
        self._leaving = False

    async def run(self, receive: Receive) -> None:
        """Read until the peer or we close."""
        self._plan()
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self.peer_code = int(message.get("code") or 1006)
                    return
                self._take(message)
        finally:
            self.session.happen(Signal.LOST)
            self._keeper.wheel.forget(self)
            self._drop_outbox()
            if self._writer is not None and self._close is None:
                self._writer.cancel()

    def tick(self, *, now_ms: int) -> None:
        """Do what has become due: a ping, a close."""
        self._apply(self.session.tick(now_ms=now_ms))

    async def leave(self, *, seconds_max: float) -> None:
        """Answer the calls that run, take no more, then close because the gateway stops."""
        self._leaving = True
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds_max)
        self._apply(self.session.happen(Signal.DRAINED))
        if self._writer is not None:
            await asyncio.wait({self._writer})

    def _take(self, message: Message) -> None:
        if self.session.state is State.CLOSED:
            return
        self.frames += 1
        metrics.FRAMES.inc()
        text = message.get("text")
        if text is None:
            self._apply(self.session.happen(Signal.OTHER_CODEC))
            return
        frame = text.encode("utf-8", "replace")
        keeper = self._keeper
        self._apply(self.session.receive(frame, now_ms=keeper.now_ms(), wall_ms=keeper.wall_ms()))

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write():
                    self._push(self._codec.encode(effect.outbound))
                case Shut():
                    self._shut(effect.close)
                case Call():
                    self._call(effect)
                case Opened():
                    self._keeper.opened(self, effect)
                case Garbled():
                    self._keeper.garbled(effect)
                case _:
                    assert_never(effect)
        self._plan()

    def _plan(self) -> None:
        if self.session.state is State.CLOSED:
            self._keeper.wheel.forget(self)
        else:
            self._keeper.wheel.plan(self, self.session.due_ms)

    def _call(self, call: Call) -> None:
        if self._leaving or len(self._calls) >= self._keeper.bounds.calls_max:
            metrics.LIMITS_HIT.labels("calls_max").inc()
            self._apply(self.session.answered(call.id, codes.TOO_MANY_CALLS))
            return
        method = self._keeper.methods.get(call.method)
        if method is None:
            self._apply(self.session.answered(call.id, codes.METHOD_NOT_FOUND))
            return
        task = self._keeper.spawn(self._answer(call, method(call.grant, call.data)))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answer(self, call: Call, working: Awaitable[bytes | Fault]) -> None:
        try:
            answer = await working
        except Exception:
            log.exception("a call failed unexpectedly", extra={"method": call.method})
            answer = codes.INTERNAL
        metrics.CALLS.labels("fault" if isinstance(answer, Fault) else "done").inc()
        self._apply(self.session.answered(call.id, answer))

    def _push(self, data: bytes) -> None:
        if self._outbox_bytes + len(data) > self._keeper.bounds.outbound_bytes_max:
            metrics.LIMITS_HIT.labels("outbound_bytes_max").inc()
            self._drop_outbox()
            self._apply(self.session.happen(Signal.BACKED_UP))
            return
        self._outbox.append(data)
        self._outbox_bytes += len(data)
        metrics.OUTBOUND_BYTES.inc(len(data))
        self._wake()

    def _drop_outbox(self) -> None:
        metrics.OUTBOUND_BYTES.dec(self._outbox_bytes)
        self._outbox.clear()
        self._outbox_bytes = 0

    def _shut(self, close: Close) -> None:
        self._close = close
        self._wake()

    def _wake(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = self._keeper.spawn(self._write())

    async def _write(self) -> None:
        limit_s = self._keeper.bounds.write_seconds_max
        try:
            while self._outbox:
                frame = self._next_frame()
                async with asyncio.timeout(limit_s):
                    await self._send({"type": "websocket.send", "text": frame.decode()})
                if not self._outbox and self._close is not None:
                    await asyncio.sleep(CLOSE_PAUSE_S)
            if self._close is not None:
                await self._send_close(self._close, limit_s)
        except TimeoutError:
            self._cut_off()
        except OSError:
            self._drop_outbox()

    async def _send_close(self, close: Close, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            await self._send(
                {"type": "websocket.close", "code": close.code, "reason": close.reason}
            )

    def _next_frame(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while self._outbox and (not parts or size + len(self._outbox[0]) < JOINED_BYTES_MAX):
            parts.append(self._outbox.popleft())
            size += len(parts[-1])
        self._outbox_bytes -= size
        metrics.OUTBOUND_BYTES.dec(size)
        return self._codec.join(parts)

    def _cut_off(self) -> None:
        """Drop a peer that takes no bytes: not even a close frame would leave."""
        metrics.LIMITS_HIT.labels("write_seconds_max").inc()
        self._drop_outbox()
        if self.session.state is not State.CLOSED:
            self.session.happen(Signal.BACKED_UP)
        self._keeper.wheel.forget(self)
        if self._abort is not None:
            self._abort()
