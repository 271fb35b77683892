"""What a gateway counts about itself, for Prometheus.

All names start with `gateway_`; every label has a fixed, small set of values. Metrics live in a
registry of their own, so that two gateways in one process (tests) do not meet.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROADS: Final = ("websocket", "events", "metrics", "logs", "traces", "hooks")
"""The roads by which events come; the values of the label `road`."""


class Metrics:
    """Every metric of one gateway."""

    def __init__(self, *, with_process: bool = False) -> None:
        """`with_process` adds memory, CPU and garbage collection of the process."""
        self.registry = CollectorRegistry()
        if with_process:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        self._sockets()
        self._events()
        self._edge()

    def render(self) -> bytes:
        """Return all of it in the text format."""
        return generate_latest(self.registry)

    def count_verdicts(self, road: str, statuses: Iterable[str]) -> None:
        """Count what became of a batch."""
        for status in statuses:
            self.events.labels(road, status).inc()

    def _sockets(self) -> None:
        self.connections = Gauge(
            "gateway_connections", "Sockets that are open.", registry=self.registry
        )
        self.closes = Counter(
            "gateway_closes",
            "Sockets closed, by close code (`peer` where the other side left).",
            ["code"],
            registry=self.registry,
        )
        self.frames = Counter("gateway_frames", "Frames received.", registry=self.registry)
        self.calls = Counter(
            "gateway_calls", "Calls answered, by outcome.", ["outcome"], registry=self.registry
        )
        self.outbound_bytes = Gauge(
            "gateway_outbound_bytes", "Bytes waiting for sockets.", registry=self.registry
        )
        self.bad_text = Counter(
            "gateway_bad_text", "Frames that were not UTF-8.", registry=self.registry
        )

    def _events(self) -> None:
        self.events = Counter(
            "gateway_events",
            "Events handed in, by road and what became of them.",
            ["road", "status"],
            registry=self.registry,
        )
        self.publish_seconds = Histogram(
            "gateway_publish_seconds",
            "From taking a batch to the broker's acknowledgement of all of it.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.inflight_records = Gauge(
            "gateway_inflight_records", "Records waiting for the broker.", registry=self.registry
        )
        self.inflight_bytes = Gauge(
            "gateway_inflight_bytes", "Bytes waiting for the broker.", registry=self.registry
        )
        self.buried = Counter(
            "gateway_buried",
            "Payloads that could not be read, by whether the graveyard has them.",
            ["kept"],
            registry=self.registry,
        )
        self.lost = Counter(
            "gateway_lost",
            "Events taken without waiting (hooks, connections) that did not reach the broker.",
            registry=self.registry,
        )
        self.broker_up = Gauge(
            "gateway_broker_up", "1 while the broker answers.", registry=self.registry
        )

    def _edge(self) -> None:
        self.requests = Counter(
            "gateway_requests",
            "HTTP requests, by road and status.",
            ["road", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "gateway_request_seconds",
            "From request to answer, by road.",
            ["road"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.loop_lag_seconds = Gauge(
            "gateway_loop_lag_seconds", "How late the event loop runs.", registry=self.registry
        )
        self.limits_hit = Counter(
            "gateway_limits_hit",
            "Senders refused at a limit, by its name.",
            ["limit"],
            registry=self.registry,
        )
