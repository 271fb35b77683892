"""The real OpenTelemetry Python SDK and its HTTP exporter, caught by a tiny server."""

import gzip
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentObserved,
    RequestFinished,
    UsageReported,
)
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.otlp.intake import OtlpSignal, answer, read
from tests.support.ingest import NOW_MS, of_kind

RESOURCE = Resource.create({"service.name": "sdk-test", "service.instance.id": "1"})


class Caught:
    """The bodies that came, by signal."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[tuple[OtlpSignal, bytes]] = []

    def events(self) -> list[AgentEvent]:
        """Return the events of all that came; nothing of it may be refused."""
        made: list[AgentEvent] = []
        for signal, body in self.bodies:
            intake = read(signal, body, as_json=False, tenant=DEFAULT_TENANT, received_ms=NOW_MS)
            assert intake.refused == ()
            made.extend(intake.events)
        return made


@contextmanager
def catching() -> Iterator[Caught]:
    caught = Caught()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            signal = OtlpSignal(self.path.rsplit("/", 1)[1])
            caught.bodies.append((signal, body))
            said = answer(signal, as_json=False)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        caught.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield caught
        finally:
            server.shutdown()
            thread.join()


def send_spans(url: str) -> None:
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("chat m") as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.usage.input_tokens", 7)
        span.add_event("retry", {"attempt": 1})
    provider.shutdown()


def send_metrics(url: str) -> None:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"))
    provider = MeterProvider(metric_readers=[reader], resource=RESOURCE)
    meter = provider.get_meter("test")
    meter.create_counter("jobs", unit="1").add(3, {"queue": "a"})
    meter.create_up_down_counter("open").add(-1)
    meter.create_histogram("seconds", unit="s").record(0.25)
    meter.create_gauge("heat").set(36.6)
    provider.shutdown()


def send_logs(url: str) -> None:
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{url}/v1/logs")))
    handler = LoggingHandler(logger_provider=provider)
    record = logging.LogRecord("test", logging.WARNING, "a.py", 1, "disk is full", None, None)
    handler.emit(record)
    provider.shutdown()


@pytest.mark.requirement("otlp-lands")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("send", [send_spans, send_metrics, send_logs])
def test_what_the_sdk_exports_is_read_whole(send: Callable[[str], None]) -> None:
    with catching() as caught:
        send(caught.url)

    events = caught.events()

    assert events
    assert {event.agent for event in events} == {"sdk-test"}
    assert len({event.session_id for event in events}) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_sdks_values_arrive_as_they_were_recorded() -> None:
    with catching() as caught:
        send_spans(caught.url)
        send_metrics(caught.url)
        send_logs(caught.url)

    events = caught.events()

    (request,) = of_kind(RequestFinished, events)
    (line,) = of_kind(AgentObserved, events)
    values = {event.metric: event.value for event in of_kind(UsageReported, events)}
    assert request.input_tokens == 7
    assert (line.body, line.severity) == ("disk is full", "WARN")
    expected = {"jobs": 3.0, "open": -1.0, "seconds": 0.25, "seconds.count": 1.0, "heat": 36.6}
    assert {name: values[name] for name in expected} == expected
