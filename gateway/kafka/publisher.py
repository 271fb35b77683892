"""The port through which every ingest path into the gateway reaches the broker.

An event is `accepted` only after the broker has acknowledged it from all replicas; `duplicate` when
the same id was already accepted; else `refused` with a reason, and may be sent again with the same
id. What waits for the broker is bounded in records and bytes.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from analytics.contracts.events import Event
from analytics.contracts.ids import TenantId


class Status(StrEnum):
    """What became of an event that was handed in."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class OutgoingEvent(Struct, frozen=True, kw_only=True, gc=False):
    """An event on its way to the broker; `payload` is its JSON where it holds unknown fields."""

    event: Event
    payload: bytes | None = None
    traceparent: str = ""


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The answer for one event; `retry_after_ms` only where sending it again may help."""

    id: str
    status: Status
    reason: str = ""
    retry_after_ms: int | None = None


class Publisher(Protocol):
    """Where events go; adapters are passed in by `apps`."""

    async def publish(self, outgoing: Sequence[OutgoingEvent]) -> list[Receipt]:
        """Return one verdict an event, in order, once each is acknowledged or refused."""
        ...

    def post(self, outgoing: Sequence[OutgoingEvent]) -> None:
        """Take events without waiting for the broker; raise `ProducerFull` at the limit."""
        ...

    async def dead_letter(
        self, payload: bytes, *, reason: str, origin: str, tenant: TenantId, whole_bytes: int = 0
    ) -> None:
        """Keep what could not be read on the topic of dead letters, as it came, with the reason.

        `whole_bytes` is how much of it there was, where it was cut before.
        """
        ...


class Outlet(Publisher, Protocol):
    """A publisher that knows whether its broker answers."""

    @property
    def ready(self) -> bool:
        """Whether the broker answers."""
        ...
