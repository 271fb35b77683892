"""Each tenant's share of the way to the broker: events beyond it wait for their turn.

All that is acknowledged has to be read, in order, by workers that other tenants' events wait for
too. So a tenant is held to a rate of events here, before the broker has them, as brokers hold their
users to quotas: what comes faster waits, up to `wait_ms_max`, and beyond that is refused, to be
sent again after the time that the answer says. A large batch is taken or refused as a whole; once
it is its turn it goes in slices as the rate has them, over `wait_ms_max` at most, so that another
tenant's event finds a slice in front of it and never the batch. What comes next waits for all of
it. Nothing acknowledged is ever held back or dropped. What waits is bounded: by the rate, for as
long as may be waited, and one batch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from math import ceil
from typing import Any, Final

from analytics.contracts.ids import TenantId
from gateway import metrics
from gateway.http.rate_limiter import RateLimited, Stand
from gateway.http.rates import Rates
from gateway.kafka.pace import Pace
from gateway.kafka.publisher import OutgoingEvent, Outlet, Receipt, Status

INFLATED: Final = "inflated-by-tenant"
"""The name of the limit, in answers and metrics."""
SLICE_LEAST: Final = 50
"""Events of a batch that go at once at least: workers store few large batches sooner than many
small ones, for a transaction costs as much as some twenty events."""


class Shares:
    """A publisher in front of another, for which each tenant's events come at their rate."""

    def __init__(
        self,
        publisher: Outlet,
        rates: Rates | None,
        *,
        wait_ms_max: int,
        now_ms: Callable[[], int],
        pace: Pace,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._publisher = publisher
        self._pace = pace
        self._rates = rates
        self._wait_ms_max = wait_ms_max
        self._now_ms = now_ms
        self._sleep = sleep

    @property
    def ready(self) -> bool:
        """Whether the broker answers."""
        return self._publisher.ready

    def publish(self, outgoing: Sequence[OutgoingEvent]) -> Coroutine[Any, Any, list[Receipt]]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        if self._rates is None or not outgoing:
            return self._publisher.publish(outgoing)
        share, tenant, now_ms = self._pace.share, outgoing[0].event.tenant, self._now_ms()
        wait_ms = self._rates.reserve(
            tenant,
            now_ms=now_ms,
            cost=ceil(len(outgoing) / share),
            wait_ms_max=self._wait_ms_max,
        )
        size = max(SLICE_LEAST, int(self._rates.rate.burst * share))
        is_large = len(outgoing) > size
        self._pace.note(tenant, waits=wait_ms > 0 or is_large, now_ms=now_ms)
        if wait_ms > self._wait_ms_max:
            return self._postponed(outgoing, wait_ms)
        if is_large:
            lasts_ms = self._rates.lasts_ms(len(outgoing) / share)
            return self._sliced(outgoing, size, wait_ms, min(lasts_ms, self._wait_ms_max))
        return self._later(outgoing, wait_ms) if wait_ms else self._publisher.publish(outgoing)

    def post(self, outgoing: Sequence[OutgoingEvent]) -> None:
        """Take events of our own without waiting for the broker."""
        self._publisher.post(outgoing)

    async def dead_letter(
        self, payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
    ) -> None:
        """Keep what could not be read; it counts as one event of its tenant."""
        if self._rates is not None:
            self._rates.spend(tenant, now_ms=self._now_ms())
        await self._publisher.dead_letter(
            payload, reason=reason, origin=origin, tenant=tenant, whole_bytes=whole_bytes
        )

    async def _sliced(
        self, outgoing: Sequence[OutgoingEvent], size: int, wait_ms: int, lasts_ms: float
    ) -> list[Receipt]:
        """Publish a batch slice by slice, in order: all of it, since it has its turn by now."""
        pause_ms = lasts_ms * size / len(outgoing)
        due_ms: float = self._now_ms() + wait_ms
        verdicts: list[Receipt] = []
        for start in range(0, len(outgoing), size):
            part = outgoing[start : start + size]
            early_ms = due_ms - self._now_ms()
            if early_ms > 0:
                verdicts += await self._later(part, early_ms)
            else:
                verdicts += await self._publisher.publish(part)
            due_ms += pause_ms
        return verdicts

    async def _later(self, outgoing: Sequence[OutgoingEvent], wait_ms: float) -> list[Receipt]:
        """Publish once it is their turn."""
        metrics.EVENTS_SLOWED.inc(len(outgoing))
        await self._sleep(wait_ms / 1_000)
        return await self._publisher.publish(outgoing)

    async def _postponed(self, outgoing: Sequence[OutgoingEvent], wait_ms: int) -> list[Receipt]:
        """Refuse what would have to wait for too long, all of it: some senders ask only once."""
        metrics.LIMITS_HIT.labels("rate_events_by_tenant").inc()
        return [_postponed(one.event.id, wait_ms) for one in outgoing]


class Inflated:
    """What each tenant's bodies may come to once they are inflated.

    A small body can be a large one's worth of work. What one comes to is known afterwards, so a
    tenant that has had its share is refused the next, before any of it is inflated.
    """

    def __init__(self, rates: Rates | None, *, now_ms: Callable[[], int]) -> None:
        self._rates = rates
        self._now_ms = now_ms

    def check(self, tenant: TenantId) -> None:
        """Raise `RateLimited` while the tenant has had more than its share."""
        if self._rates is None:
            return
        reading = self._rates.look(tenant, now_ms=self._now_ms())
        if not reading.allowed:
            metrics.RATE_LIMITED.labels(INFLATED).inc()
            raise RateLimited([Stand(name=INFLATED, rates=self._rates, reading=reading)])

    def count(self, tenant: TenantId, size: int) -> None:
        """Note that bodies of the tenant came to so many bytes."""
        if self._rates is not None and size:
            self._rates.spend(tenant, now_ms=self._now_ms(), cost=size)


def _postponed(event_id: str, wait_ms: int) -> Receipt:
    return Receipt(
        id=event_id,
        status=Status.REFUSED,
        reason="more events than this tenant's share in so short a time; send it again later",
        retry_after_ms=wait_ms,
    )
