"""From the body of an OTLP/HTTP request to events, and the answers that OTLP wants back.

`read` loses no record: each becomes at least one event, or a `Refusal` that the caller buries and
counts in the partial success. Only a body that cannot be read at all raises `BadBody`. The same
body gives the same event ids whenever it comes again.
"""

from collections.abc import Iterator
from enum import StrEnum
from types import ModuleType
from typing import Final

import msgspec
from msgspec import Struct
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import TenantId
from gateway.otlp import decode_json, decode_protobuf, mapping
from gateway.otlp.lineage import Lineage
from gateway.otlp.reading import RequestContext
from gateway.otlp.records import ExportBatch, ExportedSpan, LogRecord, Point, RecordT, Refusal

__all__ = ["Intake", "Refusal", "OtlpSignal", "answer", "read", "status"]


class OtlpSignal(StrEnum):
    """What an OTLP request carries; the last part of its path."""

    METRICS = "metrics"
    LOGS = "logs"
    TRACES = "traces"


class Intake(Struct, frozen=True):
    """What a request held: its events, what was refused, and how many records it had in all."""

    events: tuple[AgentEvent, ...]
    refused: tuple[Refusal, ...]
    total: int


_REJECTED_JSON: Final = {
    OtlpSignal.METRICS: "rejectedDataPoints",
    OtlpSignal.LOGS: "rejectedLogRecords",
    OtlpSignal.TRACES: "rejectedSpans",
}


def read(
    signal: OtlpSignal,
    body: bytes,
    *,
    as_json: bool,
    tenant: TenantId,
    received_ms: int,
    keep_content: bool = False,
    lineage: Lineage | None = None,
) -> Intake:
    """Return the events in `body`; raise `BadBody` if it is no OTLP request of this signal.

    Prompts, answers and what tools were given are left out unless `keep_content`. `lineage` is what
    is remembered of spans from one request to the next.
    """
    request = RequestContext(
        tenant=tenant,
        received_ms=received_ms,
        keep_content=keep_content,
        lineage=Lineage() if lineage is None else lineage,
    )
    decode: ModuleType = decode_json if as_json else decode_protobuf
    match signal:
        case OtlpSignal.LOGS:
            logs: ExportBatch[LogRecord] = decode.logs(body)
            return _intake(logs, mapping.log_events(logs.records, request))
        case OtlpSignal.TRACES:
            spans: ExportBatch[ExportedSpan] = decode.spans(body)
            return _intake(spans, mapping.span_events(spans.records, request))
        case OtlpSignal.METRICS:
            points: ExportBatch[Point] = decode.points(body)
            return _intake(points, mapping.point_events(points.records, request))


def answer(signal: OtlpSignal, *, as_json: bool, rejected: int = 0, message: str = "") -> bytes:
    """Return the body of a 200: empty when all was taken, else the partial success."""
    if as_json:
        if not rejected and not message:
            return b"{}"
        partial = {_REJECTED_JSON[signal]: str(rejected), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": partial})
    if not rejected and not message:
        return b""
    match signal:
        case OtlpSignal.METRICS:
            metrics = ExportMetricsServiceResponse()
            metrics.partial_success.rejected_data_points = rejected
            metrics.partial_success.error_message = message
            return metrics.SerializeToString()
        case OtlpSignal.LOGS:
            logs = ExportLogsServiceResponse()
            logs.partial_success.rejected_log_records = rejected
            logs.partial_success.error_message = message
            return logs.SerializeToString()
        case OtlpSignal.TRACES:
            traces = ExportTraceServiceResponse()
            traces.partial_success.rejected_spans = rejected
            traces.partial_success.error_message = message
            return traces.SerializeToString()


def status(message: str, *, code: int, as_json: bool) -> bytes:
    """Return a `google.rpc.Status` (code, message), the body of every answer that is no 200."""
    if as_json:
        return msgspec.json.encode({"code": code, "message": message})
    text = message.encode("utf-8", "replace")
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _intake(batch: ExportBatch[RecordT], events: Iterator[AgentEvent]) -> Intake:
    return Intake(events=tuple(events), refused=tuple(batch.refused), total=batch.total)


def _varint(number: int) -> bytes:
    """Return a non-negative number as protobuf writes it: seven bits a byte, lowest first."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
