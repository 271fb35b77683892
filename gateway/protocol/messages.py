"""Commands and replies as values, the same for every codec.

Data that belongs to the application stays bytes that hold JSON, whatever the codec.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from analytics.contracts.errors import Refused
from gateway.protocol.codes import Fault


class BadFrame(Refused):
    """A frame that is not made of commands."""

    code = "bad-frame"


class Unserved(StrEnum):
    """Commands of the protocol that this gateway knows and does not serve."""

    SUBSCRIBE = "subscribe"
    PUBLISH = "publish"
    PRESENCE = "presence"
    PRESENCE_STATS = "presence_stats"
    HISTORY = "history"
    PING = "ping"
    SUB_REFRESH = "sub_refresh"


class Connect(Struct, frozen=True):
    """Who the client says it is."""

    token: str
    name: str
    version: str


class Rpc(Struct, frozen=True):
    """A call of a method."""

    method: str
    data: bytes


class Refresh(Struct, frozen=True):
    """A new token for a connection whose token runs out."""

    token: str


class Unsubscribe(Struct, frozen=True):
    """Leave a channel."""

    channel: str


class Other(Struct, frozen=True):
    """A command that is known and not served; `channel` where it names one."""

    kind: Unserved
    channel: str


class Message(Struct, frozen=True):
    """Data sent without wanting a reply."""


class Pong(Struct, frozen=True):
    """The answer to a ping."""


Request = Connect | Rpc | Refresh | Unsubscribe | Other | Message | Pong


class Command(Struct, frozen=True):
    """One thing a client asks; `id` is 0 where it wants no reply."""

    id: int
    request: Request


class Connected(Struct, frozen=True, kw_only=True, tag="connect"):
    """The connection stands; `ttl` is in seconds, and present if the token runs out."""

    client: str
    version: str
    ping: int
    ttl: int | None = None


class Called(Struct, frozen=True, tag="rpc"):
    """What a method answered."""

    data: bytes


class Refreshed(Struct, frozen=True, tag="refresh"):
    """The new token is taken; it lasts `ttl` seconds, or for ever."""

    client: str
    ttl: int | None = None


class Unsubscribed(Struct, frozen=True, tag="unsubscribe"):
    """The channel is left."""


class Ping(Struct, frozen=True, tag="ping"):
    """Is anybody there."""


Result = Connected | Called | Refreshed | Unsubscribed


class Reply(Struct, frozen=True):
    """The answer to the command with this id."""

    id: int
    result: Result | Fault


Outbound = Reply | Ping


class Codec(Protocol):
    """How commands and replies look on the wire."""

    def decode(self, frame: bytes) -> Iterator[Command]:
        """Yield the frame's commands in order; raise `BadFrame` where it stops being one."""
        ...

    def encode(self, outbound: Outbound) -> bytes:
        """Return one reply as bytes."""
        ...

    def join(self, encoded: list[bytes]) -> bytes:
        """Return several encoded replies as one frame."""
        ...
