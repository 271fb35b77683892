"""Agents that come to the pool and leave it, as events of connections.

Each life of an agent is a connection of its own with the transport `pool`, beside that of the
socket it came on, so who was there when can be told from the log. They are posted, not waited for.
"""

from collections.abc import Callable

from msgspec import Struct

from analytics.contracts.errors import MainstemError
from analytics.contracts.events import ConnectionClosed, ConnectionEvent, ConnectionOpened
from analytics.contracts.facts import Source
from analytics.contracts.ids import ConnectionId, TenantId, derived
from analytics.pool.lifecycle import AgentSignal
from analytics.pool.members import Member
from gateway import metrics
from gateway.kafka.publisher import OutgoingEvent, Publisher

TRANSPORT = "pool"


class _Life(Struct, frozen=True):
    connection_id: ConnectionId
    begun_ms: int


class Chronicle:
    """See the module."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        node: str,
        wall_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._publisher = publisher
        self._node = node
        self._wall_ms = wall_ms
        self._new_id = new_id
        self._lives: dict[tuple[TenantId, str], _Life] = {}

    def opened(self, tenant: TenantId, member: Member) -> None:
        """Tell that an agent came."""
        life = _Life(ConnectionId(self._new_id()), self._wall_ms())
        self._lives[tenant, member.id] = life
        self._post(
            ConnectionOpened(
                id=derived("connection.opened", life.connection_id),
                tenant=tenant,
                at_ms=life.begun_ms,
                source=Source.GATEWAY,
                connection_id=life.connection_id,
                node=self._node,
                user=member.user,
                client=member.id,
                client_version=member.card.version,
                transport=TRANSPORT,
            )
        )

    def closed(self, tenant: TenantId, member: Member, signal: AgentSignal) -> None:
        """Tell that an agent is gone for good, and why."""
        life = self._lives.pop((tenant, member.id))
        at_ms = self._wall_ms()
        self._post(
            ConnectionClosed(
                id=derived("connection.closed", life.connection_id),
                tenant=tenant,
                at_ms=at_ms,
                source=Source.GATEWAY,
                connection_id=life.connection_id,
                node=self._node,
                user=member.user,
                reason=signal.value,
                duration_ms=max(0, at_ms - life.begun_ms),
            )
        )

    def _post(self, event: ConnectionEvent) -> None:
        try:
            self._publisher.post([OutgoingEvent(event=event)])
        except MainstemError:
            metrics.LOST.inc()
