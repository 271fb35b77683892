"""Server-sent events on the wire: how events are written, and how a stream is kept and ended.

A listener is a subscriber of the hub whose events wait, in order and bounded in bytes, for its own
response to send them. A stream ends when its client leaves, when it is too slow, when the log
cannot be told without a gap (its client comes back and recovers), when its token has run out or was
taken back, and when the gateway stops.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

import msgspec
from msgspec import Raw
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway import metrics
from gateway.channels.values import ClientInfo, Encoded, Joined, Publication, PublicationPush
from gateway.http.auth import Grant

MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
RETRY: Final = b"retry: 1000\n\n"
"""How soon a client whose stream ended comes back."""
COMMENT: Final = b":\n\n"

_encode: Final = msgspec.json.Encoder().encode


class StreamFormat(Protocol):
    """How one kind of stream writes things; also an encoder of pushes, shared by its streams."""

    def encode(self, outbound: PublicationPush, /) -> bytes:
        """Return a publication as an event."""
        ...

    def joined(self, joined: Joined) -> None:
        """Take what a channel said, before anything of it is encoded."""
        ...

    def hello(self, who: ClientInfo, joined: dict[str, Joined]) -> bytes:
        """Return what a stream begins with."""
        ...

    def heartbeat(self, at: dict[str, tuple[str, int]]) -> bytes:
        """Return a sign of life; `at` is where each channel is."""
        ...


class Plain:
    """`/v1/stream`: the data as it is, the position as its id, a gap as an event of its own."""

    def __init__(self) -> None:
        self._epoch = ""

    def __eq__(self, other: object) -> bool:
        """Say that all of one log write alike, so that one event is encoded once for them."""
        return isinstance(other, Plain) and other._epoch == self._epoch

    def __hash__(self) -> int:
        """Return the same for all of one log."""
        return hash(self._epoch)

    def joined(self, joined: Joined) -> None:
        """Take the log's epoch for the ids of events."""
        self._epoch = joined.epoch

    def encode(self, outbound: PublicationPush, /) -> bytes:
        """Return a publication as an event."""
        return _event(outbound.publication, self._epoch)

    def hello(self, who: ClientInfo, joined: dict[str, Joined]) -> bytes:
        """Return where the stream begins, what was missed, or that something is missing."""
        del who
        [channel] = joined.values()
        parts = [RETRY]
        if channel.was_recovering and not channel.recovered:
            told = _encode({"epoch": channel.epoch, "offset": channel.offset})
            parts.append(b"event: gap\n" + _lines(told))
        at = f"id: {channel.epoch}:{channel.offset}\n\n".encode()
        return b"".join([*parts, at, *(_event(one, channel.epoch) for one in channel.publications)])

    def heartbeat(self, at: dict[str, tuple[str, int]]) -> bytes:
        """Return an event without data, which moves a client's position and nothing else."""
        [(epoch, offset)] = at.values()
        return COMMENT + f"id: {epoch}:{offset}\n\n".encode()


class Uni:
    """`/connection/uni_sse`: pushes of the protocol without their wrapper."""

    def __init__(self, *, version: str) -> None:
        self._version = version

    def __eq__(self, other: object) -> bool:
        """Say that all write alike, so that one event is encoded once for all of them."""
        return isinstance(other, Uni)

    def __hash__(self) -> int:
        """Return the same for all."""
        return hash(Uni)

    def joined(self, joined: Joined) -> None:
        """Take nothing: pushes hold no epoch."""

    def encode(self, outbound: PublicationPush, /) -> bytes:
        """Return a publication as an event."""
        return _lines(_encode({"channel": outbound.channel, "pub": _fields(outbound.publication)}))

    def hello(self, who: ClientInfo, joined: dict[str, Joined]) -> bytes:
        """Return the connect push, with what every channel said."""
        subs = {name: _sub(one) for name, one in joined.items()}
        connect = {"client": who.client, "version": self._version, "subs": subs}
        return RETRY + _lines(_encode({"connect": connect}))

    def heartbeat(self, at: dict[str, tuple[str, int]]) -> bytes:
        """Return the protocol's ping."""
        del at
        return b"data: {}\n\n"


