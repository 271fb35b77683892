"""The real OpenTelemetry SDK sending one metric, one log record and one tool's spans, as protobuf.

Nothing here knows Mainstem: it is the exporters of the OpenTelemetry project with an endpoint and a
header, as any program would set them.
"""

import time
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

SENT_TOKENS: Final = 1_234
NEVER_MS: Final = 3_600_000


def send(endpoint: str, token: str, *, session: str) -> None:
    """Send one of each signal for `session` and wait until all are exported."""
    headers = {"Authorization": f"Bearer {token}"}
    resource = Resource.create({"service.name": "claude-code", "service.version": "2.2.0"})
    _send_metric(OTLPMetricExporter(_url(endpoint, "metrics"), headers=headers), resource, session)
    logs = OTLPLogExporter(_url(endpoint, "logs"), headers=headers, compression=Compression.Gzip)
    _send_log(logs, resource, session)
    _send_span(OTLPSpanExporter(_url(endpoint, "traces"), headers=headers), resource, session)


def _send_metric(exporter: OTLPMetricExporter, resource: Resource, session: str) -> None:
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER_MS)
    provider = MeterProvider([reader], resource=resource)
    counter = provider.get_meter("com.anthropic.claude_code").create_counter(
        "claude_code.token.usage", unit="tokens"
    )
    counter.add(SENT_TOKENS, {"session.id": session, "type": "input", "model": "claude-opus-4-5"})
    provider.shutdown()


def _send_log(exporter: OTLPLogExporter, resource: Resource, session: str) -> None:
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    now_ns = time.time_ns()
    record = LogRecord(
        timestamp=now_ns,
        observed_timestamp=now_ns,
        severity_number=SeverityNumber.INFO,
        body="claude_code.api_request",
        attributes={
            "session.id": session,
            "event.name": "api_request",
            "request_id": f"req-{session}",
            "model": "claude-opus-4-5",
            "input_tokens": SENT_TOKENS,
            "output_tokens": 56,
            "cost_usd": 0.0123,
            "duration_ms": 789,
        },
    )
    provider.get_logger("com.anthropic.claude_code.events").emit(record)
    provider.shutdown()


def _send_span(exporter: OTLPSpanExporter, resource: Resource, session: str) -> None:
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("com.anthropic.claude_code")
    attributes = {"session.id": session, "tool_name": "Bash", "tool_use_id": f"toolu-{session}"}
    with (
        tracer.start_as_current_span("claude_code.tool", attributes=attributes),
        tracer.start_as_current_span("claude_code.tool.execution", attributes={"success": True}),
    ):
        pass
    provider.shutdown()


def _url(endpoint: str, signal: str) -> str:
    return f"{endpoint.rstrip('/')}/v1/{signal}"
