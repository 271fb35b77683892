"""The log that all engines read: events of connections that closed, and what is true of them.

Events are valid `connection.closed` of some 270 bytes, of `CONNECTIONS` connections, spread evenly
over event time and mildly out of order; durations are log-normal. Everything follows from an
event's number. Each connection closes once more long after all others, so that every engine sees
its last windows end; the windows of these are left out of the comparison.
"""

import asyncio
import math
import multiprocessing
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec import Struct

from tests.bench.engines.task import WIDTHS_MS, Tally, Window, window

CONNECTIONS: Final = 100
RATE: Final = 10_000
"""Events a second of event time."""
DISORDER_MS: Final = 500
AFTER_MS: Final = 60_000
"""How long after all others the events come that close the last windows."""
PROCESSES: Final = 2
BATCH_BYTES: Final = 256 * 1024
FLYING_MAX: Final = 4
_QUANTILES: Final = 4_096

_VALUE: Final = (
    b'{"type":"connection.closed","id":"%032x","tenant":"acme","at_ms":%d,"source":"websocket",'
    b'"connection_id":"%s","node":"gateway-%d","user":"someone-%03d@example.com","code":1000,'
    b'"reason":"went away","duration_ms":%d,"frames":%d}'
)


class Log(Struct, frozen=True, kw_only=True):
    """A log: how many events from when on, in which topic."""

    topic: str
    partitions: int
    events: int
    begin_ms: int
    """A multiple of the widest window."""

    @property
    def records(self) -> int:
        """How many records there are, those that close the last windows included."""
        return self.events + CONNECTIONS

    @property
    def horizon_ms(self) -> int:
        """Where windows begin that are not compared."""
        end_ms = self.begin_ms + self.events * 1_000 // RATE + AFTER_MS
        return end_ms - end_ms % -max(WIDTHS_MS)


class Event(Struct, frozen=True):
    """What engines look at of one event, and the number it follows from."""

    number: int
    connection: int
    at_ms: int
    duration_ms: int


def events(log: Log) -> Iterator[Event]:
    """Yield all events, in order."""
    durations = _durations()
    for number in range(log.records):
        spread = zlib.crc32(number.to_bytes(8, "little"))
        if number < log.events:
            at_ms = log.begin_ms + number * 1_000 // RATE - spread % DISORDER_MS
            connection = (spread >> 9) % CONNECTIONS
        else:
            at_ms, connection = log.horizon_ms, number - log.events
        yield Event(number, connection, max(at_ms, log.begin_ms), durations[spread >> 20])


Place = tuple[str, int, int]


def place(window: Window) -> Place:
    """Return which window it is."""
    return (window.key, window.width_ms, window.start_ms)


def truth(log: Log) -> list[Window]:
    """Return every window there is, counted one event at a time, without the last events'."""
    tallies: dict[Place, Tally] = {}
    for event in events(log):
        for width_ms in WIDTHS_MS:
            where = (_key(event).decode(), width_ms, event.at_ms - event.at_ms % width_ms)
            tally = tallies.get(where)
            if tally is None:
                tally = tallies[where] = Tally()
            tally.add(event.duration_ms)
    return [window(*where, tally) for where, tally in tallies.items() if where[2] < log.horizon_ms]


def complaint(true: Mapping[Place, Window], found: Iterable[Window]) -> str:
    """Return what is wrong about an engine's windows; nothing if they are those there are."""
    by_place: dict[Place, Window] = {}
    for one in found:
        if place(one) in by_place:
            return f"the window {place(one)!r} came twice"
        by_place[place(one)] = one
    if by_place.keys() != true.keys():
        return f"{len(by_place.keys() ^ true.keys())} windows are missing or too many"
    wrong = [one for where, one in by_place.items() if one != true[where]]
    return f"{len(wrong)} windows differ, such as {wrong[0]!r}" if wrong else ""


def send(broker: str, log: Log) -> None:
    """Send the log, and return once the broker has acknowledged it."""
    context = multiprocessing.get_context("spawn")
    shares = [list(range(first, log.partitions, PROCESSES)) for first in range(PROCESSES)]
    senders = [
        context.Process(target=_send_share, args=(broker, log, share)) for share in shares if share
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
        if sender.exitcode:
            raise RuntimeError(f"a sender of the log ended with {sender.exitcode}")


def _send_share(broker: str, log: Log, share: Sequence[int]) -> None:
    asyncio.run(_send(broker, log, share))


async def _send(broker: str, log: Log, share: Sequence[int]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, acks="all", max_batch_size=BATCH_BYTES, linger_ms=0
    )
    await producer.start()
    try:
        flying: set[asyncio.Future[object]] = set()
        for partition, batch in _batches(producer, log, share):
            flying.add(await producer.send_batch(batch, log.topic, partition=partition))
            if len(flying) >= FLYING_MAX:
                done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
        await asyncio.gather(*flying)
    finally:
        await producer.stop()


def _batches(
    producer: AIOKafkaProducer, log: Log, share: Sequence[int]
) -> Iterator[tuple[int, BatchBuilder]]:
    batches = {partition: producer.create_batch() for partition in share}
    for event in events(log):
        partition = event.connection % log.partitions
        if partition not in batches:
            continue
        key, value = _key(event), _value(event)
        if batches[partition].append(key=key, value=value, timestamp=event.at_ms) is None:
            full, batches[partition] = batches[partition], producer.create_batch()
            full.close()
            yield partition, full
            batches[partition].append(key=key, value=value, timestamp=event.at_ms)
    for partition, batch in batches.items():
        batch.close()
        yield partition, batch


def _key(event: Event) -> bytes:
    return b"connection-%03d" % event.connection


def _value(event: Event) -> bytes:
    number, duration_ms = event.number, event.duration_ms
    about = (number % 4, number % 500, duration_ms, duration_ms // 7)
    return _VALUE % (number, event.at_ms, _key(event), *about)


def _durations() -> list[int]:
    """Return the quantiles of a log-normal distribution, in milliseconds."""
    normal = NormalDist(6.5, 0.8)
    shares = ((place + 0.5) / _QUANTILES for place in range(_QUANTILES))
    return [int(math.exp(normal.inv_cdf(share))) for share in shares]
