"""Every subscription of one connection: commands and what channels say in, effects out.

At most one join per channel is under way; what the client asks about that channel meanwhile is
held, `HELD_MAX` of it, and done in order once the channel has answered. A channel's token stands
for the scope to subscribe, for that channel, that user and that tenant, until it runs out.
"""

from collections.abc import Callable
from typing import Final, assert_never

from msgspec import Struct, field
from msgspec.structs import replace

from analytics.contracts.errors import Unauthenticated, Unavailable
from gateway.http.auth import Grant, TokenExpired, TokenScope
from gateway.protocol import codes, transitions
from gateway.protocol.codes import ErrorReply
from gateway.protocol.effects import Effect, Enter, Leave, Live, Write
from gateway.protocol.messages import (
    REFUSE_UNRECOVERABLE,
    Position,
    Reply,
    Result,
    SubRefresh,
    SubRefreshed,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    UnsubscribePush,
)
from gateway.protocol.subscription_states import (
    TRANSITIONS,
    Act,
    SubscriptionSignal,
    SubscriptionState,
)

CHANNEL_LENGTH_MAX: Final = 255
HELD_MAX: Final = 16
EXPIRED_GRACE_MS: Final = 25_000
"""How long a subscription outlives its token, so that a refresh can arrive."""
NEVER_MS: Final = 2**62


class Ends(Struct, frozen=True):
    """What happened to one subscription ends the whole connection."""

    signal: transitions.Signal


class SubscriptionLost(Struct, frozen=True):
    """The channel let the client go, or will not go on as it did."""

    channel: str
    code: int
    reason: str


class Now(Struct, frozen=True):
    """The time, by a clock that never goes back and by the calendar."""

    now_ms: int
    wall_ms: int


Outcome = Effect | Ends
Asked = Subscribe | Unsubscribe | SubRefresh


