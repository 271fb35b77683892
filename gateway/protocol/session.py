"""One connection of the protocol, without a socket: frames and ticks in, effects out.

The caller passes time in milliseconds of a clock that never goes back (`now_ms`) and of the
calendar (`wall_ms`, which tokens are checked against), writes what it is told to write in that
order, and calls `tick` once `due_ms` is reached. Commands are handled strictly in the order of
their frame, and the rest of a frame is dropped once a connect was denied or the connection closed.
"""

from collections.abc import Callable
from typing import Final, assert_never

from msgspec import Struct

from analytics.contracts.errors import Unauthenticated
from gateway.auth import Grant, TokenExpired
from gateway.protocol import codes
from gateway.protocol.codes import Close, Fault
from gateway.protocol.messages import (
    BadFrame,
    Called,
    Codec,
    Command,
    Connect,
    Connected,
    Message,
    Other,
    Outbound,
    Ping,
    Pong,
    Refresh,
    Refreshed,
    Reply,
    Rpc,
    Unserved,
    Unsubscribe,
    Unsubscribed,
)
from gateway.protocol.transitions import TRANSITIONS, Signal, State

NAME_LENGTH_MAX: Final = 16
VERSION_LENGTH_MAX: Final = 64
REFRESH_GRACE_MS: Final = 25_000
"""How long a connection outlives its token, so that a refresh can arrive."""
NEVER_MS: Final = 2**62


class Manners(Struct, frozen=True, kw_only=True):
    """The times a connection keeps, and what the gateway calls itself."""

    version: str
    ping_ms: int
    pong_ms: int
    stale_ms: int


class Write(Struct, frozen=True):
    """Send this to the client."""

    outbound: Outbound


class Shut(Struct, frozen=True):
    """Close the socket, after what was written before."""

    close: Close


class Opened(Struct, frozen=True):
    """The client showed a good token."""

    grant: Grant
    name: str
    version: str


class Call(Struct, frozen=True):
    """Run a method and hand its answer to `answered`."""

    id: int
    grant: Grant
    method: str
    data: bytes


class Garbled(Struct, frozen=True):
    """A known client sent what cannot be read; keep it."""

    grant: Grant
    frame: bytes
    reason: str


Effect = Write | Shut | Opened | Call | Garbled


