"""The exchange with the registry, once a second, and what becomes of it while it is away.

Nothing waits for the registry but this loop. While it is away this node answers from what it holds
itself, keeps what it has not told, and tries again with growing pauses; on return it enters under
an epoch of its own again and tells everything, so presence heals. Dead nodes are cleared away by
whoever notices.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import random
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import Fenced, MainstemError, Unavailable
from gateway import metrics
from gateway.registry.journal import Journal
from gateway.registry.registry import (
    Beat,
    KnownEventIds,
    Linked,
    Load,
    Member,
    NodeState,
    Registry,
    Seen,
    TenantChannel,
)

ANEW_S: Final = 900
"""Between two tellings of everything, well within the registry's expiry."""
PAUSE_S_MAX: Final = 10
KEY_BYTES: Final = 16

log = logging.getLogger(__name__)


class RegistryOptions(Struct, frozen=True, kw_only=True):
    """How often, and how much."""

    beat_s: float
    dead_s: float
    members_max: int


class RegistryKeeper:
    """See the module; `run` is cancelled at the end, `leave` says goodbye."""

    def __init__(
        self,
        registry: Registry,
        journal: Journal,
        ways: RegistryOptions,
        *,
        node: str,
        load: Callable[[], Load],
    ) -> None:
        self.journal = journal
        self.log_id: Callable[[], str] = str
        """Which log the ids that are told are of; empty tells none."""
        self.on_told: Callable[[KnownEventIds], None] = _nothing
        """Told what other nodes' logs have."""
        self._registry = registry
        self._ways = ways
        self._node = node
        self._load = load
        self._epoch: int | None = None
        self._nodes: Sequence[NodeState] = ()
        self._failures = 0
        self._beats = 0

    @property
    def up(self) -> bool:
        """Whether the registry answered when last asked."""
        return self._epoch is not None and not self._failures

    @property
    def nodes(self) -> Sequence[NodeState]:
        """The nodes that lived when last heard of; a hint."""
        return self._nodes

    async def run(self) -> None:
        """Exchange until cancelled."""
        try:
            while True:
                await self.step()
                await asyncio.sleep(self._pause_s())
        finally:
            await self.leave()

    async def step(self) -> None:
        """Make one exchange, whatever comes of it."""
        try:
            await self._exchange()
        except Fenced:
            log.warning("taken for dead by others; entering again", extra={"node": self._node})
            self._epoch = None
            metrics.REGISTRY_BEATS.labels("fenced").inc()
        except Unavailable as error:
            if not self._failures:
                log.warning("registry is away", extra={"reason": str(error)})
            self._failures += 1
            metrics.REGISTRY_BEATS.labels("away").inc()
        else:
            if self._failures:
                log.warning("registry is back", extra={"failures": self._failures})
            self._failures = 0
            metrics.REGISTRY_BEATS.labels("done").inc()
        metrics.REGISTRY_UP.set(self.up)
        metrics.REGISTRY_NODES.set(len(self._nodes))
        metrics.REGISTRY_WAITING.set(self.journal.waiting)

    async def leave(self) -> None:
        """Say goodbye, if the registry hears it, and let go of it."""
        try:
            if self._epoch is not None:
                await self._registry.leave(self._node, self._epoch)
        except Unavailable:
            log.warning("left without a word: the registry is away", extra={"node": self._node})
        finally:
            await self._registry.close()

    async def presence(self, room: TenantChannel) -> Sequence[Member]:
        """Return who is in a channel: everywhere, or here while the registry is away."""
        limit = self._ways.members_max
        here = self.journal.presence(room, limit=limit)
        if not self.up:
            return here
        try:
            everywhere = await self._registry.presence(room, limit=limit)
        except Unavailable:
            return here
        merged = {member.client: member for member in (*everywhere, *here)}
        return list(merged.values())[:limit]

    async def find(self, connection_id: str) -> Linked | None:
        """Return a connection, wherever it is; only those here while the registry is away."""
        here = self.journal.find(connection_id)
        if here is not None or not self.up:
            return here
        try:
            return await self._registry.find(connection_id)
        except Unavailable:
            return None

    async def _exchange(self) -> None:
        if self._epoch is None or self._failures:
            self._epoch = await self._registry.enter(self._node)
            self.journal.anew()
        changes, keys = self.journal.take(), self.journal.take_told()
        log_id = self.log_id()
        told = KnownEventIds(log_id=log_id, keys=keys) if keys and log_id else None
        beat = Beat(
            node=self._node, epoch=self._epoch, load=self._load(), changes=changes, told=told
        )
        try:
            seen: Seen = await self._registry.beat(beat)
        except MainstemError:
            self.journal.again(changes)
            raise
        self._nodes = seen.nodes
        for one in seen.told:
            self.on_told(one)
        await self._tend()

    async def _tend(self) -> None:
        self._beats += 1
        if self._beats % max(1, round(self._ways.dead_s / self._ways.beat_s)) == 0:
            dead = await self._registry.reap()
            if dead:
                log.warning("nodes found dead", extra={"nodes": dead})
                metrics.REGISTRY_REAPED.inc(len(dead))
        if self._beats % max(1, round(ANEW_S / self._ways.beat_s)) == 0:
            self.journal.anew()

    def _pause_s(self) -> float:
        beat_s = self._ways.beat_s
        if not self._failures:
            return beat_s
        return float(min(PAUSE_S_MAX, beat_s * 2 ** min(self._failures, 10)) * (0.5 + random() / 2))  # noqa: S311 - spreads retries


def keys_of(told: KnownEventIds) -> list[bytes]:
    """Return the event ids that were told."""
    return [told.keys[place : place + KEY_BYTES] for place in range(0, len(told.keys), KEY_BYTES)]


def _nothing(_told: KnownEventIds) -> None:
    return None
