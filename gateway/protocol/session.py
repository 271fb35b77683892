"""One connection of the protocol, without a socket: frames and ticks in, effects out.

The caller passes time in milliseconds of a clock that never goes back (`now_ms`) and of the
calendar (`wall_ms`, which tokens are checked against), carries out the effects in their order, and
calls `tick` once `due_ms` is reached. Commands are handled strictly in the order of their frame,
and the rest of a frame is dropped once a connect was denied or the connection closed. Where a token
puts the client in channels, what follows the connect is held until these have answered.
"""

from collections.abc import Callable
from typing import Final, assert_never

from msgspec import Struct, field

from analytics.contracts.errors import Unauthenticated, Unavailable
from gateway.http.auth import Grant, TokenExpired
from gateway.http.rate_limiter import Meter, Ruling
from gateway.protocol import codes
from gateway.protocol.codes import Close, ErrorReply
from gateway.protocol.effects import (
    CallMethod,
    Effect,
    Garbled,
    Leave,
    Live,
    Opened,
    Shut,
    Write,
)
from gateway.protocol.messages import (
    BadFrame,
    ClientPing,
    Codec,
    Command,
    Connected,
    ConnectRequest,
    History,
    Message,
    Ping,
    Pong,
    PresenceRequest,
    PresenceStats,
    Publish,
    Refresh,
    Refreshed,
    Reply,
    Result,
    Rpc,
    SubRefresh,
    Subscribe,
    Subscribed,
    Unsubscribe,
)
from gateway.protocol.subscriptions import (
    NEVER_MS,
    Ends,
    Now,
    Outcome,
    SubscriptionLost,
    Subscriptions,
)
from gateway.protocol.transitions import TRANSITIONS, Signal, State

NAME_LENGTH_MAX: Final = 16
VERSION_LENGTH_MAX: Final = 64
HELD_MAX: Final = 1_000
"""Commands kept while the channels of a token answer."""
REFRESH_GRACE_MS: Final = 25_000
"""How long a connection outlives its token, so that a refresh can arrive."""


class SessionOptions(Struct, frozen=True, kw_only=True):
    """The times a connection keeps, how many channels it enters, and what the gateway is called."""

    version: str
    ping_ms: int
    pong_ms: int
    stale_ms: int
    channels_max: int = 128


