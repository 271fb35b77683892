"""The hub: channels of this gateway, over a log that is followed and tiers that have more of it.

A join is answered once its partition has been caught up with. Who comes back is looked up in
memory, then in each archive in turn; what cannot be told whole is said to be broken. Everything
from the last look to the answer happens in one step of the loop, so nothing falls between. What
clients publish goes the way of every event and is acknowledged by the broker; subscribers hear of
it when it comes back through the log, here as on every other gateway.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from analytics.contracts import clean
from analytics.contracts.errors import MainstemError
from analytics.contracts.events import NotePublished
from analytics.contracts.facts import TEXT_LENGTH_MAX
from analytics.contracts.facts import Source as Road
from analytics.contracts.ids import EventId, TenantId
from gateway import metrics
from gateway.channels import recovery, subscriptions
from gateway.channels.filters import Accepts, BadFilter, compile_filter
from gateway.channels.history_reads import Pasts
from gateway.channels.names import Channel, NoChannel, channel_of, may_watch, may_write
from gateway.channels.records import StreamPublication
from gateway.channels.recovery import Slice, Wanted
from gateway.channels.ring import RingBounds
from gateway.channels.source import Archive, Source
from gateway.channels.subscriptions import Roll, Seat, SubscriptionTable, Tail
from gateway.channels.values import (
    ChannelPresence,
    ClientInfo,
    HistoryPage,
    Joined,
    Position,
    Subscriber,
    TagFilter,
)
from gateway.http.auth import Grant
from gateway.kafka.log_consumer import Place
from gateway.kafka.publisher import OutgoingEvent, Publisher, Status
from gateway.protocol import codes
from gateway.protocol.codes import ErrorReply

ALL: Final = -1
"""The limit of a history that asks for everything."""


class ChannelLimits(Struct, frozen=True, kw_only=True):
    """What holds for every channel."""

    ring: RingBounds
    join_seconds_max: float
    ahead_seconds_max: float
    publications_max: int
    recovery_bytes_max: int
    subscriptions_max: int


class Clock(Protocol):
    """Times and ids."""

    @property
    def now_ms(self) -> Callable[[], int]:
        """A clock that never goes back."""
        ...

    @property
    def wall_ms(self) -> Callable[[], int]:
        """The calendar."""
        ...

    @property
    def new_id(self) -> Callable[[], str]:
        """Ids."""
        ...


class Elsewhere(Protocol):
    """Who is in channels on other gateways."""

    async def present(self, tenant: TenantId, channel: str) -> Mapping[str, ClientInfo]:
        """Return who is in a channel, by connection."""
        ...


class LiveHub:
    """See the module; it is the `Hub` of `values` and is told what happens to the log."""

    def __init__(
        self,
        source: Source,
        archives: Sequence[Archive],
        *,
        publisher: Publisher,
        limits: ChannelLimits,
        clock: Clock,
        elsewhere: Elsewhere | None = None,
        roll: Roll | None = None,
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._limits = limits
        self._clock = clock
        self._elsewhere = elsewhere
        self._board = SubscriptionTable(limits.ring, freed=source.release, roll=roll)
        self._pasts = Pasts(archives, bytes_max=limits.recovery_bytes_max)
        self._turns: dict[Place, asyncio.Event] = {}
        source.tell(self)

    def __len__(self) -> int:
        """Return how many subscriptions there are."""
        return len(self._board)

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
        named = _opened(channel, grant)
        accepts = _compiled(tags)
        if isinstance(named, ErrorReply) or isinstance(accepts, ErrorReply):
            metrics.CHANNEL_JOINS.labels("refused").inc()
            return named if isinstance(named, ErrorReply) else codes.BAD_CALL
        if len(self._board) >= self._limits.subscriptions_max:
            metrics.LIMITS_HIT.labels("subscriptions_max").inc()
            return codes.LIMIT_EXCEEDED
        seat = self._board.reserve(subscriber, named, accepts)
        if seat is None:
            return codes.ALREADY_SUBSCRIBED
        metrics.CHANNEL_SUBSCRIPTIONS.set(len(self._board))
        answer: Joined | ErrorReply | None = None
        try:
            async with asyncio.timeout(self._limits.join_seconds_max):
                while answer is None:
                    answer = await self._join(seat, since)
        except (TimeoutError, MainstemError):
            answer = codes.INTERNAL
        except BaseException:
            self._give_up(seat)
            raise
        if isinstance(answer, ErrorReply):
            metrics.CHANNEL_JOINS.labels("refused").inc()
            self._give_up(seat)
        return answer

    def live(self, subscriber: Subscriber, channel: str) -> None:
        """Deliver what waited, then everything as it comes."""
        self._board.live(subscriber, channel)

    def leave(self, subscriber: Subscriber, channel: str) -> None:
        """Leave a channel, joined or still joining; nothing if it is not in it."""
        self._board.leave(subscriber, channel)
        metrics.CHANNEL_SUBSCRIPTIONS.set(len(self._board))

    def leave_all(self, subscriber: Subscriber) -> None:
        """Leave every channel."""
        self._board.leave_all(subscriber)
        metrics.CHANNEL_SUBSCRIPTIONS.set(len(self._board))

    async def publish(
        self, channel: str, data: bytes, *, grant: Grant, info: ClientInfo
    ) -> ErrorReply | None:
        """Put data into a channel that clients may write; return once the log has it."""
        try:
            named = channel_of(channel, tenant=grant.tenant)
        except NoChannel:
            return codes.UNKNOWN_CHANNEL
        if not named.writable:
            return codes.UNSERVED
        if not may_write(grant, named):
            return codes.PERMISSION_DENIED
        text = _json(data)
        if text is None:
            return codes.BAD_CALL
        event = NotePublished(
            id=EventId(self._clock.new_id()),
            tenant=grant.tenant,
            at_ms=self._clock.wall_ms(),
            source=Road.WEBSOCKET,
            channel=named.key.decode(),
            user=info.user,
            client=info.client,
            data=text,
        )
        [verdict] = await self._publisher.publish([OutgoingEvent(event=event)])
        if verdict.status is not Status.REFUSED:
            return None
        if verdict.retry_after_ms is None:
            return ErrorReply(codes.BAD_CALL.code, verdict.reason)
        return codes.TOO_MANY_CALLS if self._source.up else codes.INTERNAL

    async def history(
        self, channel: str, *, grant: Grant, limit: int, since: Position | None, reverse: bool
    ) -> HistoryPage | ErrorReply:
        """Return entries of a channel: none with limit 0, all that is kept with -1."""
        named = _opened(channel, grant)
        if isinstance(named, ErrorReply):
            return named
        try:
            async with asyncio.timeout(self._limits.join_seconds_max):
                return await self._history(named, limit=limit, since=since, reverse=reverse)
        except (TimeoutError, MainstemError):
            return codes.INTERNAL

    async def presence(self, channel: str, *, grant: Grant) -> ChannelPresence | ErrorReply:
        """Return who is in a channel."""
        named = _opened(channel, grant)
        if isinstance(named, ErrorReply):
            return named
        try:
            async with asyncio.timeout(self._limits.join_seconds_max):
                place = await self._source.place_of(named.topic.address, named.key)
            others = (
                {}
                if self._elsewhere is None
                else await self._elsewhere.present(grant.tenant, channel)
            )
        except (TimeoutError, MainstemError):
            return codes.INTERNAL
        return ChannelPresence({**others, **self._board.clients(place, named)})

    def known(self, place: Place) -> tuple[str, int] | None:
        """Return the epoch of a partition and up to where it was told, if it is open."""
        tail = self._board.tails.get(place)
        return None if tail is None else (tail.epoch, tail.ring.end)

    def opened(self, place: Place, *, epoch: str, first: int) -> None:
        """Take notice that a partition is told from `first` on; what was told before is void."""
        self._board.opened(place, epoch=epoch, first=first)

    def took(self, place: Place, lines: Sequence[StreamPublication], *, end: int) -> None:
        """Take all lines of the next records, up to `end`."""
        told = self._board.take(place, lines, end=end, now_ms=self._clock.now_ms())
        if told:
            metrics.CHANNEL_DELIVERIES.inc(told)
        self._turn(place)

    def reached(self, place: Place) -> None:
        """Take notice that all that was there has been told."""
        self._board.tails[place].ready = True
        self._turn(place)

    def closed(self, place: Place) -> None:
        """Take notice that a partition is not followed any more."""
        self._board.closed(place)

    async def _join(self, seat: Seat, since: Position | None) -> Joined | ErrorReply | None:
        """Return what the client is told; nothing where the partition began again meanwhile."""
        channel = seat.channel
        place = seat.place
        if place is None:
            place = await self._source.place_of(channel.topic.address, channel.key)
            if seat.left:
                return codes.INTERNAL
            seat.place = place
            self._source.watch(place)
        tail = await self._caught_up(place, since)
        if since is None or not recovery.is_of(tail.epoch, since):
            return self._answer(seat, place, tail, since=since, slices=())
        async with self._pasts.before(place, tail, since.offset) as slices:
            return self._answer(seat, place, tail, since=since, slices=slices)

    def _answer(
        self,
        seat: Seat,
        place: Place,
        tail: Tail,
        *,
        since: Position | None,
        slices: Sequence[Slice],
    ) -> Joined | ErrorReply | None:
        """Look one last time and take the seat, in one step."""
        if seat.left:
            return codes.INTERNAL
        if self._board.tails.get(place) is not tail:
            return None
        found, outcome = None, "fresh" if since is None else "gap"
        if since is not None and recovery.is_of(tail.epoch, since):
            wanted = Wanted(
                stream=seat.channel.stream,
                accepts=subscriptions.wish(seat.channel, seat.accepts),
                after=since.offset,
                publications_max=self._limits.publications_max,
            )
            found = recovery.run(tail.ring, slices, wanted)
            if found is not None:
                outcome = "archive" if slices else "memory"
        self._board.sit(seat, place)
        metrics.CHANNEL_JOINS.labels(outcome).inc()
        return recovery.answer(tail.epoch, tail.ring.end, since, found)

    async def _history(
        self, channel: Channel, *, limit: int, since: Position | None, reverse: bool
    ) -> HistoryPage | ErrorReply:
        place = await self._source.place_of(channel.topic.address, channel.key)
        with self._watching(place):
            tail = await self._caught_up(place, None)
            if since is not None and not recovery.is_of(tail.epoch, since):
                return codes.UNRECOVERABLE
            cap = self._limits.publications_max
            most = cap if limit == ALL else min(limit, cap)
            after = tail.ring.first if since is None or reverse else since.offset
            wanted = Wanted(
                stream=channel.stream,
                accepts=channel.accepts,
                after=after,
                publications_max=2**62,
            )
            async with self._pasts.before(place, tail, after) as slices:
                found = recovery.run(tail.ring, slices, wanted) if most else ()
            if found is None:
                return codes.UNRECOVERABLE
            if reverse:
                before = 2**62 if since is None else since.offset
                found = tuple(one for one in reversed(found) if one.offset < before)
            return HistoryPage(epoch=tail.epoch, offset=tail.ring.end, publications=found[:most])

    async def _caught_up(self, place: Place, since: Position | None) -> Tail:
        """Return the partition's tail once all that was there has been told.

        A client may know more than this gateway yet; that is waited for, but not for long, since
        the log may have gone back.
        """
        while (tail := self._board.tails.get(place)) is None or not tail.ready:
            await self._next_turn(place)
        if since is not None and recovery.is_of(tail.epoch, since):
            try:
                async with asyncio.timeout(self._limits.ahead_seconds_max):
                    while self._is_behind(place, tail, since):
                        await self._next_turn(place)
            except TimeoutError:
                if not self._source.up:
                    raise
        return tail

    def _is_behind(self, place: Place, tail: Tail, since: Position) -> bool:
        return self._board.tails.get(place) is tail and tail.ring.end < since.offset

    async def _next_turn(self, place: Place) -> None:
        await self._turns.setdefault(place, asyncio.Event()).wait()

    def _turn(self, place: Place) -> None:
        turn = self._turns.pop(place, None)
        if turn is not None:
            turn.set()

    def _give_up(self, seat: Seat) -> None:
        if not seat.left:
            self.leave(seat.subscriber, seat.channel.name)

    @contextmanager
    def _watching(self, place: Place) -> Iterator[None]:
        self._source.watch(place)
        try:
            yield
        finally:
            self._source.release(place)


def _opened(channel: str, grant: Grant) -> Channel | ErrorReply:
    try:
        named = channel_of(channel, tenant=grant.tenant)
    except NoChannel:
        return codes.UNKNOWN_CHANNEL
    return named if may_watch(grant) else codes.PERMISSION_DENIED


def _compiled(tags: TagFilter | None) -> Accepts | ErrorReply | None:
    try:
        return None if tags is None else compile_filter(tags)
    except BadFilter:
        return codes.BAD_CALL


def _note(data: bytes) -> str:
    msgspec.json.decode(data, type=msgspec.Raw)
    return data.decode()


def _json(data: bytes) -> str | None:
    """Return data as text if it is JSON that a note can hold."""
    try:
        text = clean.decoded(_note, data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return text if len(text) <= TEXT_LENGTH_MAX else None
