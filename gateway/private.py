"""The publisher that the gateway's roads share: the filter of people's data, before the broker.

Whatever comes in, over WebSocket, HTTP, OTLP, hooks, webhooks or from an import, passes here once,
and so does what could not be read on its way to the graveyard. What clients tell each other over
channels of their own does not: it is theirs, and not kept beyond its topic.
"""

from collections.abc import Coroutine, Sequence
from typing import Any

from analytics.contracts.ids import TenantId
from analytics.privacy.filter import Filter
from gateway.publish import Outgoing, Outlet, Verdict


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
        return self._outlet.publish(self._passed(outgoing))

    def post(self, outgoing: Sequence[Outgoing]) -> None:
        """Take events without waiting for the broker; raise `ProducerFull` at the limit."""
        self._outlet.post(self._passed(outgoing))

    async def bury(self, payload: bytes, *, reason: str, origin: str, tenant: TenantId) -> None:
        """Keep what could not be read on the graveyard topic, without what is not to be kept."""
        kept = self._filter.pass_grave(payload)
        await self._outlet.bury(kept, reason=reason, origin=origin, tenant=tenant)

    def _passed(self, outgoing: Sequence[Outgoing]) -> list[Outgoing]:
        pass_on = self._filter.pass_on
        passed: list[Outgoing] = []
        for item in outgoing:
            event, payload = pass_on(item.event, item.payload)
            passed.append(Outgoing(event=event, payload=payload, traceparent=item.traceparent))
        return passed
