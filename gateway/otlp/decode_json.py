"""OTLP/JSON to records: the JSON of protobuf with OTLP's own rules on top.

Ids are hex (not base64, as protobuf's own mapping would have it), 64-bit numbers come as text or as
numbers, keys are lowerCamelCase, enums are numbers, unknown fields pass. Records are read one by
one, so that a broken one is refused and its neighbours are not; only a body without the shape of a
request raises `BadBody`.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from analytics.contracts import clean
from analytics.contracts.errors import BadBody
from gateway.otlp import json_wire
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
    RecordT,
    Shape,
    Unreadable,
    finite,
    is_id,
    severity_of,
    span_ids,
)

_BROKEN: Final = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    ValueError,
    OverflowError,
)


class _Given(Struct, frozen=True):
    """A scope's records, with the origin, or the reason why that could not be read."""

    origin: Origin
    raws: list[Raw]
    broken: str = ""


_request: Final = msgspec.json.Decoder(json_wire.ExportRequest)
_resource: Final = msgspec.json.Decoder(json_wire.OtlpResource | None)
_scope: Final = msgspec.json.Decoder(json_wire.InstrumentationScope | None)
_log: Final = msgspec.json.Decoder(json_wire.LogLine)
_span: Final = msgspec.json.Decoder(json_wire.SpanLine)
_metric: Final = msgspec.json.Decoder(json_wire.MetricLine)
_point: Final = msgspec.json.Decoder(json_wire.PointLine)


def logs(body: bytes) -> ExportBatch[LogRecord]:
    """Return the log records of an export request."""
    groups = _asked(body).resource_logs or []
    return _each(((group.resource, group.scope_logs, "log_records") for group in groups), _read_log)


def spans(body: bytes) -> ExportBatch[ExportedSpan]:
    """Return the spans of an export request."""
    groups = _asked(body).resource_spans or []
    return _each(((group.resource, group.scope_spans, "spans") for group in groups), _read_span)


def points(body: bytes) -> ExportBatch[Point]:
    """Return the points of all metrics of an export request."""
    batch: ExportBatch[Point] = ExportBatch()
    groups = _asked(body).resource_metrics or []
    for given in _given((group.resource, group.scope_metrics, "metrics") for group in groups):
        for raw in given.raws:
            if given.broken:
                batch.refuse(given.broken, bytes(raw))
            else:
                _read_metric(batch, given.origin, raw)
    return batch


_Groups = Iterator[tuple[Raw, list[json_wire.ScopeGroup] | None, str]]
_ReadT = TypeVar("_ReadT")


def _asked(body: bytes) -> json_wire.ExportRequest:
    try:
        return clean.decoded(_request.decode, body)
    except _BROKEN as error:
        raise BadBody(f"the body is no OTLP/JSON request: {error}") from error


def _each(groups: _Groups, read: Callable[[Raw], RecordT]) -> ExportBatch[RecordT]:
    batch: ExportBatch[RecordT] = ExportBatch()
    for given in _given(groups):
        for raw in given.raws:
            if given.broken:
                batch.refuse(given.broken, bytes(raw))
                continue
            try:
                batch.take(given.origin, read(raw))
            except _BROKEN as error:
                batch.refuse(str(error), bytes(raw))
    return batch


def _given(groups: _Groups) -> Iterator[_Given]:
    """Yield each scope's records; a resource or scope that is broken breaks only its own."""
    for resource_raw, scopes, name in groups:
        attributes: Attributes = {}
        broken = ""
        try:
            resource = (
                clean.decoded(_resource.decode, bytes(resource_raw)) or json_wire.OtlpResource()
            )
            attributes = _attributes(resource.attributes)
        except _BROKEN as error:
            broken = f"the resource cannot be read: {error}"
        for group in scopes or []:
            raws: list[Raw] = getattr(group, name) or []
            try:
                scope = (
                    clean.decoded(_scope.decode, bytes(group.scope))
                    or json_wire.InstrumentationScope()
                )
            except _BROKEN as error:
                yield _Given(Origin(), raws, f"the scope cannot be read: {error}")
                continue
            origin = Origin(
                resource=attributes, scope=scope.name or "", scope_version=scope.version or ""
            )
            yield _Given(origin, raws, broken)


def _read_log(raw: Raw) -> LogRecord:
    record = clean.decoded(_log.decode, bytes(raw))
    trace_id = (record.trace_id or "").lower()
    span_id = (record.span_id or "").lower()
    return LogRecord(
        event_name=record.event_name or "",
        time_ns=_whole(record.time_unix_nano),
        observed_ns=_whole(record.observed_time_unix_nano),
        severity=severity_of(record.severity_text or "", record.severity_number or 0),
        body=_value(record.body),
        attributes=_attributes(record.attributes),
        trace_id=trace_id if is_id(trace_id, 32) else "",
        span_id=span_id if is_id(span_id, 16) else "",
    )


