"""The shape of OTLP/JSON on the wire, for `decode_json`.

Every field may be absent or null; records, resources and scopes stay unread (`Raw`) until their
turn, so that a broken one breaks nothing but itself. Unknown fields pass.
"""

from typing import Final

from msgspec import Raw, Struct

NOTHING: Final = Raw(b"null")
"""What a resource or scope that is not there reads as."""

Number = int | float | str | None
"""A 64-bit number as JSON may carry it."""


class Array(Struct):
    """A list of values."""

    values: list["AnyValue"] | None = None


class KeyValue(Struct):
    """One attribute."""

    key: str = ""
    value: "AnyValue | None" = None


class KeyValues(Struct):
    """A map of values."""

    values: list[KeyValue] | None = None


class AnyValue(Struct, rename="camel"):
    """One value: the first field that is there."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number = None
    double_value: float | str | None = None
    array_value: Array | None = None
    kvlist_value: KeyValues | None = None
    bytes_value: str | None = None


class OtlpResource(Struct):
    """Who exports."""

    attributes: list[KeyValue] | None = None


class InstrumentationScope(Struct):
    """Which library speaks."""

    name: str | None = None
    version: str | None = None


class ScopeGroup(Struct, rename="camel"):
    """The records of one scope, unread."""

    scope: Raw = NOTHING
    log_records: list[Raw] | None = None
    spans: list[Raw] | None = None
    metrics: list[Raw] | None = None


class ResourceGroup(Struct, rename="camel"):
    """The scopes of one resource; the resource unread."""

    resource: Raw = NOTHING
    scope_logs: list[ScopeGroup] | None = None
    scope_spans: list[ScopeGroup] | None = None
    scope_metrics: list[ScopeGroup] | None = None


class ExportRequest(Struct, rename="camel"):
    """The body of an export request of any signal."""

    resource_logs: list[ResourceGroup] | None = None
    resource_spans: list[ResourceGroup] | None = None
    resource_metrics: list[ResourceGroup] | None = None


class LogLine(Struct, rename="camel"):
    """One log record."""

    time_unix_nano: Number = None
    observed_time_unix_nano: Number = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class SpanEvent(Struct, rename="camel"):
    """One event within a span."""

    time_unix_nano: Number = None
    name: str | None = None
    attributes: list[KeyValue] | None = None


class SpanLink(Struct, rename="camel"):
    """One link to another span."""

    trace_id: str | None = None
    span_id: str | None = None
    attributes: list[KeyValue] | None = None


class SpanStatus(Struct):
    """How a span ended."""

    message: str | None = None
    code: int | None = None


class SpanLine(Struct, rename="camel"):
    """One span."""

    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: Number = None
    end_time_unix_nano: Number = None
    attributes: list[KeyValue] | None = None
    events: list[SpanEvent] | None = None
    links: list[SpanLink] | None = None
    status: SpanStatus | None = None


class Data(Struct, rename="camel"):
    """The points of a metric, unread."""

    data_points: list[Raw] | None = None
    aggregation_temporality: int | None = None
    is_monotonic: bool | None = None


class MetricLine(Struct, rename="camel"):
    """One metric."""

    name: str | None = None
    unit: str | None = None
    sum: Data | None = None
    gauge: Data | None = None
    histogram: Data | None = None
    exponential_histogram: Data | None = None
    summary: Data | None = None


class Buckets(Struct, rename="camel"):
    """One side of an exponential histogram."""

    offset: int | None = None
    bucket_counts: list[int | str] | None = None


class Quantile(Struct):
    """One quantile of a summary."""

    quantile: float | str | None = None
    value: float | str | None = None


class PointLine(Struct, rename="camel"):
    """One point of any kind of metric."""

    attributes: list[KeyValue] | None = None
    start_time_unix_nano: Number = None
    time_unix_nano: Number = None
    as_double: float | str | None = None
    as_int: Number = None
    count: Number = None
    sum: float | str | None = None
    min: float | str | None = None
    max: float | str | None = None
    bucket_counts: list[int | str] | None = None
    explicit_bounds: list[float | str] | None = None
    scale: int | None = None
    zero_count: Number = None
    zero_threshold: float | str | None = None
    positive: Buckets | None = None
    negative: Buckets | None = None
    quantile_values: list[Quantile] | None = None
    flags: int | None = None
