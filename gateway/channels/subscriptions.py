"""Who watches what, and what the logs said: the hub without its waiting.

For every followed partition the board keeps a ring and, by stream, the rooms cut from it: one for
each channel name, with its subscribers. A record is made into one event a room, whoever watches. A
subscriber that was answered hears everything after the position it was told, in order and once,
first held back until it is `live`; where a partition begins anew it is cut instead.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from analytics.contracts.ids import TenantId
from gateway.channels.filters import Accepts, both
from gateway.channels.names import Channel, Stream
from gateway.channels.records import StreamPublication
from gateway.channels.ring import Ring, RingBounds
from gateway.channels.values import INSUFFICIENT, ClientInfo, Encoded, PublicationPush, Subscriber
from gateway.kafka.log_consumer import Place

HELD_MAX: Final = 1_000
"""Publications held back for a subscriber between its answer and going live."""


class Tail:
    """The newest of one partition: its epoch, its ring, and whether it has been caught up with."""

    def __init__(self, epoch: str, ring: Ring) -> None:
        self.epoch = epoch
        self.ring = ring
        self.ready = False


class Seat:
    """One subscriber in one channel; `held` is there from its answer until it is live."""

    __slots__ = ("accepts", "channel", "held", "left", "place", "subscriber")

    def __init__(self, subscriber: Subscriber, channel: Channel, accepts: Accepts | None) -> None:
        self.subscriber = subscriber
        self.channel = channel
        self.accepts = accepts
        self.place: Place | None = None
        self.held: deque[Encoded] | None = None
        self.left = False


class _Room:
    __slots__ = ("accepts", "name", "seats")

    def __init__(self, channel: Channel) -> None:
        self.name = channel.name
        self.accepts = channel.accepts
        self.seats: dict[Subscriber, Seat] = {}


class Roll(Protocol):
    """Who is told who is in which channel, so that other gateways can know."""

    def entered(self, tenant: TenantId, channel: str, who: ClientInfo) -> None:
        """Note that a client is in a channel."""
        ...

    def left(self, tenant: TenantId, channel: str, client: str) -> None:
        """Note that a client is in a channel no more."""
        ...


class SubscriptionTable:
    """See the module; `freed` is told of every partition that one seat fewer is on."""

    def __init__(
        self, bounds: RingBounds, *, freed: Callable[[Place], None], roll: Roll | None = None
    ) -> None:
        self.tails: dict[Place, Tail] = {}
        self._bounds = bounds
        self._freed = freed
        self._roll = roll
        self._rooms: dict[Place, dict[Stream, dict[str, _Room]]] = {}
        self._seats: dict[Subscriber, dict[str, Seat]] = {}

    def __len__(self) -> int:
        """Return how many seats are taken."""
        return sum(map(len, self._seats.values()))

    def reserve(
        self, subscriber: Subscriber, channel: Channel, accepts: Accepts | None
    ) -> Seat | None:
        """Note that somebody is about to watch a channel; nothing if they do already."""
        seats = self._seats.setdefault(subscriber, {})
        if channel.name in seats:
            return None
        seat = seats[channel.name] = Seat(subscriber, channel, accepts)
        return seat

    def sit(self, seat: Seat, place: Place) -> None:
        """Hold back for a subscriber that is being answered what comes from now on."""
        seat.held = deque()
        rooms = self._rooms.setdefault(place, {}).setdefault(seat.channel.stream, {})
        room = rooms.get(seat.channel.name)
        if room is None:
            room = rooms[seat.channel.name] = _Room(seat.channel)
        room.seats[seat.subscriber] = seat
        if self._roll is not None:
            self._roll.entered(seat.channel.stream.tenant, room.name, seat.subscriber.who)

    def live(self, subscriber: Subscriber, name: str) -> None:
        """Deliver what was held back, then everything as it comes."""
        seat = self._seats.get(subscriber, {}).get(name)
        while seat is not None and seat.held:
            subscriber.deliver(name, seat.held.popleft())
        if seat is not None:
            seat.held = None

    def leave(self, subscriber: Subscriber, name: str) -> None:
        """Free a seat, if there is one."""
        seats = self._seats.get(subscriber)
        seat = None if seats is None else seats.pop(name, None)
        if seats is not None and not seats:
            del self._seats[subscriber]
        if seat is not None:
            self._free(seat)

    def leave_all(self, subscriber: Subscriber) -> None:
        """Free every seat of a subscriber."""
        for seat in self._seats.pop(subscriber, {}).values():
            self._free(seat)

    def clients(self, place: Place, channel: Channel) -> dict[str, ClientInfo]:
        """Return who is in a channel, by connection."""
        room = self._rooms.get(place, {}).get(channel.stream, {}).get(channel.name)
        seats = () if room is None else room.seats
        return {subscriber.who.client: subscriber.who for subscriber in seats}

    def opened(self, place: Place, *, epoch: str, first: int) -> None:
        """Begin a partition (anew) at `first`; those who heard of it before are cut."""
        self.cut_all(place)
        self.tails[place] = Tail(epoch, Ring(first=first, bounds=self._bounds))

    def closed(self, place: Place) -> None:
        """Forget a partition."""
        self.cut_all(place)
        self.tails.pop(place, None)

    def cut_all(self, place: Place) -> None:
        """Send everybody away who was answered about this partition."""
        for seat in [*self._seated(place)]:
            self._cut(seat)

    def take(
        self, place: Place, lines: Iterable[StreamPublication], *, end: int, now_ms: int
    ) -> int:
        """Keep what a partition said up to `end` and tell who watches; return deliveries."""
        kept = list(lines)
        self.tails[place].ring.add(kept, end=end, now_ms=now_ms)
        rooms = self._rooms.get(place)
        return sum(self._tell(rooms, line) for line in kept) if rooms else 0

    def _tell(self, rooms: dict[Stream, dict[str, _Room]], line: StreamPublication) -> int:
        told = 0
        tags = line.publication.tags
        for room in [*rooms.get(line.stream, {}).values()]:
            if room.accepts is not None and not room.accepts(tags):
                continue
            event = Encoded(PublicationPush(room.name, line.publication))
            for seat in [*room.seats.values()]:
                if (seat.accepts is None or seat.accepts(tags)) and not seat.left:
                    self._give(seat, event)
                    told += 1
        return told

    def _give(self, seat: Seat, event: Encoded) -> None:
        if seat.held is None:
            seat.subscriber.deliver(seat.channel.name, event)
        elif len(seat.held) < HELD_MAX:
            seat.held.append(event)
        else:
            self._cut(seat)

    def _cut(self, seat: Seat) -> None:
        if seat.left:
            return
        self.leave(seat.subscriber, seat.channel.name)
        seat.subscriber.cut(seat.channel.name, INSUFFICIENT.code, INSUFFICIENT.reason)

    def _free(self, seat: Seat) -> None:
        seat.left = True
        place = seat.place
        if place is None:
            return
        rooms = self._rooms.get(place, {})
        named = rooms.get(seat.channel.stream, {})
        room = named.get(seat.channel.name)
        if room is not None and room.seats.get(seat.subscriber) is seat:
            del room.seats[seat.subscriber]
            if self._roll is not None:
                client = seat.subscriber.who.client
                self._roll.left(seat.channel.stream.tenant, room.name, client)
            if not room.seats:
                del named[room.name]
            if not named:
                del rooms[seat.channel.stream]
            if not rooms:
                del self._rooms[place]
        self._freed(place)

    def _seated(self, place: Place) -> Iterator[Seat]:
        for named in self._rooms.get(place, {}).values():
            for room in named.values():
                yield from room.seats.values()


def wish(channel: Channel, accepts: Accepts | None) -> Accepts | None:
    """Return the one filter that a subscriber's own and its channel's amount to."""
    return both(channel.accepts, accepts)
