"""Spans to an OpenTelemetry collector, over OTLP/HTTP, if one is named.

The gateway's and the worker's spans meet in the trace that a client began: `publish` from taking a
message to the broker's acknowledgement, and `store` from the broker to the commit. They are sent
in the background, in batches; what a collector that is away has no room for is dropped by the SDK,
and costs no event.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from analytics.contracts.errors import MissingPart
from analytics.contracts.traces import SAMPLED, Trace

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

    from streams.consumer.tracing import Traced

SCOPE: Final = "mainstem"
WAITING_MAX: Final = 4_096
"""Spans that wait for the collector."""
STOP_MS: Final = 2_000
NS_IN_MS: Final = 1_000_000


class TracingSettings(BaseSettings):
    """Where spans go."""

    model_config = SettingsConfigDict(env_prefix="MAINSTEM_", frozen=True)

    traces_endpoint: str = Field(
        "",
        description="OTLP/HTTP address that spans of traced messages are sent to, such as "
        "http://collector:4318/v1/traces; empty sends none.",
    )


class PublishSpan:
    """A `gateway.tracing.Span` of the SDK's."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span
        at = span.get_span_context()
        self.traceparent = str(Trace(f"{at.trace_id:032x}", f"{at.span_id:016x}", at.trace_flags))

    def end(self, *, refused: int) -> None:
        """End it."""
        self._span.set_attribute("mainstem.events.refused", refused)
        self._span.end()


class Spans:
    """Both ports: `gateway.tracing.Tracing` and `streams.consumer.tracing.Traces`."""

    def __init__(self, tracer: "trace.Tracer") -> None:
        from opentelemetry.trace import SpanKind

        self._tracer = tracer
        self._kinds = SpanKind

    def begin(self, ingest_path: str, parent: Trace, *, events: int) -> PublishSpan:
        """Begin the span of a message."""
        span = self._tracer.start_span(
            "publish",
            context=_context(parent),
            kind=self._kinds.PRODUCER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.batch.message_count": events,
                "mainstem.ingest_path": ingest_path,
            },
        )
        return PublishSpan(span)

    def stored(self, topic: str, partition: int, messages: "Sequence[Traced]") -> None:
        """Tell that these are in the store by now, each in its own trace."""
        now_ns = time.time_ns()
        for message in messages:
            span = self._tracer.start_span(
                "store",
                context=_context(message.trace),
                kind=self._kinds.CONSUMER,
                start_time=min(message.appended_ms * NS_IN_MS, now_ns),
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.name": "process",
                    "messaging.destination.name": topic,
                    "messaging.destination.partition.id": str(partition),
                    "messaging.kafka.offset": message.offset,
                },
            )
            span.end(now_ns)


@contextmanager
def collecting(service: str) -> Iterator[Spans | None]:
    """Give who collects spans, if an address is set; send what is left in the end."""
    endpoint = TracingSettings().traces_endpoint  # type: ignore[call-arg] # pydantic fills it in
    if not endpoint:
        yield None
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingPart(
            "MAINSTEM_TRACES_ENDPOINT needs the OpenTelemetry SDK; install mainstem[telemetry]"
        ) from error
    with exporting(service, OTLPSpanExporter(endpoint=endpoint)) as spans:
        yield spans


@contextmanager
def exporting(service: str, exporter: "SpanExporter") -> Iterator[Spans]:
    """Give who collects spans for an exporter."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=WAITING_MAX))
    try:
        yield Spans(provider.get_tracer(SCOPE))
    finally:
        provider.force_flush(STOP_MS)
        provider.shutdown()


def _context(parent: Trace) -> "Context":
    from opentelemetry import trace

    at = trace.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(parent.flags & SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(at))
