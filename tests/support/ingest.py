"""Builders of OTLP requests, as JSON and as protobuf, and of transcripts, for tests of ingest."""

import base64
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import DEFAULT_TENANT
from gateway.otlp.intake import Intake, OtlpSignal, read

DATA: Final = Path(__file__).parents[1] / "data"
NOW_MS: Final = 1_767_225_600_000
NOW_NS: Final = NOW_MS * 1_000_000

_REQUESTS: Final = {
    OtlpSignal.LOGS: ExportLogsServiceRequest,
    OtlpSignal.METRICS: ExportMetricsServiceRequest,
    OtlpSignal.TRACES: ExportTraceServiceRequest,
}
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})

EventT = TypeVar("EventT")


def any_value(value: object) -> dict[str, Any]:
    """Return a value as OTLP/JSON writes it."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            text = str(value).replace("inf", "Infinity")
            return {"doubleValue": value if math.isfinite(value) else text}
        case list():
            return {"arrayValue": {"values": [any_value(part) for part in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case None:
            return {}
        case _:
            return {"stringValue": str(value)}


def attributes(given: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return attributes as OTLP/JSON writes them."""
    return [{"key": key, "value": any_value(value)} for key, value in given.items()]


def log(
    name: str, given: Mapping[str, object], *, body: object = None, at_ns: int = NOW_NS
) -> dict[str, Any]:
    """Return a log record whose `event.name` is `name`."""
    return {
        "timeUnixNano": str(at_ns),
        "attributes": attributes({"event.name": name, **given} if name else given),
        "body": any_value(body),
    }


def span(name: str, given: Mapping[str, object], **fields: object) -> dict[str, Any]:
    """Return a span of 1.5 s."""
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": name,
        "startTimeUnixNano": str(NOW_NS),
        "endTimeUnixNano": str(NOW_NS + 1_500_000_000),
        "attributes": attributes(given),
        **fields,
    }


def metric(
    name: str, shape: str, points: Iterable[Mapping[str, Any]], **fields: object
) -> dict[str, Any]:
    """Return a metric of one shape; delta unless told otherwise."""
    data: dict[str, Any] = {"dataPoints": list(points), **fields}
    if shape in {"sum", "histogram", "exponentialHistogram"}:
        data.setdefault("aggregationTemporality", 1)
    if shape == "sum":
        data.setdefault("isMonotonic", True)
    return {"name": name, "unit": "1", shape: data}


def point(
    value: float, given: Mapping[str, object] | None = None, **fields: object
) -> dict[str, Any]:
    """Return a point of a sum or gauge over the last ten seconds."""
    return {
        "asDouble": value,
        "startTimeUnixNano": str(NOW_NS - 10_000_000_000),
        "timeUnixNano": str(NOW_NS),
        "attributes": attributes(given or {}),
        **fields,
    }


def request(
    signal: OtlpSignal,
    records: Iterable[Mapping[str, Any]],
    resource: Mapping[str, object] | None = None,
    scope: str = "test",
) -> dict[str, Any]:
    """Return an export request of one resource and scope."""
    name, many = {
        OtlpSignal.LOGS: ("Logs", "logRecords"),
        OtlpSignal.TRACES: ("Spans", "spans"),
        OtlpSignal.METRICS: ("Metrics", "metrics"),
    }[signal]
    group = {"scope": {"name": scope, "version": "1"}, many: list(records)}
    given = {"service.name": "tester"} if resource is None else resource
    return {
        f"resource{name}": [
            {"resource": {"attributes": attributes(given)}, f"scope{name}": [group]}
        ]
    }


def as_protobuf(signal: OtlpSignal, document: Mapping[str, Any]) -> bytes:
    """Return an OTLP/JSON request in protobuf: ids from hex, the rest by protobuf's own mapping."""
    message = _REQUESTS[signal]()
    json_format.ParseDict(_with_base64_ids(document), message)
    encoded: bytes = message.SerializeToString()
    return encoded


def as_json(signal: OtlpSignal, body: bytes) -> bytes:
    """Return a protobuf request as OTLP/JSON: ids to hex, enums as numbers."""
    message = _REQUESTS[signal]()
    message.ParseFromString(body)
    document = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(_with_hex_ids(document)).encode()


def taken(
    signal: OtlpSignal,
    records: Iterable[Mapping[str, Any]],
    resource: Mapping[str, object] | None = None,
    *,
    scope: str = "test",
    keep_content: bool = False,
) -> Intake:
    """Return what is read of records, having checked that JSON and protobuf agree on it."""
    document = request(signal, records, resource, scope)
    intake = both(signal, document, keep_content=keep_content)
    assert not intake.refused
    return intake


def both(signal: OtlpSignal, document: Mapping[str, Any], *, keep_content: bool = False) -> Intake:
    """Return what is read of a request, having checked that JSON and protobuf agree on it."""
    bodies = (json.dumps(document).encode(), as_protobuf(signal, document))
    from_json, from_protobuf = (
        read(
            signal,
            body,
            as_json=is_json,
            tenant=DEFAULT_TENANT,
            received_ms=NOW_MS,
            keep_content=keep_content,
        )
        for body, is_json in zip(bodies, (True, False), strict=True)
    )
    assert from_json.events == from_protobuf.events
    assert from_json.total == from_protobuf.total
    return from_json


def only(kind: type[EventT], intake: Intake) -> EventT:
    """Return the one event there is, which is of this kind."""
    (event,) = intake.events
    assert isinstance(event, kind), event
    return event


def of_kind(kind: type[EventT], events: Iterable[AgentEvent]) -> list[EventT]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def _with_base64_ids(given: Any) -> Any:
    return _with_ids(given, lambda text: base64.b64encode(bytes.fromhex(text)).decode())


def _with_hex_ids(given: Any) -> Any:
    return _with_ids(given, lambda text: base64.b64decode(text).hex())


def _with_ids(given: Any, turn: Callable[[str], str]) -> Any:
    if isinstance(given, dict):
        return {
            key: turn(value) if key in _IDS else _with_ids(value, turn)
            for key, value in given.items()
        }
    if isinstance(given, list):
        return [_with_ids(part, turn) for part in given]
    return given
