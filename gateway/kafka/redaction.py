"""The publisher that all ingest paths share: the filter of people's data, before the broker.

Whatever comes in, over WebSocket, HTTP, OTLP, hooks, webhooks or from an import, passes here once,
and so does what could not be read on its way to the dead letters. What clients tell each other over
channels of their own does not: it is theirs, and not kept beyond its topic. What is large goes
through it in a thread, a stretch at a time, so that the loop goes on. Characters that the store
cannot hold are replaced here too, whatever wire format they came in.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from msgspec.structs import replace

from analytics.contracts import clean, events
from analytics.contracts.dead_letters import PAYLOAD_BYTES_MAX
from analytics.contracts.events import Event
from analytics.contracts.ids import TenantId
from analytics.privacy.filter import Filter
from gateway.kafka.publisher import OutgoingEvent, Outlet, Receipt

STRETCH_BYTES: Final = 32_768
"""Bytes that are gone through before others get their turn; a single event of more in a thread."""
STRETCH_EVENTS: Final = 64
"""Events looked at in a turn: each copy of those that are left costs too."""


class Private:
    """Hands on to another publisher what the filter lets pass."""

    def __init__(self, outlet: Outlet, privacy: Filter) -> None:
        self._outlet = outlet
        self._filter = privacy

    @property
    def ready(self) -> bool:
        """Whether the broker answers."""
        return self._outlet.ready

    def publish(self, outgoing: Sequence[OutgoingEvent]) -> Coroutine[Any, Any, list[Receipt]]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        is_small = not outgoing or len(outgoing[0].payload or b"") <= STRETCH_BYTES
        passed = self._passed(outgoing) if is_small else []
        if len(passed) < len(outgoing):
            return self._publish_in_turns(passed, outgoing)
        if _are_same(passed, outgoing):
            return self._outlet.publish(passed)
        return self._answered(passed, outgoing)

    def post(self, outgoing: Sequence[OutgoingEvent]) -> None:
        """Take events without waiting for the broker; raise `ProducerFull` at the limit."""
        passed = self._passed(outgoing)
        while len(passed) < len(outgoing):
            passed += self._passed(outgoing[len(passed) :])
        self._outlet.post(passed)

    async def dead_letter(
        self, payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
    ) -> None:
        """Keep what could not be read on the topic of dead letters, without what is not to be kept.

        It is cut to what is kept before it is gone through.
        """
        cut = payload[:PAYLOAD_BYTES_MAX]
        if len(cut) > STRETCH_BYTES:
            kept = await asyncio.to_thread(self._filter.pass_dead_letter, cut)
        else:
            kept = self._filter.pass_dead_letter(cut)
        whole_bytes = whole_bytes or (len(payload) if len(cut) < len(payload) else 0)
        await self._outlet.dead_letter(
            kept,
            reason=self._filter.pass_reason(reason),
            origin=origin,
            tenant=tenant,
            whole_bytes=whole_bytes,
        )

    async def _publish_in_turns(
        self, passed: list[OutgoingEvent], outgoing: Sequence[OutgoingEvent]
    ) -> list[Receipt]:
        while len(passed) < len(outgoing):
            await asyncio.sleep(0)
            rest = outgoing[len(passed) : len(passed) + STRETCH_EVENTS]
            if len(rest[0].payload or b"") > STRETCH_BYTES:
                passed += await asyncio.to_thread(self._passed, rest)
            else:
                passed += self._passed(rest)
        return await self._answered(passed, outgoing)

    async def _answered(
        self, passed: Sequence[OutgoingEvent], outgoing: Sequence[OutgoingEvent]
    ) -> list[Receipt]:
        """Publish, and answer by the ids that the sender gave."""
        verdicts = await self._outlet.publish(passed)
        return [
            verdict if verdict.id == item.event.id else replace(verdict, id=item.event.id)
            for verdict, item in zip(verdicts, outgoing, strict=True)
        ]

    def _passed(self, outgoing: Sequence[OutgoingEvent]) -> list[OutgoingEvent]:
        """Return the first of these events as they may be kept, all where that is a stretch."""
        pass_on = self._filter.pass_on
        passed: list[OutgoingEvent] = []
        left = STRETCH_BYTES
        for item in outgoing:
            if item.payload is not None and len(item.payload) > left and passed:
                break
            event, payload = pass_on(item.event, item.payload)
            if payload is None:
                payload = events.encode(event)
            if clean.NUL_ESCAPE in payload:
                event, payload = _storable(event, payload)
            passed.append(OutgoingEvent(event=event, payload=payload, traceparent=item.traceparent))
            left -= len(payload)
            if left < 0:
                break
        return passed


def _are_same(passed: Sequence[OutgoingEvent], outgoing: Sequence[OutgoingEvent]) -> bool:
    """Say whether no event has another id than it had."""
    for one, other in zip(passed, outgoing, strict=True):
        if one.event is not other.event and one.event.id != other.event.id:
            return False
    return True


def _storable(event: Event, payload: bytes) -> tuple[Event, bytes]:
    """Return the event and its JSON without characters that the store cannot hold."""
    cleaned = clean.json_bytes(payload)
    if cleaned == payload:
        return event, payload
    return events.decode(cleaned), cleaned
