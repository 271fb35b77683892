"""The life of one subscription as a table: state, what happens, next state and what to do.

While a channel is being joined, whatever the client asks about it is held and done afterwards in
order, so that its replies come in the order of its commands. A pair that is not in the table cannot
happen; asking for it is a bug of the caller.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class SubscriptionState(StrEnum):
    """Where a subscription stands."""

    ABSENT = "absent"
    JOINING = "joining"
    """The channel was asked and has not answered."""
    LIVE = "live"


class SubscriptionSignal(StrEnum):
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


class SubscriptionStep(Struct, frozen=True):
    """What follows: the next state, and what to do."""

    state: SubscriptionState
    act: Act


ASKED: Final = frozenset(
    {
        SubscriptionSignal.SUBSCRIBE,
        SubscriptionSignal.UNSUBSCRIBE,
        SubscriptionSignal.REFRESH_GOOD,
        SubscriptionSignal.REFRESH_LATE,
        SubscriptionSignal.REFRESH_FORGED,
        SubscriptionSignal.REFRESH_UNASKED,
    }
)
"""What a client can cause at any time, by what it sends."""

_ABSENT, _JOINING, _LIVE = (
    SubscriptionState.ABSENT,
    SubscriptionState.JOINING,
    SubscriptionState.LIVE,
)
TRANSITIONS: Final[dict[SubscriptionState, dict[SubscriptionSignal, SubscriptionStep]]] = {
    _ABSENT: {
        SubscriptionSignal.SUBSCRIBE: SubscriptionStep(_JOINING, Act.ENTER),
        SubscriptionSignal.UNSUBSCRIBE: SubscriptionStep(_ABSENT, Act.AGREE),
        SubscriptionSignal.REFRESH_GOOD: SubscriptionStep(_ABSENT, Act.STRANGER),
        SubscriptionSignal.REFRESH_LATE: SubscriptionStep(_ABSENT, Act.STRANGER),
        SubscriptionSignal.REFRESH_FORGED: SubscriptionStep(_ABSENT, Act.STRANGER),
        SubscriptionSignal.REFRESH_UNASKED: SubscriptionStep(_ABSENT, Act.STRANGER),
        SubscriptionSignal.CUT: SubscriptionStep(_ABSENT, Act.NOTHING),
    },
    _JOINING: {
        **dict.fromkeys([*ASKED, SubscriptionSignal.CUT], SubscriptionStep(_JOINING, Act.HOLD)),
        SubscriptionSignal.JOINED: SubscriptionStep(_LIVE, Act.WELCOME),
        SubscriptionSignal.REFUSED: SubscriptionStep(_ABSENT, Act.REFUSE),
    },
    _LIVE: {
        SubscriptionSignal.SUBSCRIBE: SubscriptionStep(_LIVE, Act.TWICE),
        SubscriptionSignal.UNSUBSCRIBE: SubscriptionStep(_ABSENT, Act.LEAVE),
        SubscriptionSignal.REFRESH_GOOD: SubscriptionStep(_LIVE, Act.PROLONG),
        SubscriptionSignal.REFRESH_LATE: SubscriptionStep(_LIVE, Act.TOO_LATE),
        SubscriptionSignal.REFRESH_FORGED: SubscriptionStep(_LIVE, Act.FORGED),
        SubscriptionSignal.REFRESH_UNASKED: SubscriptionStep(_LIVE, Act.UNASKED),
        SubscriptionSignal.CUT: SubscriptionStep(_ABSENT, Act.TELL),
        SubscriptionSignal.EXPIRED: SubscriptionStep(_ABSENT, Act.END),
    },
}
