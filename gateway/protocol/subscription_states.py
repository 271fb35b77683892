"""The life of one subscription as a table: state, what happens, next state and what to do.

While a channel is being joined, whatever the client asks about it is held and done afterwards in
order, so that its replies come in the order of its commands. A pair that is not in the table cannot
happen; asking for it is a bug of the caller.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class State(StrEnum):
    """Where a subscription stands."""

    ABSENT = "absent"
    JOINING = "joining"
    """The channel was asked and has not answered."""
    LIVE = "live"


class Signal(StrEnum):
    """What can happen to a subscription."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    REFRESH_GOOD = "refresh with a good token"
    REFRESH_LATE = "refresh with a token that ran out"
    REFRESH_FORGED = "refresh with a token that is not ours, or for something else"
    REFRESH_UNASKED = "refresh with no token, or of a subscription that never runs out"
    JOINED = "the channel took the client in"
    REFUSED = "the channel refused"
    CUT = "the channel let the client go"
    EXPIRED = "the token ran out"


class Act(StrEnum):
    """What follows."""

    ENTER = "join the channel"
    HOLD = "do it once the channel has answered"
    WELCOME = "reply with the position and let publications come"
    REFUSE = "reply with the channel's fault"
    LEAVE = "leave the channel and reply"
    AGREE = "reply that it is done, as it was before"
    TWICE = "reply that the client is in the channel already"
    PROLONG = "reply with the time that is left"
    TOO_LATE = "reply that the token ran out"
    STRANGER = "reply that this is not allowed"
    FORGED = "end the connection: the token is not for this"
    UNASKED = "end the connection: nobody asked for this"
    TELL = "tell the client that it is out, and why"
    END = "leave the channel and tell the client that its time is up"
    NOTHING = "nothing"


class Step(Struct, frozen=True):
    """What follows: the next state, and what to do."""

    state: State
    act: Act


ASKED: Final = frozenset(
    {
        Signal.SUBSCRIBE, Signal.UNSUBSCRIBE, Signal.REFRESH_GOOD, Signal.REFRESH_LATE,
        Signal.REFRESH_FORGED, Signal.REFRESH_UNASKED,
    }
)  # fmt: skip
"""What a client can cause at any time, by what it sends."""

_ABSENT, _JOINING, _LIVE = State.ABSENT, State.JOINING, State.LIVE
TRANSITIONS: Final[dict[State, dict[Signal, Step]]] = {
    _ABSENT: {
        Signal.SUBSCRIBE: Step(_JOINING, Act.ENTER),
        Signal.UNSUBSCRIBE: Step(_ABSENT, Act.AGREE),
        Signal.REFRESH_GOOD: Step(_ABSENT, Act.STRANGER),
        Signal.REFRESH_LATE: Step(_ABSENT, Act.STRANGER),
        Signal.REFRESH_FORGED: Step(_ABSENT, Act.STRANGER),
        Signal.REFRESH_UNASKED: Step(_ABSENT, Act.STRANGER),
        Signal.CUT: Step(_ABSENT, Act.NOTHING),
    },
    _JOINING: {
        **dict.fromkeys([*ASKED, Signal.CUT], Step(_JOINING, Act.HOLD)),
        Signal.JOINED: Step(_LIVE, Act.WELCOME),
        Signal.REFUSED: Step(_ABSENT, Act.REFUSE),
    },
    _LIVE: {
        Signal.SUBSCRIBE: Step(_LIVE, Act.TWICE),
        Signal.UNSUBSCRIBE: Step(_ABSENT, Act.LEAVE),
        Signal.REFRESH_GOOD: Step(_LIVE, Act.PROLONG),
        Signal.REFRESH_LATE: Step(_LIVE, Act.TOO_LATE),
        Signal.REFRESH_FORGED: Step(_LIVE, Act.FORGED),
        Signal.REFRESH_UNASKED: Step(_LIVE, Act.UNASKED),
        Signal.CUT: Step(_ABSENT, Act.TELL),
        Signal.EXPIRED: Step(_ABSENT, Act.END),
    },
}
