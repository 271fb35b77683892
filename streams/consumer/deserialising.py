"""From the records of a batch to what can be counted, and what becomes a dead letter.

A record that is no event of its topic becomes a dead letter as it came, with the reason and its
offset; it never stops the partition. Characters that the store cannot hold are replaced. Nothing
here touches a broker, a store or a clock.
"""

from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar
from urllib.parse import unquote

from msgspec import Struct

from analytics.contracts import clean, dead_letters, events, topics
from analytics.contracts.errors import BadEvent
from analytics.contracts.events import Event
from analytics.contracts.topics import Topic
from analytics.measures.fold import Arrival
from analytics.windows import partials
from analytics.windows.final_aggregation import Arrived
from analytics.windows.partials import BadShuffleBatch
from streams.store.checkpoint import DeadLetter

ORIGIN: Final = "worker"
"""The `origin` of what a worker buries itself."""
REASON_LENGTH_MAX: Final = dead_letters.REASON_LENGTH_MAX


class ConsumedRecord(Protocol):
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


class DeserialisedBatch(Struct, Generic[A], frozen=True):
    """What a batch amounts to before it is folded."""

    arrivals: Sequence[A]
    dead_letters: Sequence[DeadLetter]


Reader = Callable[[int, Sequence[ConsumedRecord], int], DeserialisedBatch[A]]
"""Reads the records of one partition at a time: partition, records, now in epoch milliseconds."""


def events_of(topic: Topic) -> Reader[Arrival]:
    """Return the reader of a topic that carries events."""
    address, kinds = topic.address, frozenset(topic.carries)

    def read(
        partition: int, records: Sequence[ConsumedRecord], now_ms: int
    ) -> DeserialisedBatch[Arrival]:
        payloads = [_payload(record) for record in records]
        try:
            told = events.decode_all(payloads)
        except BadEvent:
            return read_each(partition, records, now_ms)
        if not kinds.issuperset(map(type, told)):
            return read_each(partition, records, now_ms)
        return DeserialisedBatch(
            [
                Arrival(
                    record.offset,
                    record.timestamp if record.timestamp > 0 else now_ms,
                    event,
                    payload,
                )
                for record, event, payload in zip(records, told, payloads, strict=True)
            ],
            [],
        )

    def read_each(
        partition: int, records: Sequence[ConsumedRecord], now_ms: int
    ) -> DeserialisedBatch[Arrival]:
        arrivals: list[Arrival] = []
        dead_letters: list[DeadLetter] = []
        for record in records:
            try:
                event, payload = _decoded(_payload(record))
            except BadEvent as error:
                dead_letters.append(
                    as_dead_letter(address, partition, record, now_ms, reason=error.reason)
                )
                continue
            if type(event) not in kinds:
                where = topics.of(event).address
                reason = f"{events.type_of(event)} belongs on {where}"
                dead_letters.append(
                    as_dead_letter(address, partition, record, now_ms, reason=reason)
                )
                continue
            received_ms = record.timestamp if record.timestamp > 0 else now_ms
            arrivals.append(Arrival(record.offset, received_ms, event, payload))
        return DeserialisedBatch(arrivals, dead_letters)

    return read


def parcels(
    partition: int, records: Sequence[ConsumedRecord], now_ms: int
) -> DeserialisedBatch[Arrived]:
    """Read the topic between the two stages."""
    arrivals: list[Arrived] = []
    dead_letters: list[DeadLetter] = []
    for record in records:
        payload = record.value or b""
        try:
            parcel = partials.decode(payload)
        except BadShuffleBatch as error:
            dead_letters.append(
                as_dead_letter(
                    topics.PARTIALS.address, partition, record, now_ms, reason=str(error)
                )
            )
            continue
        received_ms = record.timestamp if record.timestamp > 0 else now_ms
        arrivals.append(Arrived(record.offset, received_ms, parcel, payload))
    return DeserialisedBatch(arrivals, dead_letters)


def read_dead_letters(
    partition: int, records: Sequence[ConsumedRecord], now_ms: int
) -> DeserialisedBatch[Arrival]:
    """Read the topic of dead letters: what somebody else could not read, with their reason."""
    return DeserialisedBatch(
        (), [_forwarded_dead_letter(partition, record, now_ms) for record in records]
    )


def as_dead_letter(
    topic: str, partition: int, record: ConsumedRecord, now_ms: int, *, reason: str
) -> DeadLetter:
    """Return a record as a dead letter as it came."""
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=record.offset,
        at_ms=now_ms,
        tenant=_tenant(record),
        origin=ORIGIN,
        reason=reason[:REASON_LENGTH_MAX],
        payload=record.value or b"",
    )


def _forwarded_dead_letter(partition: int, record: ConsumedRecord, now_ms: int) -> DeadLetter:
    said = dict(record.headers)
    return DeadLetter(
        topic=topics.DEAD_LETTERS.address,
        partition=partition,
        offset=record.offset,
        at_ms=record.timestamp if record.timestamp > 0 else now_ms,
        tenant=_text(said, dead_letters.TENANT) or _tenant(record),
        origin=_text(said, dead_letters.ORIGIN),
        reason=_text(said, dead_letters.REASON)[:REASON_LENGTH_MAX],
        payload=record.value or b"",
    )


def _payload(record: ConsumedRecord) -> bytes:
    """Return a record's value without characters that the store cannot hold."""
    value = record.value or b""
    return clean.json_bytes(value) if clean.NUL_ESCAPE in value else value


def _decoded(payload: bytes) -> tuple[Event, bytes]:
    """Return the event in a payload and the payload, made clean where it is not."""
    try:
        return events.decode(payload), payload
    except BadEvent as error:
        cleaned = clean.json_bytes(payload)
        if cleaned == payload:
            raise
        try:
            return events.decode(cleaned), cleaned
        except BadEvent:
            raise error from None


def _tenant(record: ConsumedRecord) -> str:
    source = _text(dict(record.headers), "ce_source").split("/")
    return unquote(source[2]) if len(source) == 4 and source[1] == "tenants" else ""


def _text(headers: dict[str, bytes], name: str) -> str:
    return (headers.get(name) or b"").decode("utf-8", "replace")
