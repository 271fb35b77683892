"""Leases: who holds which work of whom, until when; and who waits for one.

A lease belongs to one member and one holder, ends once, and not later than `until_ms`. Whoever
waits is served in the order of asking among those with the same needs; a member that becomes free
goes to whoever has waited longest of all that it fits.
"""

from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.pool.breaker import Breaker, Permit
from analytics.pool.skills import ANYBODY, AgentCard, Needs, fits


class LeaseOutcome(StrEnum):
    """How a lease ended."""

    DONE = "done"
    FAILED = "failed"
    RELEASED = "released"
    """Given back by its holder; says nothing about the member."""
    EXPIRED = "expired"
    LOST = "lost"
    """Its member is gone for good."""


BLAMED: Final = frozenset({LeaseOutcome.FAILED, LeaseOutcome.EXPIRED})
"""Outcomes that count against the member."""


class Ask(Struct, frozen=True, kw_only=True):
    """A wish for a lease."""

    id: str
    holder: str
    connection_id: str
    needs: Needs = ANYBODY
    affinity: str = ""
    lease_ms: int
    wait_ms: int = 0
    task: bytes = b"null"


class Lease(Struct, kw_only=True):
    """Work that a member has been given."""

    id: str
    member: str
    holder: str
    connection_id: str
    granted_ms: int
    until_ms: int
    ends_ms: int
    """The latest that it can be renewed to."""
    task: bytes = b"null"
    permits: tuple[tuple[Breaker, Permit], ...] = ()


class Waiting:
    """Asks that wait, in order; those with the same needs and key behind each other."""

    def __init__(self) -> None:
        self._asks: dict[str, tuple[int, Ask]] = {}
        self._queues: dict[tuple[Needs, str], deque[str]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._asks)

    def add(self, ask: Ask) -> None:
        """Let an ask wait behind the others."""
        self._count += 1
        self._asks[ask.id] = (self._count, ask)
        self._queues.setdefault((ask.needs, ask.affinity), deque()).append(ask.id)

    def take(self, ask_id: str) -> Ask | None:
        """Take an ask out."""
        found = self._asks.pop(ask_id, None)
        if found is None:
            return None
        queue = self._queues[found[1].needs, found[1].affinity]
        queue.remove(ask_id)
        if not queue:
            del self._queues[found[1].needs, found[1].affinity]
        return found[1]

    def first_for(self, card: AgentCard) -> Ask | None:
        """Return who has waited longest of those whom an agent fits."""
        heads = (
            self._asks[queue[0]] for (needs, _), queue in self._queues.items() if fits(card, needs)
        )
        found = min(heads, key=lambda row: row[0], default=None)
        return None if found is None else found[1]

    def heads(self) -> Iterator[Ask]:
        """Return the first of each queue, who has waited longest first."""
        firsts = [self._asks[queue[0]] for queue in self._queues.values()]
        return (ask for _, ask in sorted(firsts, key=lambda row: row[0]))

    def of(self, connection_id: str) -> list[Ask]:
        """Return what waits for a connection."""
        return [ask for _, ask in self._asks.values() if ask.connection_id == connection_id]
