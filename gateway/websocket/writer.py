"""The writing half of a socket: at once where the peer takes bytes, else from a bounded queue.

Where our own server offers a `Wire`, whole frames go straight to the transport, and a publication's
frame is made once for all who get it; on any other ASGI server the same messages go through `send`.
Nobody waits for a write but this writer's own task, and that for `write_seconds_max`: a peer that
takes no bytes for so long is cut off, since not even a close frame would leave.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway import metrics
from gateway.channels.values import Encoded
from gateway.protocol.codes import Close
from gateway.protocol.messages import MessagePush, Outbound
from gateway.websocket.frames import Framer, Wire
from gateway.websocket.send_buffer import Outbox, Policies

CLOSE_PAUSE_S: Final = 0.05
"""Between the last data and a close frame: a client drops what it has not handled by then."""
JOINED_BYTES_MAX: Final = 65_536
"""Bytes handed to the transport at once."""

Message = MutableMapping[str, Any]  # ASGI's own type
Send = Callable[[Message], Awaitable[None]]
Spawn = Callable[[Awaitable[None]], "asyncio.Task[None]"]


class SocketBounds(Struct, frozen=True, kw_only=True):
    """The limits of one socket."""

    calls_max: int
    join_seconds_max: float
    outbound_bytes_max: int
    outbound_seconds_max: float
    write_seconds_max: float
    slow: Policies


class SocketOutput(Struct, frozen=True):
    """Where a writer's bytes go: ASGI's `send`, and past it where there is a wire."""

    send: Send
    wire: Wire | None


class Writer:
    """See the module; `slow` is called once when the peer reads too slowly to be kept."""

    __slots__ = (
        "_bounds", "_close", "_framer", "_now_ms", "_outbox", "_send", "_slow", "_spawn",
        "_stopped", "_task", "_wire",
    )  # fmt: skip

    def __init__(
        self,
        line: SocketOutput,
        framer: Framer,
        bounds: SocketBounds,
        *,
        now_ms: Callable[[], int],
        spawn: Spawn,
        slow: Callable[[], None],
    ) -> None:
        self._send = line.send
        self._wire = line.wire
        self._framer = framer
        self._bounds = bounds
        self._now_ms = now_ms
        self._spawn = spawn
        self._slow = slow
        self._outbox: Outbox | None = None
        self._task: asyncio.Task[None] | None = None
        self._close: Close | None = None
        self._stopped = False

    def write(self, outbound: list[Outbound]) -> None:
        """Write replies and pushes together."""
        encode = self._encode
        if self._is_free():
            self._straight(b"".join([encode(one) for one in outbound]))
            return
        for one in outbound:
            self._put(encode(one))

    def deliver(self, channel: str, event: Encoded) -> None:
        """Write a publication."""
        wire = self._wire
        if wire is None:
            self._put(event.by(self._framer.codec), channel=channel)
            return
        frame = event.by(self._framer)
        if self._outbox is None and wire.ready:
            wire.write(frame)
            metrics.OUTBOUND_SENT.inc(len(frame))
            return
        self._put(frame, channel=channel)

    def close(self, close: Close) -> None:
        """Close the socket after what waits; a moment after the last data."""
        self._close = close
        self._wake()

    async def finished(self) -> None:
        """Return once nothing is being written any more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def stop(self) -> None:
        """Write nothing any more: the socket is gone."""
        self._stopped = True
        self._forget()
        if self._task is not None and self._close is None:
            self._task.cancel()

    def _encode(self, outbound: Outbound) -> bytes:
        encoder = self._framer.codec if self._wire is None else self._framer
        return encoder.encode(outbound)

    def _is_free(self) -> bool:
        wire = self._wire
        return wire is not None and self._outbox is None and wire.ready

    def _straight(self, frames: bytes) -> None:
        wire = self._wire
        assert wire is not None
        wire.write(frames)
        metrics.OUTBOUND_SENT.inc(len(frames))

    def _put(self, data: bytes, *, channel: str = "") -> None:
        if self._stopped:
            return
        outbox = self._outbox
        if outbox is None:
            bounds = self._bounds
            outbox = self._outbox = Outbox(
                bytes_max=bounds.outbound_bytes_max,
                ms_max=int(bounds.outbound_seconds_max * 1_000),
                policies=bounds.slow,
            )
        before, dropped = outbox.bytes_waiting, outbox.dropped
        fits = outbox.put(data, now_ms=self._now_ms(), channel=channel)
        metrics.OUTBOUND_BYTES.inc(outbox.bytes_waiting - before)
        metrics.OUTBOUND_DROPPED.inc(outbox.dropped - dropped)
        if not fits:
            metrics.LIMITS_HIT.labels("outbound").inc()
            self._forget()
            self._slow()
            return
        self._wake()

    def _forget(self) -> None:
        if self._outbox is not None:
            metrics.OUTBOUND_BYTES.dec(self._outbox.bytes_waiting)
            self._outbox.clear()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._spawn(self._run())

    async def _run(self) -> None:
        limit_s = self._bounds.write_seconds_max
        try:
            wrote = await self._empty(limit_s)
            if self._close is not None:
                if wrote:
                    await asyncio.sleep(CLOSE_PAUSE_S)
                await self._send_close(self._close, limit_s)
        except TimeoutError:
            self._cut_off()
        except OSError:
            self._stopped = True
            self._forget()

    async def _empty(self, limit_s: float) -> bool:
        """Write what waits; say whether the close has to leave the peer a moment."""
        outbox = self._outbox
        while outbox:
            async with asyncio.timeout(limit_s):
                await self._write_some(outbox)
        self._outbox = None
        return outbox is not None or self._wire is not None

    async def _write_some(self, outbox: Outbox) -> None:
        wire = self._wire
        if wire is not None:
            await wire.drained()
        before = outbox.bytes_waiting
        parts = outbox.take(bytes_max=JOINED_BYTES_MAX, notice=self._notice)
        metrics.OUTBOUND_BYTES.dec(before - outbox.bytes_waiting)
        if wire is not None:
            if wire.ready and parts:
                self._straight(b"".join(parts))
            return
        frame = self._framer.codec.join(parts)
        metrics.OUTBOUND_SENT.inc(len(frame))
        text = {"text": frame.decode()} if self._framer.codec.text else {"bytes": frame}
        await self._send({"type": "websocket.send", **text})

    def _notice(self, channel: str, missing: int) -> bytes:
        told = {"type": "gap", "channel": channel, "dropped": missing}
        return self._encode(MessagePush(msgspec.json.encode(told)))

    async def _send_close(self, close: Close, limit_s: float) -> None:
        async with asyncio.timeout(limit_s):
            await self._send(
                {"type": "websocket.close", "code": close.code, "reason": close.reason}
            )

    def _cut_off(self) -> None:
        metrics.LIMITS_HIT.labels("write_seconds_max").inc()
        self._stopped = True
        self._forget()
        self._slow()
        if self._wire is not None:
            self._wire.abort()
