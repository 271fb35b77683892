"""One WebSocket: a reader that always drains, beside a writer that is never waited for.

Commands are handled as they come; what takes time runs beside the reader, at most `calls_max` at
once, further calls are answered "too many requests". Channels are joined for at most
`join_seconds_max`; while the gateway stops, nothing that takes time is begun any more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, assert_never

import msgspec
from msgspec import Struct

from gateway import metrics
from gateway.channels.values import Encoded, Hub, Joined
from gateway.protocol import codes
from gateway.protocol.codes import Close, ErrorReply
from gateway.protocol.effects import (
    CallMethod,
    Effect,
    Enter,
    Garbled,
    Leave,
    Live,
    Opened,
    Shut,
    Write,
)
from gateway.protocol.messages import (
    Called,
    ChannelStats,
    ClientInfo,
    History,
    MessagePush,
    Outbound,
    PresenceRequest,
    PresenceStats,
    Present,
    Publish,
    Published,
    Result,
    Rpc,
    Subscribed,
)
from gateway.protocol.session import Session
from gateway.protocol.subscriptions import SubscriptionLost
from gateway.protocol.transitions import Signal, State
from gateway.websocket.frames import Framer
from gateway.websocket.methods import Caller, Methods
from gateway.websocket.timer_wheel import TimerWheel
from gateway.websocket.writer import Message, SocketBounds, SocketOutput, Spawn, Writer

Receive = Callable[[], Awaitable[Message]]

log = logging.getLogger(__name__)


class ConnectionContext(Struct, frozen=True, kw_only=True):
    """What sockets share: clocks, methods, channels, and who is told what happens to them."""

    now_ms: Callable[[], int]
    wall_ms: Callable[[], int]
    methods: Methods
    hub: Hub
    wheel: TimerWheel
    bounds: SocketBounds
    opened: Callable[["Socket", Opened], None]
    garbled: Callable[[Garbled], None]
    spawn: Spawn


class Socket:
    """See the module; `run` is the whole life of an accepted socket."""

    __slots__ = (
        "_calls", "_keeper", "_leaving", "_text", "_writer", "frames", "peer_code", "session",
    )  # fmt: skip

    def __init__(
        self, session: Session, keeper: ConnectionContext, *, framer: Framer, line: SocketOutput
    ) -> None:
        self.session = session
        self.frames = 0
        self.peer_code = 1006
        self._keeper = keeper
        self._text = framer.codec.text
        self._calls: set[asyncio.Task[None]] | None = None
        self._leaving = False
        self._writer = Writer(
            line,
            framer,
            keeper.bounds,
            now_ms=keeper.now_ms,
            spawn=keeper.spawn,
            slow=self._on_slow,
        )

    @property
    def id(self) -> str:
        """The connection's name."""
        return self.session.client

    @property
    def who(self) -> ClientInfo:
        """Who the client is, for others in a channel."""
        grant = self.session.grant
        return ClientInfo(user="" if grant is None else grant.user, client=self.session.client)

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
            self._keeper.hub.leave_all(self)
            self._keeper.wheel.forget(self)
            self._writer.stop()

    def tick(self, *, now_ms: int) -> None:
        """Do what has become due: a ping, a close."""
        self._apply(self.session.tick(now_ms=now_ms))

    def deliver(self, channel: str, event: Encoded) -> None:
        """Take one publication of a channel."""
        if self.session.state is not State.CLOSED:
            self._writer.deliver(channel, event)

    def cut(self, channel: str, code: int, reason: str) -> None:
        """Take notice that a channel let this socket go."""
        self._apply(self.session.cut(SubscriptionLost(channel, code, reason)))

    def end(self, close: Close) -> None:
        """Close the socket because somebody who may wants it."""
        self._apply(self.session.order(close))

    def warn(self, *, retry_after_ms: int) -> None:
        """Tell the client that the gateway stops, and when to come again."""
        told = {"type": "draining", "retry_after_ms": retry_after_ms}
        self.tell(msgspec.json.encode(told))

    def tell(self, data: bytes) -> None:
        """Send the client a message of JSON, as long as it is there."""
        if self.session.state in {State.ACTIVE, State.WAITING}:
            self._writer.write([MessagePush(data)])

    async def leave(self, *, seconds_max: float) -> None:
        """Answer the calls that run, take no more, then close because the gateway stops."""
        self._leaving = True
        if self._calls:
            await asyncio.wait(self._calls, timeout=seconds_max)
        self._apply(self.session.happen(Signal.DRAINED))
        await self._writer.finished()

    def _take(self, message: Message) -> None:
        if self.session.state is State.CLOSED:
            return
        self.frames += 1
        metrics.FRAMES.inc()
        frame = message.get("text") if self._text else message.get("bytes")
        if frame is None:
            self._apply(self.session.happen(Signal.OTHER_CODEC))
            return
        data = frame.encode("utf-8", "replace") if isinstance(frame, str) else bytes(frame)
        keeper = self._keeper
        self._apply(self.session.receive(data, now_ms=keeper.now_ms(), wall_ms=keeper.wall_ms()))

    def _apply(self, effects: list[Effect]) -> None:
        writes: list[Outbound] = []
        for effect in effects:
            if isinstance(effect, Write):
                writes.append(effect.outbound)
                continue
            if writes:
                self._writer.write(writes)
                writes = []
            self._carry_out(effect)
        if writes:
            self._writer.write(writes)
        self._plan()

    def _carry_out(
        self, effect: Shut | Opened | CallMethod | Enter | Live | Leave | Garbled
    ) -> None:
        keeper = self._keeper
        match effect:
            case CallMethod():
                self._call(effect)
            case Enter():
                self._run(self._enter(effect))
            case Live():
                keeper.hub.live(self, effect.channel)
            case Leave():
                keeper.hub.leave(self, effect.channel)
            case Shut():
                self._shut(effect.close)
            case Opened():
                keeper.opened(self, effect)
            case Garbled():
                keeper.garbled(effect)
            case _:
                assert_never(effect)

    def _shut(self, close: Close) -> None:
        self._keeper.hub.leave_all(self)
        self._writer.close(close)

    def _plan(self) -> None:
        if self.session.state is State.CLOSED:
            self._keeper.wheel.forget(self)
        else:
            self._keeper.wheel.plan(self, self.session.due_ms)

    def _call(self, call: CallMethod) -> None:
        busy = self._calls is not None and len(self._calls) >= self._keeper.bounds.calls_max
        if self._leaving or busy:
            metrics.LIMITS_HIT.labels("calls_max").inc()
            self._apply(self.session.answered(call.id, codes.TOO_MANY_CALLS))
            return
        self._run(self._answer(call))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._calls is None:
            self._calls = set()
        task = self._keeper.spawn(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _answer(self, call: CallMethod) -> None:
        try:
            answer = await self._ask(call)
        except Exception:
            log.exception("a call failed unexpectedly", extra={"kind": type(call.request).__name__})
            answer = codes.INTERNAL
        metrics.CALLS.labels("fault" if isinstance(answer, ErrorReply) else "done").inc()
        self._apply(self.session.answered(call.id, answer))

    async def _ask(self, call: CallMethod) -> Result | ErrorReply:
        request, grant, hub = call.request, call.grant, self._keeper.hub
        match request:
            case Rpc():
                method = self._keeper.methods.get(request.method)
                if method is None:
                    return codes.METHOD_NOT_FOUND
                said = await method(Caller(grant, self), request.data)
                return said if isinstance(said, ErrorReply) else Called(said)
            case Publish():
                fault = await hub.publish(request.channel, request.data, grant=grant, info=self.who)
                return Published() if fault is None else fault
            case History():
                return await hub.history(
                    request.channel,
                    grant=grant,
                    limit=request.limit,
                    since=request.since,
                    reverse=request.reverse,
                )
            case PresenceRequest() | PresenceStats():
                there = await hub.presence(request.channel, grant=grant)
                if isinstance(there, ErrorReply):
                    return there
                if isinstance(request, PresenceRequest):
                    return Present(there.clients)
                return ChannelStats(clients=len(there.clients), users=there.users)
            case _:
                assert_never(request)

    async def _enter(self, enter: Enter) -> None:
        result = await self._join(enter)
        keeper = self._keeper
        now_ms, wall_ms = keeper.now_ms(), keeper.wall_ms()
        self._apply(self.session.joined(enter.channel, result, now_ms=now_ms, wall_ms=wall_ms))

    async def _join(self, enter: Enter) -> Subscribed | ErrorReply:
        hub = self._keeper.hub
        try:
            async with asyncio.timeout(self._keeper.bounds.join_seconds_max):
                joined = await hub.join(
                    self, enter.channel, grant=enter.grant, since=enter.since, tags=enter.tags
                )
        except TimeoutError:
            metrics.LIMITS_HIT.labels("join_seconds_max").inc()
            hub.leave(self, enter.channel)
            return codes.INTERNAL
        except Exception:
            log.exception("a channel could not be joined", extra={"channel": enter.channel})
            hub.leave(self, enter.channel)
            return codes.INTERNAL
        return _subscribed(joined) if isinstance(joined, Joined) else joined

    def _on_slow(self) -> None:
        if self.session.state is not State.CLOSED:
            self._apply(self.session.happen(Signal.BACKED_UP))


def _subscribed(joined: Joined) -> Subscribed:
    return Subscribed(
        recoverable=joined.recoverable,
        epoch=joined.epoch,
        offset=joined.offset,
        was_recovering=joined.was_recovering,
        recovered=joined.recovered,
        publications=joined.publications,
    )
