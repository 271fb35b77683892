"""The sessions of one partition that are in memory, and who gives way when there are too many.

The tenant that holds the most gives way first, and of it the session least recently heard of: one
tenant's flood of sessions costs another none of its own, and a tenant alone may have all the room.
What a batch touched stays until the batch is over. A session that was not heard of for `QUIET_MS`
leaves as well, once nothing about it is left to be shown. The store remembers whatever leaves; it
is recalled when it comes up again.
"""

from collections.abc import Callable, Collection, Iterable
from heapq import heapify, heappop, heapreplace
from typing import Final

from analytics.contracts.ids import TenantId
from analytics.measures.session_memory import SessionKey, SessionMemory
from analytics.measures.sessions import falls_quiet

QUIET_MS: Final = 900_000


class HeldSessions:
    """Sessions by key, and each tenant's from the least recently heard of."""

    def __init__(self, *, sessions_max: int, remembered_max: int) -> None:
        self.by_key: dict[SessionKey, SessionMemory] = {}
        self.remembered = 0
        """Entries that all of them hold."""
        self._sessions_max = sessions_max
        self._remembered_max = remembered_max
        self._of: dict[TenantId, dict[SessionKey, None]] = {}
        self._weights: dict[TenantId, int] = {}

    def add(self, memory: SessionMemory) -> None:
        """Hold a session."""
        self.by_key[memory.key] = memory
        self._of.setdefault(memory.key[0], {})[memory.key] = None
        self._weigh(memory)

    def hear(self, memories: Iterable[SessionMemory], *, now_ms: int) -> None:
        """Note that these were just heard of, and what they hold by now."""
        for memory in memories:
            of_tenant = self._of[memory.key[0]]
            del of_tenant[memory.key]
            of_tenant[memory.key] = None
            memory.heard_ms = now_ms
            self._weigh(memory)

    def shed(self, kept: Collection[SessionKey]) -> list[SessionMemory]:
        """Let go of sessions, but of none that is to be kept, while there are too many."""
        counts = {tenant: len(keys) for tenant, keys in self._of.items()}
        gone = self._shed(counts, kept, lambda _: 1, lambda: len(self.by_key) > self._sessions_max)
        return gone + self._shed(
            self._weights.copy(),
            kept,
            lambda memory: memory.weighed,
            lambda: self.remembered > self._remembered_max,
        )

    def shed_quiet(self, *, now_ms: int, kept: Collection[SessionKey]) -> list[SessionMemory]:
        """Let go of sessions that were not heard of for long."""
        gone = []
        for of_tenant in list(self._of.values()):
            for key in list(of_tenant):
                memory = self.by_key[key]
                if now_ms - memory.heard_ms < QUIET_MS or key in kept:
                    break
                if not falls_quiet(memory.shown_state):
                    gone.append(self._let_go(key))
        return gone

    def _shed(
        self,
        sizes: dict[TenantId, int],
        kept: Collection[SessionKey],
        size_of: Callable[[SessionMemory], int],
        are_too_many: Callable[[], bool],
    ) -> list[SessionMemory]:
        """Take one from the tenant with the largest size, and again, while there are too many."""
        if not are_too_many():
            return []
        gone: list[SessionMemory] = []
        left = [(-size, tenant) for tenant, size in sizes.items()]
        heapify(left)
        while left and are_too_many():
            size, tenant = left[0]
            oldest = next(iter(self._of.get(tenant, ())), None)
            if oldest is None or oldest in kept:
                heappop(left)  # who was heard of last is at the end: all that are left are kept
                continue
            gone.append(self._let_go(oldest))
            heapreplace(left, (size + size_of(gone[-1]), tenant))
        return gone

    def _let_go(self, key: SessionKey) -> SessionMemory:
        memory = self.by_key.pop(key)
        of_tenant = self._of[key[0]]
        del of_tenant[key]
        self._weights[key[0]] -= memory.weighed
        self.remembered -= memory.weighed
        if not of_tenant:
            del self._of[key[0]], self._weights[key[0]]
        return memory

    def _weigh(self, memory: SessionMemory) -> None:
        grown = memory.weight - memory.weighed
        tenant = memory.key[0]
        self._weights[tenant] = self._weights.get(tenant, 0) + grown
        self.remembered += grown
        memory.weighed += grown