class Listener:
    """One stream as the hub's subscriber."""

    def __init__(self, who: ClientInfo, manner: StreamFormat, *, grant: Grant) -> None:
        self.who = who
        self.manner = manner
        self.grant = grant
        self.ended = False
        self.bytes_max = 0
        self.filled = asyncio.Event()
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._joined: dict[str, Joined] = {}
        self._at: dict[str, tuple[str, int]] = {}

    def joined(self, channel: str, joined: Joined) -> None:
        """Note what a channel said."""
        self.manner.joined(joined)
        self._joined[channel] = joined
        told = [joined.offset, *(one.offset for one in joined.publications)]
        self._at[channel] = (joined.epoch, max(told))

    def deliver(self, channel: str, event: Encoded, /) -> None:
        """Take one publication."""
        epoch, _ = self._at[channel]
        self._at[channel] = (epoch, event.push.publication.offset)
        data = event.by(self.manner)
        self._bytes += len(data)
        self._waiting.append(data)
        if self._bytes > self.bytes_max:
            metrics.LIMITS_HIT.labels("outbound_bytes_max").inc()
            self.end()
        self.filled.set()

    def cut(self, channel: str, code: int, reason: str, /) -> None:
        """End the stream: its client comes back, and recovers or hears of the gap."""
        del channel, code, reason
        self.end()

    def end(self) -> None:
        """End the stream after what it has begun to send."""
        self.ended = True
        self._waiting.clear()
        self.filled.set()

    def hello(self) -> bytes:
        """Return what the stream begins with."""
        hello = self.manner.hello(self.who, self._joined)
        self._joined = {}
        return hello

    def taken(self) -> bytes:
        """Return all that waits, which waits no more."""
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self.filled.clear()
        return taken

    def heartbeat(self) -> bytes:
        """Return a sign of life; only while nothing waits, so that no position runs ahead."""
        return self.manner.heartbeat(self._at)


class Streams:
    """All streams of a gateway."""

    def __init__(
        self,
        *,
        streams_max: int,
        bytes_max: int,
        heartbeat_s: float,
        wall_ms: Callable[[], int],
    ) -> None:
        self._wall_ms = wall_ms
        self._streams_max = streams_max
        self._bytes_max = bytes_max
        self._heartbeat_s = heartbeat_s
        self._open: set[Listener] = set()
        self._draining = False

    def __len__(self) -> int:
        """Return how many streams are open."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether no more may be opened."""
        return self._draining or len(self._open) >= self._streams_max

    def add(self, listener: Listener) -> None:
        """Count a stream."""
        listener.bytes_max = self._bytes_max
        self._open.add(listener)
        metrics.STREAMS.set(len(self._open))

    def remove(self, listener: Listener) -> None:
        """Count it no more."""
        self._open.discard(listener)
        metrics.STREAMS.set(len(self._open))

    def drain(self) -> None:
        """End every stream and open none."""
        self._draining = True
        for listener in self._open:
            listener.end()

    def expel(self, holds: Callable[[Grant], bool]) -> None:
        """End the streams whose tokens do not hold any more."""
        for listener in self._open:
            if not holds(listener.grant):
                listener.end()

    def response(self, listener: Listener, *, ended: Callable[[], None]) -> Response:
        """Return the response that is the stream; `ended` is called once it is over."""

        def over() -> None:
            ended()
            self.remove(listener)

        body = self._body(listener)
        return _Stream(body, media_type=MEDIA_TYPE, headers=HEADERS, over=over)

    async def _body(self, listener: Listener) -> AsyncIterator[bytes]:
        yield listener.hello()
        while not (listener.ended or self._is_over(listener)):
            if waiting := listener.taken():
                yield waiting
                continue
            try:
                async with asyncio.timeout(min(self._heartbeat_s, self._left_s(listener))):
                    await listener.filled.wait()
            except TimeoutError:
                if self._left_s(listener) > 0:
                    yield listener.heartbeat()

    def _is_over(self, listener: Listener) -> bool:
        return self._left_s(listener) <= 0

    def _left_s(self, listener: Listener) -> float:
        """Return how long the stream's token is good."""
        expires_ms = listener.grant.expires_ms
        return math.inf if expires_ms is None else (expires_ms - self._wall_ms()) / 1_000


class _Stream(StreamingResponse):
    """A streaming response that says when it is over, however it ended."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: dict[str, str],
        over: Callable[[], None],
    ) -> None:
        super().__init__(body, media_type=media_type, headers=headers)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


def _event(publication: Publication, epoch: str) -> bytes:
    return f"id: {epoch}:{publication.offset}\n".encode() + _lines(publication.data)


def _lines(data: bytes) -> bytes:
    """Return data as an event's; a line break within it would end the line it is on."""
    return b"".join(b"data: " + line + b"\n" for line in data.splitlines() or [b""]) + b"\n"


def _sub(joined: Joined) -> dict[str, object]:
    told: dict[str, object] = {
        "recoverable": joined.recoverable,
        "positioned": joined.recoverable,
        "epoch": joined.epoch,
        "offset": joined.offset,
        "was_recovering": joined.was_recovering,
        "recovered": joined.recovered,
        "publications": [_fields(one) for one in joined.publications],
    }
    return {name: value for name, value in told.items() if value}


def _fields(publication: Publication) -> dict[str, object]:
    told: dict[str, object] = {
        "data": Raw(publication.data),
        "offset": publication.offset,
        "tags": publication.tags,
        "time": publication.time_ms,
    }
    if publication.info is not None:
        told["info"] = {"user": publication.info.user, "client": publication.info.client}
    return {name: value for name, value in told.items() if value}
