"""The life of one connection as a table: state, what happens, next state and why it closes.

What a peer may send has a row in every open state, so nothing it does can surprise; what only our
own clock or code can cause has rows only where it can happen, and elsewhere is a bug of the caller.
A closed connection stays closed, whatever still arrives.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from gateway.protocol import codes
from gateway.protocol.codes import Close


class State(StrEnum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    """The socket is open, nobody has shown a token."""
    OPENING = "opening"
    """The token is good; the channels it puts the client in have not all answered."""
    DENIED = "denied"
    """A connect was answered with an error; the client has to come again."""
    ACTIVE = "active"
    WAITING = "waiting"
    """Active, and a ping is out."""
    CLOSED = "closed"


class Signal(StrEnum):
    """What can happen to a connection."""

    CONNECT_GOOD = "connect with a good token"
    CONNECT_JOINING = "connect with a good token that puts the client in channels"
    CONNECT_DENIED = "connect without a token, or with one that ran out"
    CONNECT_FORGED = "connect with a token that is not ours"
    JOINED = "the channels have answered"
    NOT_JOINED = "a channel cannot answer"
    HELD = "a command while channels have not answered"
    ASKED = "a command that wants a reply"
    PONGED = "a pong"
    SENT = "a message that wants no reply"
    REFRESH_GOOD = "refresh with a good token"
    REFRESH_LATE = "refresh with a token that ran out"
    REFRESH_FORGED = "refresh with a token that is not ours, or somebody else's"
    REFRESH_UNASKED = "refresh of a token that never runs out, or with none"
    MISUSED = "a channel's token for another channel, user or tenant"
    STATE_SHORT = "a channel the server put the client in has a gap"
    STATE_GONE = "a channel the server put the client in began again"
    FLOODED = "more than a client may send"
    MALFORMED = "a frame that is no command"
    OTHER_CODEC = "a frame in another encoding"
    PING_DUE = "time for a ping"
    PONG_LATE = "no pong in time"
    STALE = "no token in time"
    EXPIRED = "the token ran out"
    DRAINED = "the gateway stops"
    ORDERED = "somebody who may wants it closed"
    BACKED_UP = "the peer reads too slowly"
    LOST = "the socket is gone"


class Step(Struct, frozen=True):
    """What follows: the next state, and why the socket is closed if it is."""

    state: State
    close: Close | None = None


PEER_SIGNALS: Final = frozenset(
    {
        Signal.CONNECT_GOOD, Signal.CONNECT_JOINING, Signal.CONNECT_DENIED,
        Signal.CONNECT_FORGED, Signal.ASKED, Signal.PONGED, Signal.SENT, Signal.REFRESH_GOOD,
        Signal.REFRESH_LATE, Signal.REFRESH_FORGED, Signal.REFRESH_UNASKED, Signal.FLOODED,
        Signal.MALFORMED, Signal.OTHER_CODEC,
    }
)  # fmt: skip
"""What a peer can cause at any time, by what it sends; while opening, all of it is held."""


def _end(close: Close | None = None) -> Step:
    return Step(State.CLOSED, close)


_ALWAYS: Final = {
    Signal.MALFORMED: _end(codes.BAD_REQUEST),
    Signal.OTHER_CODEC: _end(codes.INAPPROPRIATE_PROTOCOL),
    Signal.FLOODED: _end(codes.TOO_MANY_REQUESTS),
    Signal.DRAINED: _end(codes.SHUTDOWN),
    Signal.ORDERED: _end(),
    Signal.BACKED_UP: _end(codes.SLOW),
    Signal.LOST: _end(),
}
_UNKNOWN: Final = {
    **_ALWAYS,
    Signal.ASKED: _end(codes.BAD_REQUEST),
    Signal.PONGED: _end(codes.BAD_REQUEST),
    Signal.SENT: _end(codes.BAD_REQUEST),
    Signal.REFRESH_GOOD: _end(codes.BAD_REQUEST),
    Signal.REFRESH_LATE: _end(codes.BAD_REQUEST),
    Signal.REFRESH_FORGED: _end(codes.BAD_REQUEST),
    Signal.REFRESH_UNASKED: _end(codes.BAD_REQUEST),
    Signal.STALE: _end(codes.STALE),
}
_KNOWN: Final = {
    **_ALWAYS,
    Signal.CONNECT_GOOD: _end(codes.BAD_REQUEST),
    Signal.CONNECT_JOINING: _end(codes.BAD_REQUEST),
    Signal.CONNECT_DENIED: _end(codes.BAD_REQUEST),
    Signal.CONNECT_FORGED: _end(codes.BAD_REQUEST),
    Signal.MISUSED: _end(codes.INVALID_TOKEN),
    Signal.STATE_SHORT: _end(codes.INSUFFICIENT_STATE),
    Signal.STATE_GONE: _end(codes.STATE_INVALIDATED),
    Signal.SENT: _end(codes.NOT_AVAILABLE),
    Signal.REFRESH_LATE: _end(codes.EXPIRED),
    Signal.REFRESH_FORGED: _end(codes.INVALID_TOKEN),
    Signal.REFRESH_UNASKED: _end(codes.BAD_REQUEST),
    Signal.EXPIRED: _end(codes.EXPIRED),
}
TRANSITIONS: Final[dict[State, dict[Signal, Step]]] = {
    State.CONNECTING: {
        **_UNKNOWN,
        Signal.CONNECT_GOOD: Step(State.ACTIVE),
        Signal.CONNECT_JOINING: Step(State.OPENING),
        Signal.CONNECT_DENIED: Step(State.DENIED),
        Signal.CONNECT_FORGED: _end(codes.INVALID_TOKEN),
    },
    State.OPENING: {
        **_ALWAYS,
        Signal.HELD: Step(State.OPENING),
        Signal.STALE: _end(codes.STALE),
        Signal.JOINED: Step(State.ACTIVE),
        Signal.NOT_JOINED: Step(State.DENIED),
    },
    State.DENIED: {
        **_UNKNOWN,
        Signal.CONNECT_GOOD: _end(codes.BAD_REQUEST),
        Signal.CONNECT_JOINING: _end(codes.BAD_REQUEST),
        Signal.CONNECT_DENIED: _end(codes.BAD_REQUEST),
        Signal.CONNECT_FORGED: _end(codes.BAD_REQUEST),
    },
    State.ACTIVE: {
        **_KNOWN,
        Signal.ASKED: Step(State.ACTIVE),
        Signal.PONGED: _end(codes.BAD_REQUEST),
        Signal.REFRESH_GOOD: Step(State.ACTIVE),
        Signal.PING_DUE: Step(State.WAITING),
    },
    State.WAITING: {
        **_KNOWN,
        Signal.ASKED: Step(State.WAITING),
        Signal.PONGED: Step(State.ACTIVE),
        Signal.REFRESH_GOOD: Step(State.WAITING),
        Signal.PONG_LATE: _end(codes.NO_PONG),
    },
    State.CLOSED: dict.fromkeys(Signal, Step(State.CLOSED)),
}
