"""Fills a topic with events faster than any gateway would, so that a worker finds a lag.

Records are what the gateway would write (the event's JSON, CloudEvents headers, the session as the
key), put together from templates and sent as whole record batches, one process a share of the
partitions. A session's events are on one partition, in order. What was sent is known exactly, for
whoever checks sums afterwards.
"""

import asyncio
import multiprocessing
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec import Struct

from analytics.contracts import cloudevents, events, topics
from analytics.contracts.agent_events import PromptSubmitted, RequestFinished
from analytics.contracts.events import Event
from tests.support import facts

PROCESSES: Final = 2
FLYING_MAX: Final = 4
"""Record batches that a process has under way."""
BATCH_BYTES: Final = 512 * 1024
SESSION_EVENTS: Final = 400
"""Events of one session; then another begins in its place."""
INPUT_TOKENS: Final = 1_000


class Load(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    partitions: int
    events: int
    end_ms: int
    """When the last event happens."""
    rate: int = 5_000
    """Events a second of event time."""
    sessions: int = 200
    """Sessions that run side by side: a multiple of the partitions."""
    projects: int = 4
    tools: int = 5
    """There are projects × (tools + 2) fleet series, about."""
    prefix: str = "load"

    def calls(self, events: int | None = None) -> int:
        """Return how many model requests there are among the first `events`, or among all."""
        among = self.events if events is None else events
        whole, rest = divmod(among, self.sessions * _CYCLE)
        calls = sum(isinstance(kind, RequestFinished) for kind in _KINDS)
        tail = range(among - rest, among)
        return whole * self.sessions * calls + sum(self._is_call(number) for number in tail)

    def kind_of(self, number: int) -> int:
        """Return which kind of event has this number: each session has all of them."""
        return (number + number // self.sessions) % _CYCLE

    def _is_call(self, number: int) -> bool:
        return isinstance(_KINDS[self.kind_of(number)], RequestFinished)


class Made(Struct, frozen=True, gc=False):
    """One record."""

    key: bytes
    value: bytes
    at_ms: int
    headers: list[tuple[str, bytes]]


def send(broker: str, load: Load) -> None:
    """Send all of it, and return once the broker has acknowledged it."""
    context = multiprocessing.get_context("spawn")
    shares = [list(range(first, load.partitions, PROCESSES)) for first in range(PROCESSES)]
    senders = [
        context.Process(target=_send_share, args=(broker, load, share)) for share in shares if share
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
        if sender.exitcode:
            raise RuntimeError(f"a sender of the load ended with {sender.exitcode}")


def made(load: Load, number: int, at_ms: int) -> Made:
    """Return the record of one event, if it happens at `at_ms`."""
    slot, kind = number % load.sessions, load.kind_of(number)
    key = b"%s-s%d-%d" % (
        load.prefix.encode(), slot, number // load.sessions // SESSION_EVENTS,
    )  # fmt: skip
    event_id = b"%s-%d" % (load.prefix.encode(), number)
    spread = zlib.crc32(event_id)
    value = _TEMPLATES[kind] % {
        b"id": event_id,
        b"at_ms": at_ms,
        b"session": key,
        b"project": spread % load.projects,
        b"tool": (spread >> 10) % load.tools,
    }
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id),
        ("ce_source", b"/tenants/local/websocket"),
        ("ce_type", _TYPES[kind]),
        ("ce_subject", key),
        ("ce_time", b"2026-01-01T00:00:00.000Z"),  # nobody reads it, and it is dear to make
        ("ce_partitionkey", key),
        ("content-type", cloudevents.CONTENT_TYPE),
    ]
    return Made(key, value, at_ms, headers)


def _records(load: Load, partition: int) -> Iterator[Made]:
    begin_ms = load.end_ms - load.events * 1_000 // load.rate
    for first in range(0, load.events, load.sessions):
        for number in range(first + partition, first + load.sessions, load.partitions):
            if number < load.events:
                yield made(load, number, begin_ms + number * 1_000 // load.rate)


def _send_share(broker: str, load: Load, share: Sequence[int]) -> None:
    asyncio.run(_send_partitions(broker, load, share))


async def _send_partitions(broker: str, load: Load, share: Sequence[int]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, acks="all", max_batch_size=BATCH_BYTES, linger_ms=0
    )
    await producer.start()
    try:
        flying: set[asyncio.Future[object]] = set()
        for partition, batch in _turns(producer, load, share):
            flying.add(await producer.send_batch(batch, topics.AGENTS.address, partition=partition))
            if len(flying) >= FLYING_MAX:
                done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                for one in done:
                    one.result()
        await asyncio.gather(*flying)
    finally:
        await producer.stop()


def _turns(
    producer: AIOKafkaProducer, load: Load, share: Sequence[int]
) -> Iterator[tuple[int, BatchBuilder]]:
    """Give batches of all partitions in turn, so that their event times go side by side."""
    waiting = {partition: _batches(producer, load, partition) for partition in share}
    while waiting:
        for partition, batches in list(waiting.items()):
            batch = next(batches, None)
            if batch is None:
                del waiting[partition]
            else:
                yield partition, batch


def _batches(producer: AIOKafkaProducer, load: Load, partition: int) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for one in _records(load, partition):
        if _append(batch, one) is None:
            batch.close()
            yield batch
            batch = producer.create_batch()
            _append(batch, one)
    if batch.record_count():
        batch.close()
        yield batch


def _append(batch: BatchBuilder, one: Made) -> object:
    return batch.append(key=one.key, value=one.value, timestamp=one.at_ms, headers=one.headers)


def _kinds() -> Sequence[Event]:
    about = {"id": "@id@", "at_ms": 1, "session_id": "@session@", "project": "bench-@project@"}
    tool = facts.tool("@id@", tool="Tool@tool@", **about)
    request = facts.request("@id@", input_tokens=INPUT_TOKENS, **about)
    prompt = facts.fact(PromptSubmitted, text="go on with @tool@", length=16, **about)
    return (tool, request, tool, prompt)


def _template(kind: Event) -> bytes:
    marks = ((b"@id@", b"%(id)b"), (b"@session@", b"%(session)b"), (b"@project@", b"%(project)d"),
             (b"@tool@", b"%(tool)d"), (b'"at_ms":1', b'"at_ms":%(at_ms)d'))  # fmt: skip
    text = events.encode(kind).replace(b"%", b"%%")
    for mark, place in marks:
        text = text.replace(mark, place)
    return text


_KINDS: Final = _kinds()
_CYCLE: Final = len(_KINDS)
_TYPES: Final = tuple((cloudevents.TYPE_PREFIX + events.type_of(kind)).encode() for kind in _KINDS)
_TEMPLATES: Final = tuple(_template(kind) for kind in _KINDS)
