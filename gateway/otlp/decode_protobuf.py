"""OTLP/protobuf to records, by the published message types.

Bytes that are no message of the signal raise `BadBody`; a span whose ids are not valid is refused
on its own. What comes out is what `decode_json` makes of the same request.
"""

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from analytics.contracts.errors import BadBody
from gateway.http.protobuf import M, parsed
from gateway.otlp.coercion import Value
from gateway.otlp.records import (
    ATTRIBUTE_DEPTH_MAX,
    CUMULATIVE,
    STATUS_ERROR,
    Attributes,
    ExportBatch,
    ExportedSpan,
    LogRecord,
    Metric,
    Origin,
    Point,
    Shape,
    Unreadable,
    finite,
    is_id,
    severity_of,
    span_ids,
)

NumberPoint = metrics_pb2.NumberDataPoint
HistogramPoint = metrics_pb2.HistogramDataPoint
ExponentialPoint = metrics_pb2.ExponentialHistogramDataPoint
SummaryPoint = metrics_pb2.SummaryDataPoint
AnyPoint = NumberPoint | HistogramPoint | ExponentialPoint | SummaryPoint

_SHAPES: Final = {
    "sum": Shape.SUM,
    "gauge": Shape.GAUGE,
    "histogram": Shape.HISTOGRAM,
    "exponential_histogram": Shape.EXPONENTIAL,
    "summary": Shape.SUMMARY,
}
_PLAIN: Final = frozenset({"string_value", "int_value", "double_value", "bool_value"})


def logs(body: bytes) -> ExportBatch[LogRecord]:
    """Return the log records of an export request."""
    request = _parsed(ExportLogsServiceRequest, body)
    batch: ExportBatch[LogRecord] = ExportBatch()
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scope_group in group.scope_logs:
            origin = _origin(resource, scope_group.scope)
            for record in scope_group.log_records:
                batch.take(origin, _read_log(record))
    return batch


def spans(body: bytes) -> ExportBatch[ExportedSpan]:
    """Return the spans of an export request."""
    request = _parsed(ExportTraceServiceRequest, body)
    batch: ExportBatch[ExportedSpan] = ExportBatch()
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope_group in group.scope_spans:
            origin = _origin(resource, scope_group.scope)
            for span in scope_group.spans:
                try:
                    batch.take(origin, _read_span(span))
                except Unreadable as error:
                    batch.refuse(str(error), span.SerializeToString())
    return batch


def points(body: bytes) -> ExportBatch[Point]:
    """Return the points of all metrics of an export request."""
    request = _parsed(ExportMetricsServiceRequest, body)
    batch: ExportBatch[Point] = ExportBatch()
    for group in request.resource_metrics:
        resource = _attributes(group.resource.attributes)
        for scope_group in group.scope_metrics:
            origin = _origin(resource, scope_group.scope)
            for metric in scope_group.metrics:
                _read_metric(batch, origin, metric)
    return batch


def _parsed(kind: type[M], body: bytes) -> M:
    try:
        return parsed(kind, body)
    except DecodeError as error:
        raise BadBody("the body is no OTLP request in protobuf") from error


def _origin(resource: Attributes, scope: InstrumentationScope) -> Origin:
    return Origin(resource=resource, scope=scope.name, scope_version=scope.version)


def _read_log(record: logs_pb2.LogRecord) -> LogRecord:
    trace_id = record.trace_id.hex()
    span_id = record.span_id.hex()
    return LogRecord(
        event_name=record.event_name,
        time_ns=record.time_unix_nano,
        observed_ns=record.observed_time_unix_nano,
        severity=severity_of(record.severity_text, record.severity_number),
        body=_value(record.body),
        attributes=_attributes(record.attributes),
        trace_id=trace_id if is_id(trace_id, 32) else "",
        span_id=span_id if is_id(span_id, 16) else "",
    )


def _read_span(span: trace_pb2.Span) -> ExportedSpan:
    trace_id, span_id = span_ids(span.trace_id.hex(), span.span_id.hex())
    parent_id = span.parent_span_id.hex()
    return ExportedSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_id if is_id(parent_id, 16) else "",
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == STATUS_ERROR,
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=[
            {
                "name": event.name,
                "time_ns": event.time_unix_nano,
                **_attributes(event.attributes),
            }
            for event in span.events
        ],
        links=[
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                **_attributes(link.attributes),
            }
            for link in span.links
        ],
    )


def _read_metric(batch: ExportBatch[Point], origin: Origin, given: metrics_pb2.Metric) -> None:
    kind = given.WhichOneof("data")
    if not given.name or kind is None:
        reason = "a metric has no name" if kind else f"metric {given.name!r} has no data"
        batch.refuse(reason, given.SerializeToString())
        return
    shape = _SHAPES[kind]
    data = getattr(given, kind)
    simple = shape in {Shape.SUM, Shape.GAUGE}
    metric = Metric(
        name=given.name,
        unit=given.unit,
        shape=shape,
        cumulative=shape is Shape.SUMMARY
        or getattr(data, "aggregation_temporality", 0) == CUMULATIVE,
        monotonic=not simple or (shape is Shape.SUM and data.is_monotonic),
    )
    for point in data.data_points:
        batch.take(origin, _read_point(metric, point))


def _read_point(metric: Metric, point: AnyPoint) -> Point:
    return Point(
        metric=metric,
        value=finite(_sum_of(point)),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        attributes=_attributes(point.attributes),
        count=None if isinstance(point, NumberPoint) else point.count,
        detail=_detail(point),
    )


def _sum_of(point: AnyPoint) -> float | None:
    if isinstance(point, NumberPoint):
        which = point.WhichOneof("value")
        return None if which is None else float(getattr(point, which))
    if isinstance(point, SummaryPoint):
        return point.sum
    return point.sum if point.HasField("sum") else None


def _detail(point: AnyPoint) -> dict[str, Value]:
    detail: dict[str, Value] = {}
    if isinstance(point, HistogramPoint | ExponentialPoint):
        if point.HasField("min"):
            detail["min"] = point.min
        if point.HasField("max"):
            detail["max"] = point.max
    if isinstance(point, HistogramPoint):
        detail["bounds"] = list(point.explicit_bounds)
        detail["buckets"] = list(point.bucket_counts)
    elif isinstance(point, ExponentialPoint):
        detail["scale"] = point.scale
        detail["zero_count"] = point.zero_count
        for key, buckets in (("positive", point.positive), ("negative", point.negative)):
            if buckets.bucket_counts:
                detail[key] = list(buckets.bucket_counts)
                detail[key + "_offset"] = buckets.offset
    elif isinstance(point, SummaryPoint):
        detail["quantiles"] = [[pair.quantile, pair.value] for pair in point.quantile_values]
    if point.flags & 1:
        detail["no_recorded_value"] = True
    return detail


def _attributes(pairs: Iterable[KeyValue]) -> Attributes:
    attributes: Attributes = {}
    for pair in pairs:
        given = pair.value
        which = given.WhichOneof("value")
        attributes[pair.key] = getattr(given, which) if which in _PLAIN else _value(given)
    return attributes


def _value(given: AnyValue, depth: int = 0) -> Value:
    which = given.WhichOneof("value")
    if which in _PLAIN:
        plain: Value = getattr(given, which)
        return plain
    if depth > ATTRIBUTE_DEPTH_MAX:
        return None
    if which == "array_value":
        return [_value(part, depth + 1) for part in given.array_value.values]
    if which == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in given.kvlist_value.values}
    return given.bytes_value if which == "bytes_value" else None