class Subscriptions:
    """See the module; the caller ends the connection where an outcome says so."""

    def __init__(self, verify: Callable[[str, int], Grant], *, channels_max: int) -> None:
        self.due_ms = NEVER_MS
        self._verify = verify
        self._channels_max = channels_max
        self._places: dict[str, _Place] = {}

    def state(self, channel: str) -> SubscriptionState:
        """Return where the subscription to `channel` stands."""
        place = self._places.get(channel)
        return SubscriptionState.ABSENT if place is None else place.state

    def put_in(self, channel: str, *, grant: Grant, since: Position | None) -> Enter:
        """Enter a channel that the client did not ask for; `settle` takes its answer."""
        self._step(channel, SubscriptionSignal.SUBSCRIBE, fresh=_Place(server_side=True))
        return Enter(channel, _opened(grant), since)

    def settle(self, channel: str, result: Subscribed | ErrorReply) -> None:
        """Take the answer of a channel that was `put_in`; what was held waits for `release`."""
        self._step(
            channel,
            SubscriptionSignal.REFUSED
            if isinstance(result, ErrorReply)
            else SubscriptionSignal.JOINED,
        )

    def ask(self, command_id: int, asked: Asked, *, grant: Grant, at: Now) -> list[Outcome]:
        """Do what the client wants of a channel, now or once the channel has answered."""
        wanted = _Wanted(command_id, asked, grant)
        match asked:
            case Subscribe():
                return self._subscribe(wanted, asked, at=at)
            case Unsubscribe():
                return self._answer(
                    wanted, self._step(asked.channel, SubscriptionSignal.UNSUBSCRIBE)
                )
            case SubRefresh():
                return self._refresh(wanted, asked, at=at)
            case _:
                assert_never(asked)

    def joined(self, channel: str, result: Subscribed | ErrorReply, *, at: Now) -> list[Outcome]:
        """Reply with what a channel said to a join, then do what was held."""
        place = self._places[channel]
        outcomes: list[Outcome] = []
        if isinstance(result, Subscribed) and _is_useless(result, flag=place.flag):
            outcomes.append(Leave(channel))
            result = codes.UNRECOVERABLE
        if isinstance(result, ErrorReply):
            self._step(channel, SubscriptionSignal.REFUSED)
            outcomes += _reply(place.id, result)
        else:
            self._step(channel, SubscriptionSignal.JOINED)
            ttl = self._expire(place, place.expires_ms, at=at)
            outcomes += [*_reply(place.id, replace(result, ttl=ttl)), Live(channel)]
        return outcomes + self._release(place, at=at)

    def release(self, channel: str, *, at: Now) -> list[Outcome]:
        """Do what was held for a channel that was settled."""
        return self._release(self._places[channel], at=at)

    def cut(self, cut: SubscriptionLost) -> list[Outcome]:
        """Tell the client that a channel let it go; the hub has forgotten it already."""
        place = self._places.get(cut.channel)
        act = self._step(cut.channel, SubscriptionSignal.CUT)
        if place is None:
            return []
        if act is Act.HOLD:
            place.held.append(cut)
            return []
        if place.server_side and cut.code >= codes.RESUBSCRIBE_FROM:
            gone = cut.code == codes.STATE_GONE
            signals = transitions.Signal
            return [Ends(signals.STATE_GONE if gone else signals.STATE_SHORT)]
        return [Write(UnsubscribePush(cut.channel, cut.code, cut.reason))]

    def tick(self, *, now_ms: int) -> list[Outcome]:
        """Let the client out of channels whose token ran out."""
        late = [name for name, place in self._places.items() if place.due_ms <= now_ms]
        outcomes: list[Outcome] = []
        for channel in late:
            self._step(channel, SubscriptionSignal.EXPIRED)
            over = codes.SUBSCRIPTION_OVER
            outcomes += [Leave(channel), Write(UnsubscribePush(channel, over.code, over.reason))]
        self._plan()
        return outcomes

    def _subscribe(self, wanted: "_Wanted", asked: Subscribe, *, at: Now) -> list[Outcome]:
        if asked.kind:
            return _reply(wanted.id, codes.UNSERVED)
        if len(asked.channel) > CHANNEL_LENGTH_MAX:
            return _reply(wanted.id, codes.BAD_CALL)
        fresh, grant = _Place(id=wanted.id, flag=asked.flag), wanted.grant
        if self.state(asked.channel) is SubscriptionState.ABSENT:
            if len(self._places) >= self._channels_max:
                return _reply(wanted.id, codes.LIMIT_EXCEEDED)
            if asked.token:
                token = self._read(wanted, asked.channel, asked.token, at=at)
                if isinstance(token, ErrorReply):
                    return _reply(wanted.id, token)
                if isinstance(token, Ends):
                    return [token]
                fresh.expires_ms, grant = token.expires_ms, _opened(grant)
        act = self._step(asked.channel, SubscriptionSignal.SUBSCRIBE, fresh=fresh)
        if act is Act.ENTER:
            return [Enter(asked.channel, grant, asked.since, asked.tags)]
        return self._answer(wanted, act)

    def _refresh(self, wanted: "_Wanted", asked: SubRefresh, *, at: Now) -> list[Outcome]:
        place = self._places.get(asked.channel)
        signal, expires_ms = SubscriptionSignal.REFRESH_UNASKED, None
        if place is not None and place.expires_ms is not None and asked.token:
            token = self._read(wanted, asked.channel, asked.token, at=at)
            if isinstance(token, ErrorReply) and token.temporary:
                return _reply(wanted.id, token)
            if isinstance(token, Grant):
                signal, expires_ms = SubscriptionSignal.REFRESH_GOOD, token.expires_ms
            elif token == codes.TOKEN_EXPIRED:
                signal = SubscriptionSignal.REFRESH_LATE
            else:
                signal = SubscriptionSignal.REFRESH_FORGED
        act = self._step(asked.channel, signal)
        if act is Act.PROLONG and place is not None:
            return _reply(wanted.id, SubRefreshed(self._expire(place, expires_ms, at=at)))
        return self._answer(wanted, act)

    def _read(
        self, wanted: "_Wanted", channel: str, token: str, *, at: Now
    ) -> Grant | ErrorReply | Ends:
        """Return a channel's token if it is for this channel and this user."""
        try:
            grant = self._verify(token, at.wall_ms)
        except TokenExpired:
            return codes.TOKEN_EXPIRED
        except Unauthenticated:
            return codes.PERMISSION_DENIED
        except Unavailable:
            return codes.INTERNAL
        ours = (wanted.grant.user, wanted.grant.tenant, channel)
        if (grant.user, grant.tenant, grant.channel) != ours:
            return Ends(transitions.Signal.MISUSED)
        return grant

    def _answer(self, wanted: "_Wanted", act: Act) -> list[Outcome]:
        channel = wanted.asked.channel
        if act is Act.HOLD:
            held = self._places[channel].held
            if len(held) >= HELD_MAX:
                return _reply(wanted.id, codes.TOO_MANY_CALLS)
            held.append(wanted)
            return []
        if act in _ENDS:
            return [Ends(_ENDS[act])]
        left: list[Outcome] = [Leave(channel)] if act is Act.LEAVE else []
        return left + _reply(wanted.id, _REPLIES[act])

    def _step(
        self, channel: str, signal: SubscriptionSignal, *, fresh: "_Place | None" = None
    ) -> Act:
        place = self._places.get(channel)
        state = SubscriptionState.ABSENT if place is None else place.state
        step = TRANSITIONS[state].get(signal)
        assert step is not None, f"{signal!r} cannot happen while {state!r}"
        if step.state is SubscriptionState.ABSENT:
            self._places.pop(channel, None)
        elif place is not None:
            place.state = step.state
        elif fresh is not None:
            self._places[channel] = fresh
        return step.act

    def _release(self, place: "_Place", *, at: Now) -> list[Outcome]:
        held, place.held = place.held, []
        outcomes: list[Outcome] = []
        for one in held:
            if isinstance(one, SubscriptionLost):
                outcomes += self.cut(one)
            else:
                outcomes += self.ask(one.id, one.asked, grant=one.grant, at=at)
        return outcomes

    def _expire(self, place: "_Place", expires_ms: int | None, *, at: Now) -> int | None:
        place.expires_ms = expires_ms
        place.due_ms = NEVER_MS
        ttl = None
        if expires_ms is not None:
            left_ms = expires_ms - at.wall_ms
            place.due_ms = at.now_ms + left_ms + EXPIRED_GRACE_MS
            ttl = max(1, left_ms // 1_000)
        self._plan()
        return ttl

    def _plan(self) -> None:
        self.due_ms = min((place.due_ms for place in self._places.values()), default=NEVER_MS)


class _Wanted(Struct, frozen=True):
    id: int
    asked: Asked
    grant: Grant


class _Place(Struct):
    state: SubscriptionState = SubscriptionState.JOINING
    server_side: bool = False
    id: int = 0
    flag: int = 0
    expires_ms: int | None = None
    due_ms: int = NEVER_MS
    held: list[_Wanted | SubscriptionLost] = field(default_factory=list)


_REPLIES: Final[dict[Act, Result | ErrorReply]] = {
    Act.TWICE: codes.ALREADY_SUBSCRIBED,
    Act.AGREE: Unsubscribed(),
    Act.LEAVE: Unsubscribed(),
    Act.STRANGER: codes.PERMISSION_DENIED,
    Act.TOO_LATE: codes.EXPIRED_ALREADY,
}
_ENDS: Final = {
    Act.FORGED: transitions.Signal.REFRESH_FORGED,
    Act.UNASKED: transitions.Signal.REFRESH_UNASKED,
}


def _reply(command_id: int, result: Result | ErrorReply) -> list[Outcome]:
    return [Write(Reply(command_id, result))]


def _opened(grant: Grant) -> Grant:
    """Return the grant with the scope that a channel's token, or the server, gives."""
    return replace(grant, scopes=grant.scopes | {TokenScope.SUBSCRIBE})


def _is_useless(result: Subscribed, *, flag: int) -> bool:
    lost = result.was_recovering and not result.recovered
    return lost and bool(flag & REFUSE_UNRECOVERABLE)
