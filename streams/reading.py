"""From the records of a batch to what can be counted, and what has to be buried.

A record that is no event of its topic is buried as it came, with the reason and its offset; it
never stops the partition. Nothing here touches a broker, a store or a clock.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import unquote

from msgspec import Struct

from analytics.contracts import events, graves, topics
from analytics.contracts.errors import BadEvent
from analytics.contracts.topics import Topic
from analytics.measures.fold import Arrival
from analytics.windows import partials
from analytics.windows.merging import Arrived
from analytics.windows.partials import BadParcel
from streams.ledger import Burial

ORIGIN: Final = "worker"
"""The `origin` of what a worker buries itself."""
REASON_LENGTH_MAX: Final = graves.REASON_LENGTH_MAX


class Taken(Protocol):
    """A record as a consumer hands it over."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """When the broker or the producer says it was written, in epoch milliseconds."""
        ...

    @property
    def value(self) -> bytes | None:
        """The event's JSON."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """The CloudEvents attributes."""
        ...


A = TypeVar("A")
"""What a record is once it is read."""


class Reading(Struct, Generic[A], frozen=True):
    """What a batch amounts to before it is folded."""

    arrivals: Sequence[A]
    burials: Sequence[Burial]


Reader = Callable[[int, Sequence[Taken], int], Reading[A]]
"""Reads the records of one partition at a time: partition, records, now in epoch milliseconds."""


def events_of(topic: Topic) -> Reader[Arrival]:
    """Return the reader of a topic that carries events."""
    address, kinds = topic.address, frozenset(topic.carries)

    def read(partition: int, records: Sequence[Taken], now_ms: int) -> Reading[Arrival]:
        try:
            told = events.decode_all([record.value or b"" for record in records])
        except BadEvent:
            return read_each(partition, records, now_ms)
        if not kinds.issuperset(map(type, told)):
            return read_each(partition, records, now_ms)
        return Reading(
            [
                Arrival(
                    record.offset,
                    record.timestamp if record.timestamp > 0 else now_ms,
                    event,
                    record.value or b"",
                )
                for record, event in zip(records, told, strict=True)
            ],
            [],
        )

    def read_each(partition: int, records: Sequence[Taken], now_ms: int) -> Reading[Arrival]:
        arrivals: list[Arrival] = []
        burials: list[Burial] = []
        for record in records:
            payload = record.value or b""
            try:
                event = events.decode(payload)
            except BadEvent as error:
                burials.append(buried(address, partition, record, now_ms, reason=error.reason))
                continue
            if type(event) not in kinds:
                where = topics.of(event).address
                reason = f"{events.type_of(event)} belongs on {where}"
                burials.append(buried(address, partition, record, now_ms, reason=reason))
                continue
            received_ms = record.timestamp if record.timestamp > 0 else now_ms
            arrivals.append(Arrival(record.offset, received_ms, event, payload))
        return Reading(arrivals, burials)

    return read


def parcels(partition: int, records: Sequence[Taken], now_ms: int) -> Reading[Arrived]:
    """Read the topic between the two stages."""
    arrivals: list[Arrived] = []
    burials: list[Burial] = []
    for record in records:
        payload = record.value or b""
        try:
            parcel = partials.decode(payload)
        except BadParcel as error:
            burials.append(
                buried(topics.PARTIALS.address, partition, record, now_ms, reason=str(error))
            )
            continue
        received_ms = record.timestamp if record.timestamp > 0 else now_ms
        arrivals.append(Arrived(record.offset, received_ms, parcel, payload))
    return Reading(arrivals, burials)


def graveyard(partition: int, records: Sequence[Taken], now_ms: int) -> Reading[Arrival]:
    """Read the graveyard topic: what somebody else could not read, with their reason."""
    return Reading((), [_reburied(partition, record, now_ms) for record in records])


def buried(topic: str, partition: int, record: Taken, now_ms: int, *, reason: str) -> Burial:
    """Return the burial of a record as it came."""
    return Burial(
        topic=topic,
        partition=partition,
        offset=record.offset,
        at_ms=now_ms,
        tenant=_tenant(record),
        origin=ORIGIN,
        reason=reason[:REASON_LENGTH_MAX],
        payload=record.value or b"",
    )


def _reburied(partition: int, record: Taken, now_ms: int) -> Burial:
    said = dict(record.headers)
    return Burial(
        topic=topics.GRAVEYARD.address,
        partition=partition,
        offset=record.offset,
        at_ms=record.timestamp if record.timestamp > 0 else now_ms,
        tenant=_text(said, graves.TENANT) or _tenant(record),
        origin=_text(said, graves.ORIGIN),
        reason=_text(said, graves.REASON)[:REASON_LENGTH_MAX],
        payload=record.value or b"",
    )


def _tenant(record: Taken) -> str:
    source = _text(dict(record.headers), "ce_source").split("/")
    return unquote(source[2]) if len(source) == 4 and source[1] == "tenants" else ""


def _text(headers: dict[str, bytes], name: str) -> str:
    return (headers.get(name) or b"").decode("utf-8", "replace")
