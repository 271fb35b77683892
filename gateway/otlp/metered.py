"""Services whose own histograms tell of model requests, and what their spans told meanwhile.

A span of a service with such histograms also says to the service's own session what it told, so
that whoever counts can take the fuller account. Spans are exported sooner than metrics: what those
of a service told before its first histogram is held, at most `HELD_MAX` of all services, those of
the service unused for longest given up first, and told with it. A gateway that sees only the spans,
or only the metrics, of a service cannot know.
"""

from collections import OrderedDict
from threading import Lock
from typing import Final

from msgspec import Struct, field

from analytics.contracts.agent_events import (
    AgentEvent,
    RequestFailed,
    RequestFinished,
    UsageReported,
)
from analytics.contracts.ids import SessionId, TenantId, derived

SERVICES_MAX: Final = 4_096
HELD_MAX: Final = 16_384
TOLD_AGAIN_MS: Final = 120_000
"""How long what was held is told with every further request: the first one may not have arrived."""
METRICS: Final = frozenset(
    {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.client.inference.duration",
        "gen_ai.client.inference.usage.input_tokens",
        "gen_ai.client.inference.usage.output_tokens",
    }
)
"""What tells of model requests, under old names and new ones."""
TOLD: Final = "mainstem.gen_ai.told"
"""The metric by which a span says to its service's session what it told."""

Key = tuple[TenantId, SessionId]


class Service(Struct):
    """What is known of one service."""

    since_ms: int | None = None
    """When its first histogram came."""
    told_ms: int = 0
    held: list[AgentEvent] = field(default_factory=list)


class Metered:
    """The services seen last; safe to share between threads."""

    def __init__(self, *, services_max: int = SERVICES_MAX, held_max: int = HELD_MAX) -> None:
        self._services: OrderedDict[Key, Service] = OrderedDict()
        self._services_max = services_max
        self._held_max = held_max
        self._held = 0
        self._forgotten = 0
        self._lock = Lock()

    def by_span(self, service: SessionId, event: AgentEvent) -> list[AgentEvent]:
        """Return what there is to say to a service's session of a request that a span told."""
        said = _said(service, event)
        if said is None:
            return []
        with self._lock:
            known = self._of((event.tenant, service))
            if known.since_ms is not None:
                return [said]
            known.held.append(said)
            self._held += 1
            self._give_up()
            return []

    def by_metric(self, tenant: TenantId, service: SessionId, now_ms: int) -> list[AgentEvent]:
        """Take note that a service has histograms; return what was held, once a request."""
        with self._lock:
            known = self._of((tenant, service))
            if known.since_ms is None:
                known.since_ms = now_ms
                self._give_up()
            elif now_ms == known.told_ms:
                return []
            elif now_ms - known.since_ms > TOLD_AGAIN_MS:
                self._held -= len(known.held)
                known.held = []
            known.told_ms = now_ms
            return list(known.held)

    def take_forgotten(self) -> int:
        """Return how much was given up since the last time."""
        with self._lock:
            taken, self._forgotten = self._forgotten, 0
            return taken

    def _give_up(self) -> None:
        while self._held > self._held_max or len(self._services) > self._services_max:
            _, oldest = self._services.popitem(last=False)
            self._held -= len(oldest.held)
            self._forgotten += len(oldest.held)

    def _of(self, key: Key) -> Service:
        known = self._services.setdefault(key, Service())
        self._services.move_to_end(key)
        return known


def _said(service: SessionId, event: AgentEvent) -> UsageReported | None:
    """Return what a request's event amounts to, as its service's histograms count it."""
    match event:
        case RequestFinished():
            cached = event.cache_read_tokens + event.cache_write_tokens
            amounts = {
                "input_tokens": event.input_tokens + cached,
                "output_tokens": event.output_tokens,
            }
        case RequestFailed():
            amounts = {"errors": 1}
        case _:
            return None
    if event.duration_ms is not None:
        amounts |= {"timed": 1, "took_ms": event.duration_ms}
    return UsageReported(
        id=derived(event.tenant, "gen_ai.told", service, event.request_id or event.id),
        tenant=event.tenant,
        at_ms=event.at_ms,
        source=event.source,
        session_id=service,
        project=event.project,
        agent=event.agent,
        version=event.version,
        metric=TOLD,
        value=1.0,
        unit="1",
        model=event.model,
        attributes={"calls": 1, **amounts},
    )