class Session:
    """The state of one connection."""

    def __init__(
        self,
        *,
        client: str,
        codec: Codec,
        verify: Callable[[str, int], Grant],
        manners: Manners,
        jitter: float,
        now_ms: int,
    ) -> None:
        """`jitter` in [0, 1) spreads first pings, so that reconnecting crowds tick apart."""
        self.state = State.CONNECTING
        self.grant: Grant | None = None
        self.ended: Close | None = None
        self._client = client
        self._codec = codec
        self._verify = verify
        self._manners = manners
        self._jitter = jitter
        self._ping_due_ms = NEVER_MS
        self._pong_due_ms = NEVER_MS
        self._expires_due_ms = NEVER_MS
        self._stale_due_ms = now_ms + manners.stale_ms

    @property
    def due_ms(self) -> int:
        """When `tick` has to be called next."""
        return min(self._ping_due_ms, self._pong_due_ms, self._expires_due_ms, self._stale_due_ms)

    def receive(self, frame: bytes, *, now_ms: int, wall_ms: int) -> list[Effect]:
        """Handle one frame."""
        effects: list[Effect] = []
        if self.state is State.CLOSED:
            return effects
        try:
            for command in self._codec.decode(frame):
                effects += self._handle(command, now_ms=now_ms, wall_ms=wall_ms)
                if self.state in {State.CLOSED, State.DENIED}:
                    break
        except BadFrame as error:
            if self.grant is not None:
                effects.append(Garbled(self.grant, frame, str(error)))
            effects += self.happen(Signal.MALFORMED)
        return effects

    def tick(self, *, now_ms: int) -> list[Effect]:
        """Do what has become due."""
        if now_ms >= self._stale_due_ms:
            return self.happen(Signal.STALE)
        if now_ms >= self._expires_due_ms:
            return self.happen(Signal.EXPIRED)
        if now_ms >= self._pong_due_ms:
            return self.happen(Signal.PONG_LATE)
        if now_ms >= self._ping_due_ms:
            self._ping_due_ms = now_ms + self._manners.ping_ms
            self._pong_due_ms = now_ms + min(self._manners.pong_ms, self._manners.ping_ms)
            return [*self.happen(Signal.PING_DUE), Write(Ping())]
        return []

    def answered(self, call_id: int, answer: bytes | Fault) -> list[Effect]:
        """Reply to a call; a closed connection hears nothing any more."""
        if self.state is State.CLOSED:
            return []
        return [Write(Reply(call_id, answer if isinstance(answer, Fault) else Called(answer)))]

    def happen(self, signal: Signal) -> list[Effect]:
        """Take one step through the table."""
        step = TRANSITIONS[self.state].get(signal)
        assert step is not None, f"{signal!r} cannot happen while {self.state!r}"
        self.state = step.state
        if step.state is State.CLOSED:
            self._ping_due_ms = self._pong_due_ms = NEVER_MS
            self._expires_due_ms = self._stale_due_ms = NEVER_MS
        if step.close is None:
            return []
        self.ended = step.close
        return [Shut(step.close)]

    def _handle(self, command: Command, *, now_ms: int, wall_ms: int) -> list[Effect]:
        request = command.request
        match request:
            case Pong():
                self._pong_due_ms = NEVER_MS
                return self.happen(Signal.PONGED)
            case Message():
                return self.happen(Signal.SENT)
            case Connect():
                return self._connect(command.id, request, now_ms=now_ms, wall_ms=wall_ms)
            case Refresh():
                return self._refresh(command.id, request, now_ms=now_ms, wall_ms=wall_ms)
            case Rpc() | Unsubscribe() | Other():
                return self._ask(command.id, request)
            case _:
                assert_never(request)

    def _ask(self, command_id: int, request: Rpc | Unsubscribe | Other) -> list[Effect]:
        if isinstance(request, Unsubscribe | Other) and _lacks_channel(request):
            return self.happen(Signal.MALFORMED)
        effects = self.happen(Signal.ASKED)
        if self.state is State.CLOSED or self.grant is None:
            return effects
        if isinstance(request, Rpc):
            return [Call(command_id, self.grant, request.method, request.data)]
        if isinstance(request, Unsubscribe):
            return [Write(Reply(command_id, Unsubscribed()))]
        on_channel = request.kind in {Unserved.SUBSCRIBE, Unserved.SUB_REFRESH}
        fault = codes.UNKNOWN_CHANNEL if on_channel else codes.UNSERVED
        return [Write(Reply(command_id, fault))]

    def _connect(
        self, command_id: int, request: Connect, *, now_ms: int, wall_ms: int
    ) -> list[Effect]:
        if self.state is not State.CONNECTING:
            return self.happen(Signal.CONNECT_GOOD)
        if not request.token:
            return self._deny(command_id, codes.UNAUTHORIZED)
        try:
            grant = self._verify(request.token, wall_ms)
        except TokenExpired:
            return self._deny(command_id, codes.TOKEN_EXPIRED)
        except Unauthenticated:
            return self.happen(Signal.CONNECT_FORGED)
        self.happen(Signal.CONNECT_GOOD)
        self.grant = grant
        self._stale_due_ms = NEVER_MS
        half_ms = self._manners.ping_ms // 2
        self._ping_due_ms = now_ms + half_ms + int(half_ms * self._jitter)
        result = Connected(
            client=self._client,
            version=self._manners.version,
            ping=self._manners.ping_ms // 1_000,
            ttl=self._expire(grant, now_ms=now_ms, wall_ms=wall_ms),
        )
        name, version = request.name[:NAME_LENGTH_MAX], request.version[:VERSION_LENGTH_MAX]
        return [Write(Reply(command_id, result)), Opened(grant, name, version)]

    def _deny(self, command_id: int, fault: Fault) -> list[Effect]:
        return [Write(Reply(command_id, fault)), *self.happen(Signal.CONNECT_DENIED)]

    def _refresh(
        self, command_id: int, request: Refresh, *, now_ms: int, wall_ms: int
    ) -> list[Effect]:
        if self.grant is None or self.grant.expires_ms is None or not request.token:
            return self.happen(Signal.REFRESH_UNASKED)
        try:
            grant = self._verify(request.token, wall_ms)
        except TokenExpired:
            return self.happen(Signal.REFRESH_LATE)
        except Unauthenticated:
            return self.happen(Signal.REFRESH_FORGED)
        if (grant.user, grant.tenant) != (self.grant.user, self.grant.tenant):
            return self.happen(Signal.REFRESH_FORGED)
        self.happen(Signal.REFRESH_GOOD)
        self.grant = grant
        ttl = self._expire(grant, now_ms=now_ms, wall_ms=wall_ms)
        return [Write(Reply(command_id, Refreshed(self._client, ttl)))]

    def _expire(self, grant: Grant, *, now_ms: int, wall_ms: int) -> int | None:
        if grant.expires_ms is None:
            self._expires_due_ms = NEVER_MS
            return None
        left_ms = grant.expires_ms - wall_ms
        self._expires_due_ms = now_ms + left_ms + REFRESH_GRACE_MS
        return max(1, left_ms // 1_000)


def _lacks_channel(request: Unsubscribe | Other) -> bool:
    if isinstance(request, Other) and request.kind is Unserved.PING:
        return False
    return not request.channel
