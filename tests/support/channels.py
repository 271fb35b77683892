"""A log in memory for channels, gateways' views of it, and somebody who watches.

`MemoryLog` is one partition a topic; records may be cut off its beginning, and it may be replaced
by an empty one. A `MemorySource` follows it for one gateway, as far as it is told to `pull`.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.events import NotePublished
from analytics.contracts.ids import EventId, TenantId
from gateway.channels.hub import ChannelLimits, LiveHub
from gateway.channels.records import StreamPublication, read
from gateway.channels.recovery import Slice
from gateway.channels.ring import RingBounds
from gateway.channels.source import Archive, LogListener
from gateway.channels.subscriptions import Roll
from gateway.channels.values import ClientInfo, Encoded, Publication
from gateway.http.auth import Grant, TokenScope
from gateway.kafka.log_consumer import Place
from tests.support.gateway import NOW_MS, Clock, clocks
from tests.support.publisher_memory import MemoryPublisher

NOTES = "mainstem.notes.v1"
PLACE = Place(NOTES, 0)


def grant(tenant: str = "acme", *scopes: TokenScope) -> Grant:
    """Return what a token of this tenant may do: watch and publish, unless scopes are given."""
    given = scopes or (TokenScope.SUBSCRIBE, TokenScope.PUBLISH)
    return Grant(user="ada", tenant=TenantId(tenant), scopes=frozenset(given))


def note(name: str, data: str, *, tenant: str = "acme") -> bytes:
    """Return a record of `notes:<name>`."""
    event = NotePublished(
        id=EventId("n"),
        tenant=TenantId(tenant),
        at_ms=NOW_MS,
        channel=f"{tenant}/{name}",
        user="ada",
        data=data,
    )
    return events.encode(event)


class MemoryLog:
    """One partition that everybody reads; offsets of a new one begin at 0 again."""

    def __init__(self) -> None:
        self.epoch = "log-1"
        self.first = 0
        self.values: list[bytes] = []

    @property
    def end(self) -> int:
        """Where the next record goes."""
        return self.first + len(self.values)

    def add(self, value: bytes) -> int:
        """Add a record; return the position of who has read it."""
        self.values.append(value)
        return self.end

    def cut(self, records: int) -> None:
        """Remove the oldest records."""
        records = min(records, len(self.values))
        del self.values[:records]
        self.first += records

    def replace(self) -> None:
        """Begin anew, empty."""
        self.epoch += "'"
        self.first, self.values = 0, []

    def lines(self, first: int, end: int) -> list[StreamPublication]:
        """Return the lines of the records in `[first, end)`."""
        found = [read(NOTES, self.values[at - self.first], offset=at) for at in range(first, end)]
        return [line for line in found if line is not None]


class MemorySource:
    """The log as one gateway follows it."""

    def __init__(self, log: MemoryLog, *, warm: int) -> None:
        self.up = True
        self.watches = 0
        self._log = log
        self._warm = warm
        self._told: LogListener | None = None

    def tell(self, told: LogListener) -> None:
        """Say who is told."""
        self._told = told

    async def place_of(self, address: str, key: bytes) -> Place:
        """Return the only place there is."""
        del key
        await asyncio.sleep(0)
        return Place(address, 0)

    def watch(self, place: Place) -> None:
        """Open the partition soon."""
        del place
        self.watches += 1
        asyncio.get_running_loop().call_soon(self.pull)

    def release(self, place: Place) -> None:
        """Take one watch back."""
        del place
        self.watches -= 1

    def pull(self) -> None:
        """Tell all that is there, as a follower has to."""
        assert self._told is not None
        log, told = self._log, self._told
        known = told.known(PLACE)
        if known is None or known[0] != log.epoch or not log.first <= known[1] <= log.end:
            first = max(log.first, log.end - self._warm)
            told.opened(PLACE, epoch=log.epoch, first=first)
            known = (log.epoch, first)
        if log.end > known[1]:
            told.took(PLACE, log.lines(known[1], log.end), end=log.end)
        told.reached(PLACE)


class MemoryArchive:
    """The log as a tier of recovery, which takes its time and may be `away`."""

    def __init__(self, log: MemoryLog) -> None:
        self.away = False
        self.pauses = 0
        self.reads = 0
        self._log = log

    async def read(self, place: Place, *, epoch: str, first: int, end: int) -> Slice | None:
        """Return the slice, if the log has it."""
        del place
        self.reads += 1
        for _ in range(self.pauses):
            await asyncio.sleep(0)
        log = self._log
        if self.away or epoch != log.epoch or first < log.first or end > log.end:
            return None
        return Slice(first=first, end=end, lines=tuple(log.lines(first, end)))


class Watcher:
    """Somebody in channels, and what they heard."""

    def __init__(self, client: str = "c1") -> None:
        self.who = ClientInfo(user="ada", client=client)
        self.heard: list[Publication] = []
        self.events: list[Encoded] = []
        self.cuts: list[tuple[str, int]] = []

    @property
    def data(self) -> list[str]:
        """What was heard."""
        return [one.data.decode() for one in self.heard]

    def deliver(self, channel: str, event: Encoded, /) -> None:
        """Hear one publication."""
        del channel
        self.events.append(event)
        self.heard.append(event.push.publication)

    def cut(self, channel: str, code: int, reason: str, /) -> None:
        """Be sent away."""
        del reason
        self.cuts.append((channel, code))


class Node(Struct, frozen=True):
    """One gateway's channels."""

    hub: LiveHub
    source: MemorySource
    publisher: MemoryPublisher


def node(
    log: MemoryLog,
    archives: Sequence[Archive] = (),
    *,
    warm: int = 1_000,
    records_max: int = 1_000,
    publications_max: int = 1_000,
    seconds_max: float = 2,
    roll: Roll | None = None,
) -> Node:
    """Return a gateway's channels over this log."""
    source = MemorySource(log, warm=warm)
    publisher = MemoryPublisher()
    hub = LiveHub(
        source,
        archives,
        publisher=publisher,
        clock=clocks(Clock()),
        roll=roll,
        limits=ChannelLimits(
            ring=RingBounds(records_max=records_max, bytes_max=1_000_000, age_ms=600_000),
            join_seconds_max=seconds_max,
            ahead_seconds_max=0.01,
            publications_max=publications_max,
            recovery_bytes_max=1_000_000,
            subscriptions_max=1_000,
        ),
    )
    return Node(hub, source, publisher)
