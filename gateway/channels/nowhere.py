"""A hub without channels: every name is unknown in it."""

from gateway.channels.values import (
    ChannelPresence,
    ClientInfo,
    HistoryPage,
    Joined,
    Position,
    Subscriber,
)
from gateway.http.auth import Grant
from gateway.protocol import codes
from gateway.protocol.codes import ErrorReply
from gateway.protocol.messages import TagFilter


class Nowhere:
    """Knows no channel."""

    async def join(
        self,
        subscriber: Subscriber,
        channel: str,
        *,
        grant: Grant,
        since: Position | None,
        tags: TagFilter | None,
    ) -> Joined | ErrorReply:
        """Say that there is no such channel."""
        return codes.UNKNOWN_CHANNEL

    def live(self, subscriber: Subscriber, channel: str) -> None:
        """Do nothing."""

    def leave(self, subscriber: Subscriber, channel: str) -> None:
        """Do nothing."""

    def leave_all(self, subscriber: Subscriber) -> None:
        """Do nothing."""

    async def publish(
        self, channel: str, data: bytes, *, grant: Grant, info: ClientInfo
    ) -> ErrorReply | None:
        """Say that there is no such channel."""
        return codes.UNKNOWN_CHANNEL

    async def history(
        self, channel: str, *, grant: Grant, limit: int, since: Position | None, reverse: bool
    ) -> HistoryPage | ErrorReply:
        """Say that there is no such channel."""
        return codes.UNKNOWN_CHANNEL

    async def presence(self, channel: str, *, grant: Grant) -> ChannelPresence | ErrorReply:
        """Say that there is no such channel."""
        return codes.UNKNOWN_CHANNEL
