"""The publisher that the gateway's roads share: the filter of people's data, before the broker.

Whatever comes in, over WebSocket, HTTP, OTLP, hooks, webhooks or from an import, passes here once,
and so does what could not be read on its way to the graveyard. What clients tell each other over
channels of their own does not: it is theirs, and not kept beyond its topic. What is large goes
through it in a thread, a stretch at a time, so that the loop goes on.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from analytics.contracts.ids import TenantId
from analytics.privacy.filter import Filter
from gateway.publish import Outgoing, Outlet, Verdict

STRETCH_BYTES: Final = 131_072
"""Bytes that are gone through before others get their turn: some 30 ms at the very worst."""


class Private:
    """Hands on to another publisher what the filter lets pass."""

    def __init__(self, outlet: Outlet, privacy: Filter) -> None:
        self._outlet = outlet
        self._filter = privacy

    @property
    def ready(self) -> bool:
        """Whether the broker answers."""
        return self._outlet.ready

    def publish(self, outgoing: Sequence[Outgoing]) -> Coroutine[Any, Any, list[Verdict]]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        is_small = not outgoing or len(outgoing[0].payload or b"") <= STRETCH_BYTES
        passed = self._passed(outgoing) if is_small else []
        if len(passed) == len(outgoing):
            return self._outlet.publish(passed)
        return self._publish_in_turns(passed, outgoing)

    def post(self, outgoing: Sequence[Outgoing]) -> None:
        """Take events without waiting for the broker; raise `ProducerFull` at the limit."""
        passed = self._passed(outgoing)
        while len(passed) < len(outgoing):
            passed += self._passed(outgoing[len(passed) :])
        self._outlet.post(passed)

    async def bury(self, payload: bytes, *, reason: str, origin: str, tenant: TenantId) -> None:
        """Keep what could not be read on the graveyard topic, without what is not to be kept."""
        if len(payload) > STRETCH_BYTES:
            kept = await asyncio.to_thread(self._filter.pass_grave, payload)
        else:
            kept = self._filter.pass_grave(payload)
        await self._outlet.bury(kept, reason=reason, origin=origin, tenant=tenant)

    async def _publish_in_turns(
        self, passed: list[Outgoing], outgoing: Sequence[Outgoing]
    ) -> list[Verdict]:
        while len(passed) < len(outgoing):
            passed += await asyncio.to_thread(self._passed, outgoing[len(passed) :])
        return await self._outlet.publish(passed)

    def _passed(self, outgoing: Sequence[Outgoing]) -> list[Outgoing]:
        """Return the first of these events as they may be kept, all where that is a stretch."""
        pass_on = self._filter.pass_on
        passed: list[Outgoing] = []
        left = STRETCH_BYTES
        for item in outgoing:
            if item.payload is not None and len(item.payload) > left and passed:
                break
            event, payload = pass_on(item.event, item.payload)
            passed.append(Outgoing(event=event, payload=payload, traceparent=item.traceparent))
            if payload is not None:
                left -= len(payload)
                if left < 0:
                    break
        return passed
