"""One event by every ingest path into the gateway, sent as real senders send it.

Metric, log and span go out through the OpenTelemetry SDK and its OTLP/HTTP exporter; the hook as an
HTTP POST; the last one over a WebSocket in the Centrifuge client protocol. Each names a session of
its own, by which it is found in the store. A sender returns once the gateway has answered.
"""

import http.client
import importlib
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from analytics.contracts.errors import Refused, Unavailable
from apps.local.tenants import DOCTOR

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

WAIT_S: Final = 10.0
PROJECT: Final = "mainstem-doctor"
JSON: Final = {"Content-Type": "application/json"}


class Sender(Struct, frozen=True):
    """Where to send, as whom."""

    url: str
    token: str


def metric(sender: Sender, session_id: str) -> None:
    """Export one point of a counter."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = OTLPMetricExporter(
        endpoint=f"{sender.url}/v1/metrics", headers=_bearer(sender), timeout=WAIT_S
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider(metric_readers=[reader], resource=_resource(session_id))
    counter = provider.get_meter(PROJECT).create_counter("mainstem.doctor.checks")
    counter.add(1, {"session.id": session_id})
    done = provider.force_flush(timeout_millis=WAIT_S * 1000)
    provider.shutdown()
    _expect(done=done, what="metric")


def log(sender: Sender, session_id: str) -> None:
    """Export one log record."""
    from opentelemetry._logs import SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource=_resource(session_id))
    exporter = OTLPLogExporter(
        endpoint=f"{sender.url}/v1/logs", headers=_bearer(sender), timeout=WAIT_S
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    provider.get_logger(PROJECT).emit(
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.INFO,
        body="mainstem doctor",
        attributes={"session.id": session_id},
        event_name="mainstem.doctor.check",
    )
    done = provider.force_flush(timeout_millis=int(WAIT_S * 1000))
    provider.shutdown()
    _expect(done=done, what="log record")


def span(sender: Sender, session_id: str) -> None:
    """Export one span."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(session_id))
    exporter = OTLPSpanExporter(
        endpoint=f"{sender.url}/v1/traces", headers=_bearer(sender), timeout=WAIT_S
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with provider.get_tracer(PROJECT).start_as_current_span(
        "mainstem.doctor.check", attributes={"session.id": session_id}
    ):
        pass
    done = provider.force_flush(timeout_millis=int(WAIT_S * 1000))
    provider.shutdown()
    _expect(done=done, what="span")


def hook(sender: Sender, session_id: str) -> None:
    """Post one hook as Claude Code does."""
    body = {
        "session_id": session_id,
        "hook_event_name": "SessionEnd",
        "cwd": f"/{PROJECT}",
        "reason": "other",
    }
    parts = urlsplit(sender.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT_S)
    try:
        connection.request("POST", "/hooks/claude", json.dumps(body), _bearer(sender) | JSON)
        response = connection.getresponse()
        response.read()
    except OSError as error:
        raise Unavailable(f"the gateway at {sender.url} did not answer ({error})") from error
    finally:
        connection.close()
    if response.status != 200:
        raise Refused(f"the gateway answered the hook with {response.status}")


def websocket(sender: Sender, session_id: str) -> None:
    """Publish one event over a WebSocket; return when it is acknowledged."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    event = {
        "type": "agent.observed",
        "id": f"{session_id}-1",
        "tenant": DOCTOR,
        "at_ms": time.time_ns() // 1_000_000,
        "source": "websocket",
        "session_id": session_id,
        "project": PROJECT,
        "agent": PROJECT,
        "name": "mainstem.doctor.check",
    }
    address = sender.url.replace("http", "ws", 1) + "/connection/websocket"
    try:
        with connect(address, open_timeout=WAIT_S, close_timeout=1) as socket:
            hello = {"id": 1, "connect": {"token": sender.token, "name": PROJECT}}
            socket.send(json.dumps(hello))
            _answer(socket.recv, 1)
            call = {"id": 2, "rpc": {"method": "events.publish", "data": event}}
            socket.send(json.dumps(call))
            verdict = json.dumps(_answer(socket.recv, 2))
    except (OSError, WebSocketException) as error:
        raise Unavailable(f"the gateway's WebSocket did not answer ({error})") from error
    if '"accepted"' not in verdict:
        raise Refused(f"the gateway answered the WebSocket event with {verdict}")


INGEST_PATHS: Final[Mapping[str, Callable[[Sender, str], None]]] = {
    "metric": metric,
    "log": log,
    "span": span,
    "hook": hook,
    "websocket": websocket,
}
"""Every ingest path by the name that `doctor` shows."""


def warm() -> None:
    """Load the exporters, so that loading them is not part of what is measured."""
    for module in (
        "opentelemetry.exporter.otlp.proto.http.metric_exporter",
        "opentelemetry.exporter.otlp.proto.http._log_exporter",
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.sdk.metrics.export",
        "opentelemetry.sdk._logs.export",
        "opentelemetry.sdk.trace.export",
        "websockets.sync.client",
    ):
        importlib.import_module(module)


def _answer(receive: Callable[[float], str | bytes], number: int) -> object:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        for line in str(receive(WAIT_S)).splitlines():
            reply = json.loads(line)
            if "error" in reply:
                raise Refused(f"the gateway's WebSocket answered {reply['error']}")
            if reply.get("id") == number:
                return reply
    raise Unavailable(f"the gateway's WebSocket did not answer within {WAIT_S:g} s")


def _bearer(sender: Sender) -> dict[str, str]:
    return {"Authorization": f"Bearer {sender.token}"}


def _resource(session_id: str) -> "Resource":
    from opentelemetry.sdk.resources import Resource

    return Resource({"service.name": PROJECT, "session.id": session_id})


def _expect(*, done: bool, what: str) -> None:
    if not done:
        raise Unavailable(f"the gateway did not take the {what} within {WAIT_S:g} s")
