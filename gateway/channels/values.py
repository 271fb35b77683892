"""What channels are to those who carry them to clients: a hub, its subscribers and what passes.

A subscriber first joins a channel; what is published meanwhile waits in the hub until `live` says
that the reply is on its way, so a client sees the reply, then every publication after it, in order
and once. Where that cannot be kept any more the subscriber is cut off with a code that makes
its client come again and recover; nothing is left out silently.

A position is the log's own: the epoch names the log and the offset is one more than that of the
last record in it that was read, so it means the same on every gateway.
"""

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

from gateway.http.auth import Grant
from gateway.protocol.codes import ErrorReply
from gateway.protocol.messages import (
    ClientInfo,
    HistoryPage,
    Position,
    Publication,
    PublicationPush,
    TagFilter,
)

__all__ = [
    "INSUFFICIENT",
    "ClientInfo",
    "SubscriptionEnd",
    "Encoded",
    "Encoder",
    "Hub",
    "Joined",
    "HistoryPage",
    "Position",
    "ChannelPresence",
    "Publication",
    "PublicationPush",
    "Subscriber",
    "TagFilter",
]


class SubscriptionEnd(Struct, frozen=True):
    """Why a subscription ends; from 2500 on its client comes again and recovers."""

    code: int
    reason: str


INSUFFICIENT: Final = SubscriptionEnd(2500, "insufficient state")
"""The log moved in a way that cannot be told entry by entry; server-side: close 3010."""


class Joined(Struct, frozen=True, kw_only=True):
    """What a subscriber is told of the channel it joined.

    `publications` is the unbroken run after the position that was given, if `recovered`; `offset`
    is then that position's own, so that each publication moves it. Else it is the channel's top.
    """

    recoverable: bool
    epoch: str
    offset: int
    was_recovering: bool = False
    recovered: bool = False
    publications: tuple[Publication, ...] = ()


class ChannelPresence(Struct, frozen=True):
    """Who is in a channel, by connection."""

    clients: Mapping[str, ClientInfo]

    @property
    def users(self) -> int:
        """How many different users that is."""
        return len({info.user for info in self.clients.values()})


class Encoder(Protocol):
    """Makes bytes of a push: a codec of the protocol, or a transport's own way to write it."""

    def encode(self, outbound: PublicationPush, /) -> bytes:
        """Return the push as bytes."""
        ...


class Encoded:
    """One event in one channel, made into bytes at most once per encoder, for all who watch."""

    __slots__ = ("_bytes", "push")

    def __init__(self, push: PublicationPush) -> None:
        self.push = push
        self._bytes: dict[Encoder, bytes] = {}

    def by(self, encoder: Encoder) -> bytes:
        """Return the event as this encoder writes it."""
        made = self._bytes.get(encoder)
        if made is None:
            made = self._bytes[encoder] = encoder.encode(self.push)
        return made


class Subscriber(Protocol):
    """Somebody who watches channels, told of them on the event loop and never waited for."""

    @property
    def who(self) -> ClientInfo:
        """Who it is, for others in the channel."""
        ...

    def deliver(self, channel: str, event: Encoded, /) -> None:
        """Take one publication."""
        ...

    def cut(self, channel: str, code: int, reason: str, /) -> None:
        """Take notice that the channel was left for this reason; the hub has forgotten it."""
        ...


class Hub(Protocol):
    """All channels of a gateway. A channel's tenant is the grant's; names hold none."""

    async def join(
        self,
        subscriber: Subscriber,
        channel: str,
        *,
        grant: Grant,
        since: Position | None,
        tags: TagFilter | None,
    ) -> Joined | ErrorReply:
        """Enter a channel; what is published from here on waits until `live`."""
        ...

    def live(self, subscriber: Subscriber, channel: str) -> None:
        """Deliver what waited, then everything as it comes."""
        ...

    def leave(self, subscriber: Subscriber, channel: str) -> None:
        """Leave a channel, joined or still joining; nothing if it is not in it."""
        ...

    def leave_all(self, subscriber: Subscriber) -> None:
        """Leave every channel."""
        ...

    async def publish(
        self, channel: str, data: bytes, *, grant: Grant, info: ClientInfo
    ) -> ErrorReply | None:
        """Put data into a channel that clients may write; return once the log has it."""
        ...

    async def history(
        self, channel: str, *, grant: Grant, limit: int, since: Position | None, reverse: bool
    ) -> HistoryPage | ErrorReply:
        """Return entries of a channel: none with limit 0, all that is kept with -1."""
        ...

    async def presence(self, channel: str, *, grant: Grant) -> ChannelPresence | ErrorReply:
        """Return who is in a channel."""
        ...