def _read_span(raw: Raw) -> ExportedSpan:
    span = clean.decoded(_span.decode, bytes(raw))
    trace_id, span_id = span_ids((span.trace_id or "").lower(), (span.span_id or "").lower())
    parent_id = (span.parent_span_id or "").lower()
    status = span.status or json_wire.SpanStatus()
    return ExportedSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_id if is_id(parent_id, 16) else "",
        name=span.name or "",
        start_ns=_whole(span.start_time_unix_nano),
        end_ns=_whole(span.end_time_unix_nano),
        failed=status.code == STATUS_ERROR,
        status_message=status.message or "",
        attributes=_attributes(span.attributes),
        events=[
            {
                "name": event.name or "",
                "time_ns": _whole(event.time_unix_nano),
                **_attributes(event.attributes),
            }
            for event in span.events or []
        ],
        links=[
            {
                "trace_id": (link.trace_id or "").lower(),
                "span_id": (link.span_id or "").lower(),
                **_attributes(link.attributes),
            }
            for link in span.links or []
        ],
    )


def _read_metric(batch: ExportBatch[Point], origin: Origin, raw: Raw) -> None:
    try:
        given = clean.decoded(_metric.decode, bytes(raw))
        metric, data = _metric_of(given)
    except _BROKEN as error:
        batch.refuse(str(error), bytes(raw))
        return
    for point_raw in data.data_points or []:
        try:
            batch.take(origin, _read_point(metric, point_raw))
        except _BROKEN as error:
            batch.refuse(str(error), bytes(point_raw))


def _metric_of(given: json_wire.MetricLine) -> tuple[Metric, json_wire.Data]:
    if not given.name:
        raise Unreadable("a metric has no name")
    shaped = (
        (Shape.SUM, given.sum),
        (Shape.GAUGE, given.gauge),
        (Shape.HISTOGRAM, given.histogram),
        (Shape.EXPONENTIAL, given.exponential_histogram),
        (Shape.SUMMARY, given.summary),
    )
    for shape, data in shaped:
        if data is not None:
            metric = Metric(
                name=given.name,
                unit=given.unit or "",
                shape=shape,
                cumulative=shape is Shape.SUMMARY or data.aggregation_temporality == CUMULATIVE,
                monotonic=bool(data.is_monotonic) or shape not in {Shape.SUM, Shape.GAUGE},
            )
            return metric, data
    raise Unreadable(f"metric {given.name!r} has no data of a kind that is known")


def _read_point(metric: Metric, raw: Raw) -> Point:
    point = clean.decoded(_point.decode, bytes(raw))
    simple = metric.shape in {Shape.SUM, Shape.GAUGE}
    given = (point.as_int if point.as_double is None else point.as_double) if simple else point.sum
    if given is None and metric.shape is Shape.SUMMARY:
        given = 0
    return Point(
        metric=metric,
        value=finite(None if given is None else float(given)),
        start_ns=_whole(point.start_time_unix_nano),
        time_ns=_whole(point.time_unix_nano),
        attributes=_attributes(point.attributes),
        count=None if simple else _whole(point.count),
        detail=_detail(point, metric.shape),
    )


def _detail(point: json_wire.PointLine, shape: Shape) -> dict[str, Value]:
    detail: dict[str, Value] = {}
    for key, number in (("min", point.min), ("max", point.max)):
        if number is not None:
            detail[key] = float(number)
    if shape is Shape.HISTOGRAM:
        detail["bounds"] = [float(bound) for bound in point.explicit_bounds or []]
        detail["buckets"] = [int(number) for number in point.bucket_counts or []]
    elif shape is Shape.EXPONENTIAL:
        detail["scale"] = point.scale or 0
        detail["zero_count"] = _whole(point.zero_count)
        for key, buckets in (("positive", point.positive), ("negative", point.negative)):
            counts = (buckets and buckets.bucket_counts) or []
            if counts:
                detail[key] = [int(number) for number in counts]
                detail[key + "_offset"] = (buckets and buckets.offset) or 0
    elif shape is Shape.SUMMARY:
        detail["quantiles"] = [
            [float(pair.quantile or 0), float(pair.value or 0)]
            for pair in point.quantile_values or []
        ]
    if (point.flags or 0) & 1:
        detail["no_recorded_value"] = True
    return detail


def _attributes(pairs: list[json_wire.KeyValue] | None) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs or []}


def _value(given: json_wire.AnyValue | None, depth: int = 0) -> Value:
    if given is None:
        return None
    if given.string_value is not None:
        return given.string_value
    if given.bool_value is not None:
        return given.bool_value
    if given.int_value is not None:
        return _whole(given.int_value)
    if given.double_value is not None:
        return float(given.double_value)
    return None if depth > ATTRIBUTE_DEPTH_MAX else _composed(given, depth)


def _composed(given: json_wire.AnyValue, depth: int) -> Value:
    if given.array_value is not None:
        return [_value(part, depth + 1) for part in given.array_value.values or []]
    if given.kvlist_value is not None:
        pairs = given.kvlist_value.values or []
        return {pair.key: _value(pair.value, depth + 1) for pair in pairs}
    if given.bytes_value is not None:
        try:
            return base64.b64decode(given.bytes_value, validate=True)
        except binascii.Error as error:
            raise Unreadable(f"bytesValue is no base64: {error}") from error
    return None


def _whole(number: json_wire.Number) -> int:
    return 0 if number is None else int(number)
