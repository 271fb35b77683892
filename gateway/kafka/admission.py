"""Events that clients publish: read one by one, published, and answered one by one.

The tenant is always the token's. Fields we do not know are carried along. What is no event, or one
that is not for clients to publish, is refused with the reason and kept as dead letters; the others
of its batch go on. Order is kept.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from analytics.contracts import clean, events, topics, traces
from analytics.contracts.errors import BadBody, BadEvent, TooLarge
from gateway import metrics
from gateway.http.auth import Grant
from gateway.http.turns import Turns
from gateway.kafka.dead_letters import Letter, send_dead_letters
from gateway.kafka.publisher import OutgoingEvent, Publisher, Receipt, Status
from gateway.tracing import Tracing, begun

PUBLISHABLE: Final = frozenset({*topics.AGENTS.carries, *topics.REVIEWS.carries})
"""What clients may publish; the other types are written by us alone."""
KNOWN: Final = {
    kind: frozenset({*kind.__struct_fields__, "type"}) for kind in events.TYPES.values()
}
EVENT_BYTES_MAX: Final = 1_000_000
"""Bytes of one event, as it is sent, where nothing else is said."""
STRIDE: Final = 16
"""Events between two looks at the clock."""


class EventBatch(Struct, frozen=True):
    """Events as they came, unread, and the trace they belong to."""

    items: tuple[bytes, ...]
    traceparent: str = ""


class _Envelope(Struct, frozen=True):
    type: object = None
    events: list[Raw] | None = None
    traceparent: str = ""


_list: Final = msgspec.json.Decoder(list[Raw])
_envelope: Final = msgspec.json.Decoder(_Envelope)


class Admission:
    """The way in for events that are ours already."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        events_max: int,
        event_bytes_max: int = EVENT_BYTES_MAX,
        new_id: Callable[[], str],
        tracing: Tracing | None = None,
    ) -> None:
        self._publisher = publisher
        self._tracing = tracing
        self._events_max = events_max
        self._event_bytes_max = event_bytes_max
        self._new_id = new_id
        self._turns = Turns()

    async def take(self, batch: EventBatch, *, grant: Grant, ingest_path: str) -> list[Receipt]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        if len(batch.items) > self._events_max:
            metrics.LIMITS_HIT.labels("batch_events_max").inc()
            raise TooLarge(f"more than {self._events_max} events; send fewer at a time")
        span = begun(self._tracing, ingest_path, batch.traceparent, events=len(batch.items))
        if span is None:
            done = await self._take(batch, grant=grant, ingest_path=ingest_path)
        else:
            traced = msgspec.structs.replace(batch, traceparent=span.traceparent)
            refused = len(batch.items)
            try:
                done = await self._take(traced, grant=grant, ingest_path=ingest_path)
                refused = sum(verdict.status is Status.REFUSED for verdict in done)
            finally:
                span.end(refused=refused)
        metrics.count_events(ingest_path, (verdict.status for verdict in done))
        return done

    async def _take(self, batch: EventBatch, *, grant: Grant, ingest_path: str) -> list[Receipt]:
        outgoing: list[OutgoingEvent] = []
        places: list[int] = []
        verdicts: list[Receipt | None] = [None] * len(batch.items)
        letters: list[Letter] = []
        turn = self._turns.begin()
        for place, item in enumerate(batch.items):
            if place % STRIDE == STRIDE - 1:
                await turn.go_on()
            read = self._read(item, grant=grant, traceparent=batch.traceparent)
            if isinstance(read, OutgoingEvent):
                outgoing.append(read)
                places.append(place)
            else:
                verdicts[place] = read
                letters.append(Letter(item, read.reason))
        publishing = self._publisher.publish(outgoing)
        if letters:
            sending = send_dead_letters(
                self._publisher, letters, ingest_path=ingest_path, grant=grant
            )
            published, _ = await asyncio.gather(publishing, sending)
        else:
            published = await publishing
        for place, verdict in zip(places, published, strict=True):
            verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def _read(self, item: bytes, *, grant: Grant, traceparent: str) -> OutgoingEvent | Receipt:
        if len(item) > self._event_bytes_max:
            metrics.LIMITS_HIT.labels("event_bytes_max").inc()
            return _refused("", f"the event has more than {self._event_bytes_max} bytes")
        if clean.NUL_ESCAPE in item:
            item = clean.json_bytes(item)
        plain = events.decode_closed(item)
        if plain is not None and plain.id and type(plain) in PUBLISHABLE:
            msgspec.structs.force_setattr(plain, "tenant", grant.tenant)  # nobody else has it yet
            return OutgoingEvent(event=plain, traceparent=traceparent)
        return self._read_closely(item, grant=grant, traceparent=traceparent)

    def _read_closely(
        self, item: bytes, *, grant: Grant, traceparent: str
    ) -> OutgoingEvent | Receipt:
        """Read what has more than we know, or lacks something; say what is wrong with it."""
        try:
            fields = clean.decoded(msgspec.json.decode, item)
            if not isinstance(fields, dict):
                return _refused("", f"an event is an object, not {type(fields).__name__}")
            fields["tenant"] = grant.tenant
            if fields.get("id") in {None, ""}:
                fields["id"] = self._new_id()
            payload = msgspec.json.encode(fields)
            event = events.decode(payload)
        except BadEvent as error:
            return _refused(fields.get("id"), error.reason)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return _refused("", f"not JSON: {error}")
        except (OverflowError, TypeError) as error:
            return _refused("", f"not an event: {error}")
        if type(event) not in PUBLISHABLE:
            return _refused(event.id, f"type {fields['type']!r} is not for clients to publish")
        has_more = not fields.keys() <= KNOWN[type(event)]
        return OutgoingEvent(
            event=event, payload=payload if has_more else None, traceparent=traceparent
        )


def split(body: bytes) -> EventBatch:
    """Return the events of a JSON body: one object, a list, or `{"events": […]}`."""
    text = clean.utf8(body).lstrip()
    try:
        if text.startswith(b"["):
            return EventBatch(tuple(map(bytes, clean.decoded(_list.decode, text))))
        if text.startswith(b"{"):
            envelope = clean.decoded(_envelope.decode, text)
            traceparent = trace_of(envelope.traceparent)
            if envelope.events is not None and envelope.type is None:
                return EventBatch(tuple(map(bytes, envelope.events)), traceparent)
            return EventBatch((text,), traceparent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"not JSON: {error}; send an event, a list or an object of events") from error
    raise BadBody('send one event, a list of events or {"events": […]}')


def split_lines(body: bytes) -> EventBatch:
    """Return the events of an NDJSON body, one a line; blank lines are skipped."""
    return EventBatch(tuple(line for line in clean.utf8(body).split(b"\n") if line.strip()))


def trace_of(header: str | None) -> str:
    """Return a W3C `traceparent` if it is one, else nothing."""
    trace = traces.parse(header or "")
    return "" if trace is None else str(trace)


def postponed(verdicts: Sequence[Receipt]) -> int | None:
    """Return after how many ms the batch may come again, if nothing of it got through for now."""
    waits = [verdict.retry_after_ms for verdict in verdicts if verdict.retry_after_ms is not None]
    return max(waits) if waits and len(waits) == len(verdicts) else None


def _refused(event_id: object, reason: str) -> Receipt:
    shown = event_id if isinstance(event_id, str) else ""
    return Receipt(id=shown, status=Status.REFUSED, reason=reason)
