"""What a connection wants done, as values; the socket does it and tells the session what came.

Effects are carried out in the order they are given. Those with an `id` are answered once with
`Session.answered`, and `Enter` once with `Session.joined`.
"""

from msgspec import Struct

from gateway.http.auth import Grant
from gateway.protocol.codes import Close
from gateway.protocol.messages import (
    History,
    Outbound,
    Position,
    PresenceRequest,
    PresenceStats,
    Publish,
    Rpc,
    TagFilter,
)


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


class CallMethod(Struct, frozen=True):
    """Do what takes time and hand its answer to `answered`."""

    id: int
    grant: Grant
    request: "Lasting"


class Enter(Struct, frozen=True):
    """Join a channel and hand what it says to `joined`."""

    channel: str
    grant: Grant
    since: Position | None = None
    tags: TagFilter | None = None


class Live(Struct, frozen=True):
    """The client has been told that it is in the channel; let publications come."""

    channel: str


class Leave(Struct, frozen=True):
    """Leave a channel."""

    channel: str


class Garbled(Struct, frozen=True):
    """A known client sent what cannot be read; keep it."""

    grant: Grant
    frame: bytes
    reason: str


Lasting = Rpc | Publish | History | PresenceRequest | PresenceStats
Effect = Write | Shut | Opened | CallMethod | Enter | Live | Leave | Garbled
