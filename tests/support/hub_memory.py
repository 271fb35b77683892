"""A hub that keeps its channels in memory, told by the test when to answer and what was lost.

`hold` makes joins wait, `away` makes them fail for now, `forget` begins every channel anew. It
keeps the hub's promise: a subscriber sees its reply first, then every later publication once, in
order.
"""

import asyncio

from msgspec import Struct, field

from gateway.channels.values import (
    ChannelPresence,
    ClientInfo,
    Encoded,
    HistoryPage,
    Joined,
    Position,
    Publication,
    PublicationPush,
    Subscriber,
    TagFilter,
)
from gateway.http.auth import Grant, TokenScope
from gateway.protocol import codes
from gateway.protocol.codes import ErrorReply


class _Channel(Struct):
    epoch: str
    publications: list[Publication] = field(default_factory=list)
    subscribers: dict[Subscriber, list[Encoded] | None] = field(default_factory=dict)


class MemoryHub:
    """Channels are whatever is asked for, but for names that start with `no:`."""

    def __init__(self, *, kept_max: int = 1_000) -> None:
        self.away = False
        self.epoch = "e1"
        self._kept_max = kept_max
        self._channels: dict[str, _Channel] = {}
        self._answering = asyncio.Event()
        self._answering.set()

    def hold(self) -> None:
        """Let joins wait from now on."""
        self._answering.clear()

    def answer_all(self) -> None:
        """Answer joins, those that wait too."""
        self._answering.set()

    def forget(self, epoch: str) -> None:
        """Begin every channel anew."""
        self.epoch = epoch
        self._channels.clear()

    def watchers(self, channel: str) -> int:
        """Return how many are in a channel."""
        return len(self._channel(channel).subscribers)

    def cut_all(self, channel: str, code: int, reason: str) -> None:
        """Let everyone in a channel go."""
        there = self._channel(channel).subscribers
        for subscriber in list(there):
            del there[subscriber]
            subscriber.cut(channel, code, reason)

    def tell(self, channel: str, data: bytes, *, tags: dict[str, str] | None = None) -> None:
        """Publish, without anybody asking whether it may be."""
        there = self._channel(channel)
        offset = 1 + (there.publications[-1].offset if there.publications else 0)
        publication = Publication(data=data, offset=offset, tags=tags or {}, time_ms=1)
        there.publications.append(publication)
        event = Encoded(PublicationPush(channel, publication))
        for subscriber, waiting in list(there.subscribers.items()):
            if waiting is None:
                subscriber.deliver(channel, event)
            else:
                waiting.append(event)

    async def join(
        self,
        subscriber: Subscriber,
        channel: str,
        *,
        grant: Grant,
        since: Position | None,
        tags: TagFilter | None,
    ) -> Joined | ErrorReply:
        """Enter a channel."""
        await self._answering.wait()
        if self.away:
            return codes.INTERNAL
        if channel.startswith("no:"):
            return codes.UNKNOWN_CHANNEL
        if TokenScope.SUBSCRIBE not in grant.scopes:
            return codes.PERMISSION_DENIED
        there = self._channel(channel)
        there.subscribers[subscriber] = []
        top = there.publications[-1].offset if there.publications else 0
        if since is None:
            return Joined(recoverable=True, epoch=there.epoch, offset=top)
        missed = tuple(one for one in there.publications if one.offset > since.offset)
        whole = since.epoch in {"", there.epoch} and len(missed) <= self._kept_max
        if not whole:
            return Joined(recoverable=True, epoch=there.epoch, offset=top, was_recovering=True)
        return Joined(
            recoverable=True,
            epoch=there.epoch,
            offset=since.offset,
            was_recovering=True,
            recovered=True,
            publications=missed,
        )

    def live(self, subscriber: Subscriber, channel: str) -> None:
        """Deliver what waited, then all as it comes."""
        there = self._channel(channel).subscribers
        waiting, there[subscriber] = there.get(subscriber), None
        for event in waiting or ():
            subscriber.deliver(channel, event)

    def leave(self, subscriber: Subscriber, channel: str) -> None:
        """Leave a channel."""
        self._channel(channel).subscribers.pop(subscriber, None)

    def leave_all(self, subscriber: Subscriber) -> None:
        """Leave every channel."""
        for there in self._channels.values():
            there.subscribers.pop(subscriber, None)

    async def publish(
        self, channel: str, data: bytes, *, grant: Grant, info: ClientInfo
    ) -> ErrorReply | None:
        """Publish where clients may."""
        if not channel.startswith("notes:"):
            return codes.PERMISSION_DENIED
        self.tell(channel, data)
        return None

    async def history(
        self, channel: str, *, grant: Grant, limit: int, since: Position | None, reverse: bool
    ) -> HistoryPage | ErrorReply:
        """Return entries."""
        there = self._channel(channel)
        if since is not None and since.epoch != there.epoch:
            return codes.UNRECOVERABLE
        after = 0 if since is None else since.offset
        found = [one for one in there.publications if one.offset > after]
        ordered = found[::-1] if reverse else found
        top = there.publications[-1].offset if there.publications else 0
        shown = ordered if limit < 0 else ordered[:limit]
        return HistoryPage(epoch=there.epoch, offset=top, publications=tuple(shown))

    async def presence(self, channel: str, *, grant: Grant) -> ChannelPresence | ErrorReply:
        """Return who is there."""
        there = self._channel(channel).subscribers
        return ChannelPresence({one.who.client: one.who for one in there})

    def _channel(self, name: str) -> _Channel:
        return self._channels.setdefault(name, _Channel(self.epoch))
