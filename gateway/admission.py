"""Events that clients publish: read one by one, published, and answered one by one.

The tenant is always the token's. Fields we do not know are carried along. What is no event, or one
that is not for clients to publish, is refused with the reason and kept in the graveyard; the others
of its batch go on. Order is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from analytics.contracts import events, topics, traces
from analytics.contracts.errors import BadBody, BadEvent, MainstemError, TooLarge
from gateway import metrics
from gateway.auth import Grant
from gateway.publish import Outgoing, Publisher, Status, Verdict
from gateway.tracing import Tracing, begun

PUBLISHABLE: Final = frozenset({*topics.AGENTS.carries, *topics.REVIEWS.carries})
"""What clients may publish; the other types are written by us alone."""
KNOWN: Final = {
    kind: frozenset({*kind.__struct_fields__, "type"}) for kind in events.TYPES.values()
}
STRETCH: Final = 1_024
"""Events read before others get their turn."""


class Batch(Struct, frozen=True):
    """Events as they came, unread, and the trace they belong to."""

    items: tuple[bytes, ...]
    traceparent: str = ""


class _Envelope(Struct, frozen=True):
    type: object = None
    events: list[Raw] | None = None
    traceparent: str = ""


class Admission:
    """The way in for events that are ours already."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        events_max: int,
        new_id: Callable[[], str],
        tracing: Tracing | None = None,
    ) -> None:
        self._publisher = publisher
        self._tracing = tracing
        self._events_max = events_max
        self._new_id = new_id

    async def take(self, batch: Batch, *, grant: Grant, road: str) -> list[Verdict]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        if len(batch.items) > self._events_max:
            metrics.LIMITS_HIT.labels("batch_events_max").inc()
            raise TooLarge(f"more than {self._events_max} events; send fewer at a time")
        span = begun(self._tracing, road, batch.traceparent, events=len(batch.items))
        if span is None:
            done = await self._take(batch, grant=grant, road=road)
        else:
            traced = msgspec.structs.replace(batch, traceparent=span.traceparent)
            refused = len(batch.items)
            try:
                done = await self._take(traced, grant=grant, road=road)
                refused = sum(verdict.status is Status.REFUSED for verdict in done)
            finally:
                span.end(refused=refused)
        metrics.count_events(road, (verdict.status for verdict in done))
        return done

    async def _take(self, batch: Batch, *, grant: Grant, road: str) -> list[Verdict]:
        outgoing: list[Outgoing] = []
        places: list[int] = []
        verdicts: list[Verdict | None] = [None] * len(batch.items)
        burials: list[Awaitable[None]] = []
        for place, item in enumerate(batch.items):
            if place % STRETCH == STRETCH - 1:
                await asyncio.sleep(0)
            read = self._read(item, grant=grant, traceparent=batch.traceparent)
            if isinstance(read, Outgoing):
                outgoing.append(read)
                places.append(place)
            else:
                verdicts[place] = read
                burials.append(
                    bury(self._publisher, item, reason=read.reason, road=road, grant=grant)
                )
        publishing = self._publisher.publish(outgoing)
        if burials:
            published, _ = await asyncio.gather(publishing, _all(burials))
        else:
            published = await publishing
        for place, verdict in zip(places, published, strict=True):
            verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def _read(self, item: bytes, *, grant: Grant, traceparent: str) -> Outgoing | Verdict:
        plain = events.decode_closed(item)
        if plain is not None and plain.id and type(plain) in PUBLISHABLE:
            msgspec.structs.force_setattr(plain, "tenant", grant.tenant)  # nobody else has it yet
            return Outgoing(event=plain, traceparent=traceparent)
        return self._read_closely(item, grant=grant, traceparent=traceparent)

    def _read_closely(self, item: bytes, *, grant: Grant, traceparent: str) -> Outgoing | Verdict:
        """Read what has more than we know, or lacks something; say what is wrong with it."""
        try:
            fields = msgspec.json.decode(item)
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
        return Outgoing(event=event, payload=payload if has_more else None, traceparent=traceparent)


async def _all(burials: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*burials)


async def bury(
    publisher: Publisher, payload: bytes, *, reason: str, road: str, grant: Grant
) -> None:
    """Keep a payload in the graveyard if that can be done; its sender is answered either way."""
    try:
        await publisher.bury(payload, reason=reason, origin=road, tenant=grant.tenant)
    except MainstemError:
        return


def split(body: bytes) -> Batch:
    """Return the events of a JSON body: one object, a list, or `{"events": […]}`."""
    text = body.lstrip()
    try:
        if text.startswith(b"["):
            return Batch(tuple(map(bytes, msgspec.json.decode(text, type=list[Raw]))))
        if text.startswith(b"{"):
            envelope = msgspec.json.decode(text, type=_Envelope)
            traceparent = trace_of(envelope.traceparent)
            if envelope.events is not None and envelope.type is None:
                return Batch(tuple(map(bytes, envelope.events)), traceparent)
            return Batch((text,), traceparent)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"not JSON: {error}; send an event, a list or an object of events") from error
    raise BadBody('send one event, a list of events or {"events": […]}')


def split_lines(body: bytes) -> Batch:
    """Return the events of an NDJSON body, one a line; blank lines are skipped."""
    return Batch(tuple(line for line in body.split(b"\n") if line.strip()))


def trace_of(header: str | None) -> str:
    """Return a W3C `traceparent` if it is one, else nothing."""
    trace = traces.parse(header or "")
    return "" if trace is None else str(trace)


def postponed(verdicts: Sequence[Verdict]) -> int | None:
    """Return after how many ms the batch may come again, if nothing of it got through for now."""
    waits = [verdict.retry_after_ms for verdict in verdicts if verdict.retry_after_ms is not None]
    return max(waits) if waits and len(waits) == len(verdicts) else None


def _refused(event_id: object, reason: str) -> Verdict:
    shown = event_id if isinstance(event_id, str) else ""
    return Verdict(id=shown, status=Status.REFUSED, reason=reason)
