"""Following one topic: where to start, which events to show, and how each looks on a line.

Reads without a consumer group, so nothing that others read is touched. A record that is no event is
shown as such and does not stop the rest. What waits to be shown is one fetch of each partition.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from analytics.contracts import topics
from analytics.contracts.errors import BadSetting, BrokerAway
from analytics.contracts.topics import Topic

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

FETCH_MS: Final = 500
FETCH_RECORDS_MAX: Final = 500
UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
TEXT_SHOWN: Final = 120

Fields = dict[str, object]


class Start(Struct, frozen=True):
    """Where to begin: at the end, at the start, at an offset, or so long ago."""

    kind: str
    number: int = 0


class Wanted(Struct, frozen=True, kw_only=True):
    """What to follow; a limit of 0 is none."""

    topic: Topic
    start: Start
    where: tuple[tuple[str, str], ...] = ()
    limit: int = 0


class TailedRecord(Struct, frozen=True, kw_only=True):
    """One record and its place; `event` is None where the value is no JSON object."""

    partition: int
    offset: int
    at_ms: int
    event: Fields | None
    value: bytes
    headers: dict[str, str]


def topic_named(name: str) -> Topic:
    """Return the topic of this name or address; raise `BadSetting`."""
    for topic in topics.ALL:
        if name in {topic.name, topic.address}:
            return topic
    names = ", ".join(topic.name for topic in topics.ALL)
    raise BadSetting(f"TOPIC is one of {names}, not {name!r}")


def start_named(text: str) -> Start:
    """Return where `end`, `start`, an offset or an age such as 10m begins; raise `BadSetting`."""
    if text in {"end", "start"}:
        return Start(text)
    if text.isdecimal():
        return Start("offset", int(text))
    if text[:-1].isdecimal() and text[-1:] in UNITS_MS:
        return Start("age", int(text[:-1]) * UNITS_MS[text[-1]])
    raise BadSetting(f"--from takes end, start, an offset, or an age such as 10m, not {text!r}")


def conditions(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return FIELD=VALUE texts as pairs; raise `BadSetting`."""
    pairs = []
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals or not field:
            raise BadSetting(f"--where takes FIELD=VALUE, not {text!r}")
        pairs.append((field, value))
    return tuple(pairs)


def fits(event: Fields | None, where: tuple[tuple[str, str], ...]) -> bool:
    """Say whether an event has all these values; a field may be a path such as attributes.type."""
    return not where or (
        event is not None and all(_said(event, field) == value for field, value in where)
    )


async def follow(broker: str, wanted: Wanted, *, show: Callable[[TailedRecord], None]) -> int:
    """Show what comes until the limit is reached; return how many were shown."""
    from aiokafka import AIOKafkaConsumer
    from aiokafka.errors import KafkaError

    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker, enable_auto_commit=False, max_poll_records=FETCH_RECORDS_MAX
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise BrokerAway(f"no Kafka broker answers at {broker!r}; check the address") from error
    try:
        await _place(consumer, broker, wanted)
        return await _show_all(consumer, wanted, show)
    except KafkaError as error:
        raise BrokerAway(f"the broker at {broker!r} did not answer: {error!r}") from error
    finally:
        await consumer.stop()


def as_line(found: TailedRecord) -> str:
    """Return a record as one line for people."""
    at = datetime.fromtimestamp(found.at_ms / 1000, tz=UTC).strftime("%H:%M:%S.%f")[:-3]
    place = f"{at} {found.partition}/{found.offset}"
    if found.event is None:
        reason = found.headers.get("reason", "no event")
        return f"{place} {reason}: {found.value[:TEXT_SHOWN]!r}"
    rest = {name: value for name, value in found.event.items() if name not in {"type", "at_ms"}}
    words = " ".join(f"{name}={_short(value)}" for name, value in rest.items())
    return f"{place} {found.event.get('type', '?')} {words}"


def as_json(found: TailedRecord) -> str:
    """Return a record as one JSON object, its place beside the event."""
    shown = {
        "partition": found.partition,
        "offset": found.offset,
        "received_ms": found.at_ms,
        "headers": found.headers,
        "event": found.event,
    }
    if found.event is None:
        shown["value"] = found.value.decode(errors="replace")
    return json.dumps(shown)


async def _place(consumer: "AIOKafkaConsumer", broker: str, wanted: Wanted) -> None:
    from aiokafka import TopicPartition

    from apps.local.topics import reaches

    reached = await reaches(broker, [wanted.topic.address])
    if not reached:
        raise BrokerAway(f"the broker has no topic {wanted.topic.address!r} yet; try again shortly")
    pairs = {TopicPartition(one.topic, one.partition): one for one in reached}
    consumer.assign(list(pairs))
    starts = await _by_age(consumer, list(pairs), wanted.start)
    for pair, one in pairs.items():
        match wanted.start.kind:
            case "start":
                offset = one.first
            case "offset":
                offset = min(max(wanted.start.number, one.first), one.end)
            case "age":
                offset = starts.get(pair, one.end)
            case _:
                offset = one.end
        consumer.seek(pair, offset)


async def _by_age(
    consumer: "AIOKafkaConsumer", pairs: list["TopicPartition"], start: Start
) -> dict["TopicPartition", int]:
    if start.kind != "age":
        return {}
    since_ms = int(time.time() * 1000) - start.number
    found = await consumer.offsets_for_times(dict.fromkeys(pairs, since_ms))
    return {pair: one.offset for pair, one in found.items() if one is not None}


async def _show_all(
    consumer: "AIOKafkaConsumer", wanted: Wanted, show: Callable[[TailedRecord], None]
) -> int:
    shown = 0
    while True:
        fetched = await consumer.getmany(timeout_ms=FETCH_MS)
        records = sorted(
            (record for batch in fetched.values() for record in batch),
            key=lambda record: (record.timestamp, record.partition, record.offset),
        )
        for record in records:
            found = TailedRecord(
                partition=record.partition,
                offset=record.offset,
                at_ms=record.timestamp,
                event=_event(record.value or b""),
                value=record.value or b"",
                headers={name: value.decode(errors="replace") for name, value in record.headers},
            )
            if not fits(found.event, wanted.where):
                continue
            show(found)
            shown += 1
            if shown == wanted.limit:
                return shown
        await asyncio.sleep(0)


def _event(value: bytes) -> Fields | None:
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _said(event: Fields, field: str) -> str | None:
    value: object = event
    for step in field.split("."):
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: object) -> str:
    said = value if isinstance(value, str) else json.dumps(value)
    said = " ".join(said.split())
    return said if len(said) <= TEXT_SHOWN else said[:TEXT_SHOWN] + "…"
