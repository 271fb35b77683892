"""The protocol's errors in replies and its close codes, with their numbers and words.

Clients act on the numbers: 3000 to 3499 reconnect, 3500 to 3999 stay away; an error marked
temporary is tried again. A close reason is plain words, since a client that finds JSON in it obeys
that instead.
"""

from typing import Final

from msgspec import Struct


class Close(Struct, frozen=True):
    """Why a connection ends."""

    code: int
    reason: str


class ErrorReply(Struct, frozen=True, omit_defaults=True):
    """Why a command failed; it is the error object of a reply as it goes over the wire."""

    code: int
    message: str
    temporary: bool = False


SHUTDOWN: Final = Close(3001, "shutdown")
SERVER_ERROR: Final = Close(3004, "internal server error")
EXPIRED: Final = Close(3005, "connection expired")
SUBSCRIPTION_EXPIRED: Final = Close(3006, "subscription expired")
SLOW: Final = Close(3008, "slow")
INSUFFICIENT_STATE: Final = Close(3010, "insufficient state")
FORCE_RECONNECT: Final = Close(3011, "force reconnect")
NO_PONG: Final = Close(3012, "no pong")
TOO_MANY_REQUESTS: Final = Close(3013, "too many requests")
STATE_INVALIDATED: Final = Close(3014, "state invalidated")
INVALID_TOKEN: Final = Close(3500, "invalid token")
BAD_REQUEST: Final = Close(3501, "bad request")
STALE: Final = Close(3502, "stale")
FORCE_DISCONNECT: Final = Close(3503, "force disconnect")
CONNECTION_LIMIT: Final = Close(3504, "connection limit")
INAPPROPRIATE_PROTOCOL: Final = Close(3506, "inappropriate protocol")
PERMISSION_LOST: Final = Close(3507, "permission denied")
NOT_AVAILABLE: Final = Close(3508, "not available")
CLOSES: Final = (
    SHUTDOWN, SERVER_ERROR, EXPIRED, SUBSCRIPTION_EXPIRED, SLOW, INSUFFICIENT_STATE,
    FORCE_RECONNECT, NO_PONG, TOO_MANY_REQUESTS, STATE_INVALIDATED, INVALID_TOKEN, BAD_REQUEST,
    STALE, FORCE_DISCONNECT, CONNECTION_LIMIT, INAPPROPRIATE_PROTOCOL, PERMISSION_LOST,
    NOT_AVAILABLE,
)  # fmt: skip
"""Every code that this gateway closes with."""

INTERNAL: Final = ErrorReply(100, "internal server error", temporary=True)
UNAUTHORIZED: Final = ErrorReply(101, "unauthorized")
UNKNOWN_CHANNEL: Final = ErrorReply(102, "unknown channel")
PERMISSION_DENIED: Final = ErrorReply(103, "permission denied")
METHOD_NOT_FOUND: Final = ErrorReply(104, "method not found")
ALREADY_SUBSCRIBED: Final = ErrorReply(105, "already subscribed")
LIMIT_EXCEEDED: Final = ErrorReply(106, "limit exceeded")
BAD_CALL: Final = ErrorReply(107, "bad request")
UNSERVED: Final = ErrorReply(108, "not available")
TOKEN_EXPIRED: Final = ErrorReply(109, "token expired")
EXPIRED_ALREADY: Final = ErrorReply(110, "expired")
TOO_MANY_CALLS: Final = ErrorReply(111, "too many requests", temporary=True)
UNRECOVERABLE: Final = ErrorReply(112, "unrecoverable position")

SUBSCRIPTION_OVER: Final = Close(2501, "subscription expired")
"""An unsubscribe's code; its client fetches a new token and enters again."""
STATE_GONE: Final = 2502
"""An unsubscribe's code that makes a client forget its position, whatever comes after 2500."""
RESUBSCRIBE_FROM: Final = 2500
"""From this code of an unsubscribe on, the client enters again."""
