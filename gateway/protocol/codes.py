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


class Fault(Struct, frozen=True, omit_defaults=True):
    """Why a command failed; it is the error object of a reply as it goes over the wire."""

    code: int
    message: str
    temporary: bool = False


SHUTDOWN: Final = Close(3001, "shutdown")
SERVER_ERROR: Final = Close(3004, "internal server error")
EXPIRED: Final = Close(3005, "connection expired")
SLOW: Final = Close(3008, "slow")
NO_PONG: Final = Close(3012, "no pong")
INVALID_TOKEN: Final = Close(3500, "invalid token")
BAD_REQUEST: Final = Close(3501, "bad request")
STALE: Final = Close(3502, "stale")
INAPPROPRIATE_PROTOCOL: Final = Close(3506, "inappropriate protocol")
NOT_AVAILABLE: Final = Close(3508, "not available")
CLOSES: Final = (
    SHUTDOWN, SERVER_ERROR, EXPIRED, SLOW, NO_PONG, INVALID_TOKEN, BAD_REQUEST, STALE,
    INAPPROPRIATE_PROTOCOL, NOT_AVAILABLE,
)  # fmt: skip
"""Every code that this gateway closes with."""

INTERNAL: Final = Fault(100, "internal server error", temporary=True)
UNAUTHORIZED: Final = Fault(101, "unauthorized")
UNKNOWN_CHANNEL: Final = Fault(102, "unknown channel")
PERMISSION_DENIED: Final = Fault(103, "permission denied")
METHOD_NOT_FOUND: Final = Fault(104, "method not found")
BAD_CALL: Final = Fault(107, "bad request")
UNSERVED: Final = Fault(108, "not available")
TOKEN_EXPIRED: Final = Fault(109, "token expired")
TOO_MANY_CALLS: Final = Fault(111, "too many requests", temporary=True)
