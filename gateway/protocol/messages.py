"""Commands, results and pushes as values, the same for every codec.

Data that belongs to the application stays bytes that hold JSON, whatever the codec. Every field
has the meaning the protocol gives it; what a client left out has the value that stands for nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from msgspec import Struct

from analytics.contracts.errors import Refused
from gateway.protocol.codes import ErrorReply

NULL: Final = b"null"
"""Application data that was not given."""
REFUSE_UNRECOVERABLE: Final = 2
"""The bit of a subscribe's `flag` that asks for an error where nothing can be recovered."""


class BadFrame(Refused):
    """A frame that is not made of commands."""

    code = "bad-frame"


class Position(Struct, frozen=True):
    """A place in a channel: what was read last, in which incarnation of it."""

    epoch: str
    offset: int


class TagFilter(Struct, frozen=True):
    """A tree over a publication's tags: a comparison, or `and`, `or`, `not` over other nodes."""

    op: str = ""
    key: str = ""
    cmp: str = ""
    val: str = ""
    vals: tuple[str, ...] = ()
    nodes: tuple["TagFilter", ...] = ()


class ConnectRequest(Struct, frozen=True):
    """Who the client says it is, and where it was in channels the server put it in."""

    token: str
    name: str
    version: str
    since: Mapping[str, Position] = {}


class Rpc(Struct, frozen=True):
    """A call of a method."""

    method: str
    data: bytes


class Refresh(Struct, frozen=True):
    """A new token for a connection whose token runs out."""

    token: str


class Subscribe(Struct, frozen=True, kw_only=True):
    """Enter a channel; `since` is where to go on from, if the client was there before."""

    channel: str
    token: str = ""
    since: Position | None = None
    data: bytes = NULL
    tags: TagFilter | None = None
    flag: int = 0
    kind: int = 0


class Unsubscribe(Struct, frozen=True):
    """Leave a channel."""

    channel: str


class SubRefresh(Struct, frozen=True):
    """A new token for a subscription whose token runs out."""

    channel: str
    token: str


class Publish(Struct, frozen=True, kw_only=True):
    """Put data into a channel; `kind` is 0 unless it is meant for a map."""

    channel: str
    data: bytes
    kind: int = 0


class History(Struct, frozen=True, kw_only=True):
    """Ask for a channel's past: its position alone with limit 0, all that is kept with -1."""

    channel: str
    limit: int = 0
    since: Position | None = None
    reverse: bool = False


class PresenceRequest(Struct, frozen=True):
    """Ask who is in a channel."""

    channel: str


class PresenceStats(Struct, frozen=True):
    """Ask how many are in a channel."""

    channel: str


class ClientPing(Struct, frozen=True):
    """A ping by the client, which no client sends and the protocol's server does not serve."""


class Message(Struct, frozen=True):
    """Data sent without wanting a reply."""


class Pong(Struct, frozen=True):
    """The answer to a ping."""


OnChannel = (
    Subscribe | Unsubscribe | SubRefresh | Publish | History | PresenceRequest | PresenceStats
)
Request = ConnectRequest | Rpc | Refresh | OnChannel | ClientPing | Message | Pong


class Command(Struct, frozen=True):
    """One thing a client asks; `id` is 0 where it wants no reply."""

    id: int
    request: Request


class ClientInfo(Struct, frozen=True, kw_only=True):
    """Who somebody in a channel is."""

    user: str
    client: str
    connection: bytes = b""
    channel: bytes = b""


class Publication(Struct, frozen=True, kw_only=True):
    """One entry of a channel; offset 0 moves nobody's position."""

    data: bytes
    offset: int = 0
    tags: Mapping[str, str] = {}
    time_ms: int = 0
    info: ClientInfo | None = None