class Session:
    """The state of one connection."""

    def __init__(
        self,
        *,
        client: str,
        codec: Codec,
        verify: Callable[[str, int], Grant],
        session_options: SessionOptions,
        meter: Meter,
        now_ms: int,
        jitter: float = 0.0,
    ) -> None:
        """`jitter` in [0, 1) spreads first pings, so that reconnecting crowds tick apart."""
        self.state = State.CONNECTING
        self.grant: Grant | None = None
        self.ended: Close | None = None
        self.client = client
        self._codec = codec
        self._verify = verify
        self._options = session_options
        self._meter = meter
        self._jitter = jitter
        self._subscriptions = Subscriptions(verify, channels_max=session_options.channels_max)
        self._opening: _Opening | None = None
        self._ping_due_ms = NEVER_MS
        self._pong_due_ms = NEVER_MS
        self._expires_due_ms = NEVER_MS
        self._stale_due_ms = now_ms + session_options.stale_ms

    @property
    def due_ms(self) -> int:
        """When `tick` has to be called next."""
        if self.state is State.CLOSED:
            return NEVER_MS
        return min(
            self._ping_due_ms,
            self._pong_due_ms,
            self._expires_due_ms,
            self._stale_due_ms,
            self._subscriptions.due_ms,
        )

    def receive(self, frame: bytes, *, now_ms: int, wall_ms: int) -> list[Effect]:
        """Handle one frame."""
        effects: list[Effect] = []
        if self.state is State.CLOSED:
            return effects
        at = Now(now_ms, wall_ms)
        ruling = self._meter.frame(len(frame))
        if ruling is Ruling.CLOSE:
            return self.happen(Signal.FLOODED)
        try:
            for command in self._codec.decode(frame):
                effects += self._take(command, ruling, at=at)
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
        effects: list[Effect] = []
        if now_ms >= self._subscriptions.due_ms:
            effects += self._told(self._subscriptions.tick(now_ms=now_ms))
        if now_ms >= self._ping_due_ms:
            self._ping_due_ms = now_ms + self._options.ping_ms
            self._pong_due_ms = now_ms + min(self._options.pong_ms, self._options.ping_ms)
            effects += [*self.happen(Signal.PING_DUE), Write(Ping())]
        return effects

    def answered(self, command_id: int, result: Result | ErrorReply) -> list[Effect]:
        """Reply to a call; a closed connection hears nothing any more."""
        return [] if self.state is State.CLOSED else [Write(Reply(command_id, result))]

    def joined(
        self, channel: str, result: Subscribed | ErrorReply, *, now_ms: int, wall_ms: int
    ) -> list[Effect]:
        """Take what a channel said to an `Enter`."""
        at = Now(now_ms, wall_ms)
        if self.state is State.CLOSED:
            return []
        if self.state is State.DENIED:
            return [Leave(channel)] if isinstance(result, Subscribed) else []
        if self._opening is None:
            return self._told(self._subscriptions.joined(channel, result, at=at))
        return self._settle(self._opening, channel, result, at=at)

    def cut(self, cut: SubscriptionLost) -> list[Effect]:
        """Take notice that a channel let the client go."""
        return [] if self.state is State.CLOSED else self._told(self._subscriptions.cut(cut))

    def order(self, close: Close) -> list[Effect]:
        """Close the connection because somebody who may wants it."""
        if self.state is State.CLOSED:
            return []
        self.happen(Signal.ORDERED)
        self.ended = close
        return [Shut(close)]

    def happen(self, signal: Signal) -> list[Effect]:
        """Take one step through the table."""
        step = TRANSITIONS[self.state].get(signal)
        assert step is not None, f"{signal!r} cannot happen while {self.state!r}"
        self.state = step.state
        if step.close is None:
            return []
        self.ended = step.close
        return [Shut(step.close)]

    def _take(self, command: Command, ruling: Ruling, *, at: Now) -> list[Effect]:
        """Handle a command unless it is one too many, or has to wait; pongs always pass."""
        if ruling is Ruling.PASS and command.id:
            ruling = self._meter.command()
        if ruling is Ruling.CLOSE:
            return self.happen(Signal.FLOODED)
        if ruling is Ruling.REFUSE and command.id:
            return self._refuse(command)
        if self.state is not State.OPENING or self._opening is None:
            return self._handle(command, at=at)
        if len(self._opening.held) >= HELD_MAX:
            return self.happen(Signal.FLOODED)
        self._opening.held.append(command)
        return self.happen(Signal.HELD)

    def _refuse(self, command: Command) -> list[Effect]:
        if self.state in {State.CONNECTING, State.DENIED}:
            if isinstance(command.request, ConnectRequest) and self.state is State.CONNECTING:
                return self._deny(command.id, codes.TOO_MANY_CALLS)
            return self.happen(Signal.ASKED)
        return [Write(Reply(command.id, codes.TOO_MANY_CALLS))]

    def _handle(self, command: Command, *, at: Now) -> list[Effect]:
        request = command.request
        match request:
            case Pong():
                self._pong_due_ms = NEVER_MS
                return self.happen(Signal.PONGED)
            case Message():
                return self.happen(Signal.SENT)
            case ConnectRequest():
                return self._connect(command.id, request, at=at)
            case Refresh():
                return self._refresh(command.id, request, at=at)
            case Rpc() | ClientPing():
                return self._call(command.id, request)
            case Publish() | History() | PresenceRequest() | PresenceStats():
                named = bool(request.channel)
                return self._call(command.id, request) if named else self._malformed()
            case Subscribe() | Unsubscribe() | SubRefresh():
                effects = self.happen(Signal.ASKED) if request.channel else self._malformed()
                if self.state is State.CLOSED or self.grant is None:
                    return effects
                return self._told(
                    self._subscriptions.ask(command.id, request, grant=self.grant, at=at)
                )
            case _:
                assert_never(request)

    def _malformed(self) -> list[Effect]:
        return self.happen(Signal.MALFORMED)

    def _call(
        self,
        command_id: int,
        request: Rpc | ClientPing | Publish | History | PresenceRequest | PresenceStats,
    ) -> list[Effect]:
        effects = self.happen(Signal.ASKED)
        if self.state is State.CLOSED or self.grant is None:
            return effects
        if isinstance(request, ClientPing) or (isinstance(request, Publish) and request.kind):
            return self.answered(command_id, codes.UNSERVED)
        return [CallMethod(command_id, self.grant, request)]

    def _connect(self, command_id: int, request: ConnectRequest, *, at: Now) -> list[Effect]:
        if self.state is not State.CONNECTING:
            return self.happen(Signal.CONNECT_GOOD)
        grant = self._read(request.token, wall_ms=at.wall_ms)
        if grant is None:
            return self.happen(Signal.CONNECT_FORGED)
        if isinstance(grant, ErrorReply):
            return self._deny(command_id, grant)
        channels = dict.fromkeys(grant.channels)
        self.grant = grant
        opening = _Opening(command_id, request, waiting=set(channels))
        if not channels:
            return self._open(opening, at=at)
        self._opening = opening
        return [
            *self.happen(Signal.CONNECT_JOINING),
            *(
                self._subscriptions.put_in(name, grant=grant, since=request.since.get(name))
                for name in channels
            ),
        ]

    def _read(self, token: str, *, wall_ms: int) -> Grant | ErrorReply | None:
        """Return what a connection's token grants, why it may not connect now, or nothing."""
        if not token:
            return codes.UNAUTHORIZED
        try:
            grant = self._verify(token, wall_ms)
        except TokenExpired:
            return codes.TOKEN_EXPIRED
        except Unauthenticated:
            return None
        except Unavailable:
            return codes.INTERNAL
        if grant.channel:
            return None
        if len(set(grant.channels)) > self._options.channels_max:
            return codes.LIMIT_EXCEEDED
        return grant if self._meter.know(grant) else codes.TOO_MANY_CALLS

    def _deny(self, command_id: int, fault: ErrorReply) -> list[Effect]:
        return [Write(Reply(command_id, fault)), *self.happen(Signal.CONNECT_DENIED)]

    def _settle(
        self, opening: "_Opening", channel: str, result: Subscribed | ErrorReply, *, at: Now
    ) -> list[Effect]:
        """Gather what the token's channels say; one that cannot answer for now denies it all."""
        self._subscriptions.settle(channel, result)
        opening.waiting.discard(channel)
        if isinstance(result, Subscribed):
            opening.subs[channel] = result
        elif result.temporary:
            self._opening = None
            left = [Leave(name) for name in opening.subs]
            denied = Write(Reply(opening.id, result))
            return [*left, denied, *self.happen(Signal.NOT_JOINED)]
        if opening.waiting:
            return []
        self._opening = None
        effects = self._open(opening, at=at)
        effects += [Live(name) for name in opening.subs]
        for name in opening.subs:
            effects += self._told(self._subscriptions.release(name, at=at))
        for command in opening.held:
            if self.state is State.CLOSED:
                break
            effects += self._handle(command, at=at)
        return effects

    def _open(self, opening: "_Opening", *, at: Now) -> list[Effect]:
        assert self.grant is not None
        gathered = self.state is State.OPENING
        self.happen(Signal.JOINED if gathered else Signal.CONNECT_GOOD)
        self._stale_due_ms = NEVER_MS
        half_ms = self._options.ping_ms // 2
        self._ping_due_ms = at.now_ms + half_ms + int(half_ms * self._jitter)
        result = Connected(
            client=self.client,
            version=self._options.version,
            ping=self._options.ping_ms // 1_000,
            ttl=self._expire(self.grant, at=at),
            subs=opening.subs,
        )
        asked = opening.connect
        name, version = asked.name[:NAME_LENGTH_MAX], asked.version[:VERSION_LENGTH_MAX]
        return [Write(Reply(opening.id, result)), Opened(self.grant, name, version)]

    def _refresh(self, command_id: int, request: Refresh, *, at: Now) -> list[Effect]:
        if self.grant is None or self.grant.expires_ms is None or not request.token:
            return self.happen(Signal.REFRESH_UNASKED)
        try:
            grant = self._verify(request.token, at.wall_ms)
        except TokenExpired:
            return self.happen(Signal.REFRESH_LATE)
        except Unauthenticated:
            return self.happen(Signal.REFRESH_FORGED)
        except Unavailable:
            return [Write(Reply(command_id, codes.INTERNAL))]
        ours = (self.grant.user, self.grant.tenant, "")
        if (grant.user, grant.tenant, grant.channel) != ours:
            return self.happen(Signal.REFRESH_FORGED)
        self.happen(Signal.REFRESH_GOOD)
        self.grant = grant
        ttl = self._expire(grant, at=at)
        return [Write(Reply(command_id, Refreshed(self.client, ttl)))]

    def _expire(self, grant: Grant, *, at: Now) -> int | None:
        if grant.expires_ms is None:
            self._expires_due_ms = NEVER_MS
            return None
        left_ms = grant.expires_ms - at.wall_ms
        self._expires_due_ms = at.now_ms + left_ms + REFRESH_GRACE_MS
        return max(1, left_ms // 1_000)

    def _told(self, outcomes: list[Outcome]) -> list[Effect]:
        """Return outcomes of subscriptions as effects, up to one that ends the connection."""
        effects: list[Effect] = []
        for outcome in outcomes:
            if isinstance(outcome, Ends):
                return effects + self.happen(outcome.signal)
            effects.append(outcome)
        return effects


class _Opening(Struct):
    id: int
    connect: ConnectRequest
    waiting: set[str]
    subs: dict[str, Subscribed] = field(default_factory=dict)
    held: list[Command] = field(default_factory=list)
