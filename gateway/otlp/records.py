"""OTLP records as light values, the same whichever way they were written on the wire.

A decoder turns a body into an `ExportBatch`: what it could read, each record with where it came
from, and a `Refusal` for each that it could not. Ids are lower-case hex, empty where there is none;
times are nanoseconds since 1970, 0 where there is none.
"""

import math
from enum import StrEnum
from typing import Final, Generic, TypeVar

from msgspec import Struct, field

from gateway.otlp.coercion import Value

ATTRIBUTE_DEPTH_MAX: Final = 8
"""How deep a value may nest before the rest is left out."""

CUMULATIVE: Final = 2
"""The temporality of a running total, as OTLP numbers it."""
STATUS_ERROR: Final = 2
"""The status of a span that failed, as OTLP numbers it."""
SEVERITIES: Final = ("", "trace", "debug", "info", "warn", "error", "fatal")

Attributes = dict[str, Value]


class Refusal(Struct, frozen=True):
    """One record that could not be read, as it came, and why."""

    reason: str
    payload: bytes


class Origin(Struct, frozen=True, kw_only=True):
    """Who recorded it: the resource, and the library that spoke for it."""

    resource: Attributes = field(default_factory=dict)
    scope: str = ""
    scope_version: str = ""


class LogRecord(Struct, frozen=True, kw_only=True):
    """One log record or event."""

    event_name: str
    time_ns: int
    observed_ns: int
    severity: str
    body: Value
    attributes: Attributes
    trace_id: str
    span_id: str


class ExportedSpan(Struct, frozen=True, kw_only=True):
    """One span; its events (retries, exceptions) and links are kept as values."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    status_message: str
    attributes: Attributes
    events: list[Value]
    links: list[Value]


class Shape(StrEnum):
    """What kind of metric a point belongs to."""

    SUM = "sum"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    EXPONENTIAL = "exponential_histogram"
    SUMMARY = "summary"


class Metric(Struct, frozen=True, kw_only=True):
    """What the points of one metric share."""

    name: str
    unit: str
    shape: Shape
    cumulative: bool = False
    monotonic: bool = False


class Point(Struct, frozen=True, kw_only=True):
    """One reading: `value` of a sum or gauge; `value` (the sum) and `count` of the others."""

    metric: Metric
    value: float | None
    start_ns: int
    time_ns: int
    attributes: Attributes
    count: int | None = None
    detail: dict[str, Value] = field(default_factory=dict)
    """Smallest, largest, buckets or quantiles: what a sum and a count do not say."""


RecordT = TypeVar("RecordT", LogRecord, ExportedSpan, Point)


class ExportBatch(Struct, Generic[RecordT]):
    """What a body held, in order; `total` counts refused records too."""

    records: list[tuple[Origin, RecordT]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    total: int = 0

    def take(self, origin: Origin, record: RecordT) -> None:
        """Add a record that could be read."""
        self.total += 1
        self.records.append((origin, record))

    def refuse(self, reason: str, payload: bytes, *, records: int = 1) -> None:
        """Add what could not be read; it stands for so many `records`."""
        self.total += records
        self.refused.append(Refusal(reason, payload))


class Unreadable(ValueError):
    """One record that breaks a rule of OTLP; the text says which."""


def span_ids(trace_id: str, span_id: str) -> tuple[str, str]:
    """Return the ids of a span; raise `Unreadable` where either is not valid, as OTLP says."""
    if not is_id(trace_id, 32):
        raise Unreadable(f"trace id {trace_id!r} is not 16 bytes other than all zero")
    if not is_id(span_id, 16):
        raise Unreadable(f"span id {span_id!r} is not 8 bytes other than all zero")
    return trace_id, span_id


def is_id(text: str, length: int) -> bool:
    """Say whether a text is a valid id of so many hex digits: all zero is none."""
    if len(text) != length or not text.isascii() or not text.isalnum():
        return False
    try:
        return int(text, 16) != 0
    except ValueError:
        return False


def finite(value: float | None) -> float | None:
    """Return the number, or `None` where it is none."""
    return value if value is not None and math.isfinite(value) else None


def severity_of(text: str, number: int) -> str:
    """Return the severity as the sender named it, else the word for its number."""
    return text or SEVERITIES[(min(max(number, 0), 24) + 3) // 4]
