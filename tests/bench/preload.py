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
from analytics.contracts.agent_events import PromptSubmitted, RequestFinished, ToolFinished
from analytics.contracts.events import Event

PROCESSES: Final = 2
FLYING_MAX: Final = 4
"""Record batches that a process has under way."""
BATCH_BYTES: Final = 512 * 1024
SESSION_EVENTS: Final = 400
"""Events of one session; then another begins in its place."""
MODEL: Final = "claude-sonnet-4-5-20250929"
INPUT_TOKENS: Final = 1_000
_MARK: Final = "@@"
"""Stands in a template for the number of an event."""


class Load(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    partitions: int
    events: int
    end_ms: int
    """When the last event happens."""
    rate: int = 10_000
    """Events a second of event time."""
    sessions: int = 200
    """Sessions that run side by side."""
    projects: int = 4
    tools: int = 5
    """Fleet series come to projects × (tools + models)."""
    prefix: str = "load"

    @property
    def calls(self) -> int:
        """How many model requests the load holds."""
        whole, rest = divmod(self.events, self.sessions * _CYCLE)
        calls = sum(isinstance(kind, RequestFinished) for kind in _KINDS)
        tail = range(self.events - rest, self.events)
        return whole * self.sessions * calls + sum(self.is_call(number) for number in tail)

    def kind_of(self, number: int) -> int:
        """Return which kind of event has this number: each session has all of them."""
        return (number + number // self.sessions) % _CYCLE

    def is_call(self, number: int) -> bool:
        """Say whether the event of this number is a model request."""
        return isinstance(_KINDS[self.kind_of(number)], RequestFinished)


_CYCLE: Final = 4
"""The kinds of events repeat after so many: two tool calls, a request, a tool call or prompt."""


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


def partition_of(load: Load, session: int) -> int:
    """Return where a session's events are: sessions that run side by side are spread evenly."""
    return session % load.partitions


def _send_share(broker: str, load: Load, share: Sequence[int]) -> None:
    asyncio.run(_send_partitions(broker, load, share))


async def _send_partitions(broker: str, load: Load, share: Sequence[int]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, acks="all", max_batch_size=BATCH_BYTES, linger_ms=0
    )
    await producer.start()
    try:
        flying: set[asyncio.Future[object]] = set()
        for partition in share:
            for batch in _batches(producer, load, partition):
                sent = await producer.send_batch(batch, topics.AGENTS.address, partition=partition)
                flying.add(sent)
                if len(flying) >= FLYING_MAX:
                    done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                    for one in done:
                        one.result()
        await asyncio.gather(*flying)
    finally:
        await producer.stop()


def _batches(producer: AIOKafkaProducer, load: Load, partition: int) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for key, value, at_ms, headers in records(load, partition):
        if batch.append(key=key, value=value, timestamp=at_ms, headers=headers) is None:
            batch.close()
            yield batch
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=at_ms, headers=headers)
    if batch.record_count():
        batch.close()
        yield batch


Made = tuple[bytes, bytes, int, list[tuple[str, bytes]]]


def records(load: Load, partition: int) -> Iterator[Made]:
    """Return the records of one partition: key, value, moment and headers, in order."""
    begin_ms = load.end_ms - load.events * 1_000 // load.rate
    for number in range(load.events):
        slot = number % load.sessions
        if partition_of(load, slot) != partition:
            continue
        session = f"{load.prefix}-s{slot}-{number // load.sessions // SESSION_EVENTS}"
        at_ms = begin_ms + number * 1_000 // load.rate
        key = session.encode()
        kind = load.kind_of(number)
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
            ("ce_source", b"/tenants/bench/websocket"),
            ("ce_type", _TYPES[kind]),
            ("ce_subject", key),
            ("ce_time", cloudevents.rfc3339(at_ms).encode()),
            ("ce_partitionkey", key),
            ("content-type", cloudevents.CONTENT_TYPE),
        ]
        yield key, value, at_ms, headers


def _kinds() -> Sequence[Event]:
    about = {
        "id": "@id@", "tenant": "bench", "at_ms": 1, "session_id": "@session@",
        "project": "bench-@project@", "agent": "claude-code",
    }  # fmt: skip
    tool = ToolFinished(**about, tool="Tool@tool@", tool_use_id="@id@", duration_ms=40)
    request = RequestFinished(
        **about, request_id="@id@", model=MODEL, input_tokens=INPUT_TOKENS, output_tokens=200,
        duration_ms=1_500, query_source="main",
    )  # fmt: skip
    prompt = PromptSubmitted(**about, text="go on with @tool@", length=16)
    return (tool, request, tool, prompt)


_KINDS: Final = _kinds()
_TYPES: Final = tuple((cloudevents.TYPE_PREFIX + events.type_of(kind)).encode() for kind in _KINDS)
_TEMPLATES: Final = tuple(
    events.encode(kind)
    .replace(b"%", b"%%")
    .replace(b"@id@", b"%(id)b")
    .replace(b"@session@", b"%(session)b")
    .replace(b"@project@", b"%(project)d")
    .replace(b"@tool@", b"%(tool)d")
    .replace(b'"at_ms":1', b'"at_ms":%(at_ms)d')
    for kind in _KINDS
)