class Subscribed(Struct, frozen=True, kw_only=True, tag="subscribe"):
    """The channel is entered; `ttl` is in seconds, and present if the subscription runs out."""

    recoverable: bool = False
    epoch: str = ""
    offset: int = 0
    was_recovering: bool = False
    recovered: bool = False
    publications: tuple[Publication, ...] = ()
    data: bytes = b""
    ttl: int | None = None


class Connected(Struct, frozen=True, kw_only=True, tag="connect"):
    """The connection stands; `ttl` is in seconds, and present if the token runs out."""

    client: str
    version: str
    ping: int
    ttl: int | None = None
    subs: Mapping[str, Subscribed] = {}


class Called(Struct, frozen=True, tag="rpc"):
    """What a method answered."""

    data: bytes


class Refreshed(Struct, frozen=True, tag="refresh"):
    """The new token is taken; it lasts `ttl` seconds, or for ever."""

    client: str
    ttl: int | None = None


class SubRefreshed(Struct, frozen=True, tag="sub_refresh"):
    """The subscription's new token is taken; it lasts `ttl` seconds, or for ever."""

    ttl: int | None = None


class Unsubscribed(Struct, frozen=True, tag="unsubscribe"):
    """The channel is left."""


class Published(Struct, frozen=True, tag="publish"):
    """The channel's log has what was published."""


class HistoryPage(Struct, frozen=True, kw_only=True, tag="history"):
    """Entries of a channel, and its position."""

    epoch: str
    offset: int
    publications: tuple[Publication, ...] = ()


class Present(Struct, frozen=True, tag="presence"):
    """Who is in a channel, by connection."""

    clients: Mapping[str, ClientInfo]


class ChannelStats(Struct, frozen=True, kw_only=True, tag="presence_stats"):
    """How many connections and users are in a channel."""

    clients: int
    users: int


Result = (
    Connected
    | Called
    | Refreshed
    | SubRefreshed
    | Subscribed
    | Unsubscribed
    | Published
    | HistoryPage
    | Present
    | ChannelStats
)


class Reply(Struct, frozen=True):
    """The answer to the command with this id."""

    id: int
    result: Result | ErrorReply


class Ping(Struct, frozen=True, tag="ping"):
    """Is anybody there."""


class PublicationPush(Struct, frozen=True, tag="pub"):
    """Something was published in a channel."""

    channel: str
    publication: Publication


class JoinPush(Struct, frozen=True, tag="join"):
    """Somebody entered a channel."""

    channel: str
    info: ClientInfo


class LeavePush(Struct, frozen=True, tag="leave"):
    """Somebody left a channel."""

    channel: str
    info: ClientInfo


class UnsubscribePush(Struct, frozen=True, tag="unsubscribe"):
    """The server ends a subscription; from code 2500 on the client enters again."""

    channel: str
    code: int
    reason: str


class SubscribePush(Struct, frozen=True, tag="subscribe"):
    """The server put the client into a channel."""

    channel: str
    subscribed: Subscribed


class MessagePush(Struct, frozen=True, tag="message"):
    """Data for the whole connection."""

    data: bytes


class DisconnectPush(Struct, frozen=True, tag="disconnect"):
    """The server ends the connection, where the transport has no close of its own."""

    code: int
    reason: str
    reconnect: bool


Push = (
    PublicationPush
    | JoinPush
    | LeavePush
    | UnsubscribePush
    | SubscribePush
    | MessagePush
    | DisconnectPush
)
Outbound = Reply | Ping | Push


class Codec(Protocol):
    """How commands and replies look on the wire."""

    @property
    def text(self) -> bool:
        """Whether frames are text."""
        ...

    def decode(self, frame: bytes) -> Iterator[Command]:
        """Yield the frame's commands in order; raise `BadFrame` where it stops being one."""
        ...

    def encode(self, outbound: Outbound) -> bytes:
        """Return one reply or push as bytes."""
        ...

    def join(self, encoded: list[bytes]) -> bytes:
        """Return several encoded replies and pushes as one frame."""
        ...
