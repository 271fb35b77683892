"""A publisher that keeps what it is given, held to the same words as the one on Kafka.

`acknowledging` can be turned off: events then wait, as with a broker that has stalled, until
`acknowledge_all`. `away` and `full` refuse as a broker that is gone or behind would make it.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from analytics.contracts import cloudevents
from analytics.contracts.cloudevents import Record
from analytics.contracts.errors import BrokerAway, ProducerFull
from analytics.contracts.ids import TenantId
from gateway.kafka.publisher import OutgoingEvent, Receipt, Status

RETRY_AFTER_MS = 1_000


class Grave(Struct, frozen=True):
    """What became a dead letter."""

    payload: bytes
    reason: str
    origin: str
    tenant: str
    whole_bytes: int = 0


class MemoryPublisher:
    """Where events go in tests."""

    def __init__(self, *, records_max: int = 10_000) -> None:
        self.records: list[Record] = []
        self.dead_letters: list[Grave] = []
        self.away = False
        self._records_max = records_max
        self._accepted: set[tuple[str, str]] = set()
        self._acknowledging = asyncio.Event()
        self._acknowledging.set()
        self._waiting: dict[tuple[str, str], OutgoingEvent] = {}

    @property
    def ready(self) -> bool:
        """Whether the broker answers."""
        return not self.away

    @property
    def waiting(self) -> int:
        """How many records wait for their acknowledgement."""
        return len(self._waiting)

    def hold(self) -> None:
        """Let events wait from now on."""
        self._acknowledging.clear()

    def acknowledge_all(self) -> None:
        """Acknowledge what waits, and what comes."""
        self._acknowledging.set()

    async def publish(self, outgoing: Sequence[OutgoingEvent]) -> list[Receipt]:
        """Return one verdict an event, in order."""
        tickets = [self._admit(item) for item in outgoing]
        await self._acknowledging.wait()
        for ticket, item in zip(tickets, outgoing, strict=True):
            if ticket.status is Status.ACCEPTED:
                self._keep(item)
        return tickets

    def post(self, outgoing: Sequence[OutgoingEvent]) -> None:
        """Take events without waiting."""
        if len(self._waiting) + len(outgoing) > self._records_max:
            raise ProducerFull("too much is waiting")
        for item in outgoing:
            if (item.event.tenant, item.event.id) not in self._accepted:
                self._keep(item)

    async def dead_letter(
        self, payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
    ) -> None:
        """Keep what could not be read."""
        if self.away:
            raise BrokerAway("the broker is away")
        self.dead_letters.append(
            Grave(payload, reason, origin, tenant, whole_bytes or len(payload))
        )

    def _admit(self, item: OutgoingEvent) -> Receipt:
        event = item.event
        key = (event.tenant, event.id)
        if key in self._accepted or key in self._waiting:
            return Receipt(id=event.id, status=Status.DUPLICATE)
        reason = "the broker is away" if self.away else ""
        if len(self._waiting) >= self._records_max:
            reason = "too much is waiting for the broker"
        if reason:
            return Receipt(
                id=event.id, status=Status.REFUSED, reason=reason, retry_after_ms=RETRY_AFTER_MS
            )
        self._waiting[key] = item
        return Receipt(id=event.id, status=Status.ACCEPTED)

    def _keep(self, item: OutgoingEvent) -> None:
        key = (item.event.tenant, item.event.id)
        self._waiting.pop(key, None)
        self._accepted.add(key)
        self.records.append(
            cloudevents.record(item.event, payload=item.payload, traceparent=item.traceparent)
        )
