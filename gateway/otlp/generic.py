"""Records that map to nothing more: kept as they came, under the name they came with."""

from typing import Final

from analytics.contracts.agent_events import AgentObserved
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.content import scalars, without_content
from gateway.otlp.reading import ExportedRecord
from gateway.otlp.records import Attributes, ExportedSpan, LogRecord

BODY_LENGTH_MAX: Final = 16_384
"""Characters of a log record's body that are kept."""

CARRIED: Final = frozenset(
    {
        "session.id", "event.name", "event.timestamp", "event.sequence", "prompt.id", "user.email",
        "app.version", "service.name", "service.version", "conversation.id",
    }
)  # fmt: skip
"""Attributes that an event of a sender that is known carries in fields of its own."""


def observed_log(
    reading: ExportedRecord, record: LogRecord, *, bare: bool = False
) -> AgentObserved:
    """Return a log record as it came; `bare` leaves out what an event's own fields carry."""
    return AgentObserved(
        **reading.common(),
        name=reading.name,
        body=_body(reading, record),
        severity=coercion.name(record.severity),
        duration_ms=reading.count("duration_ms"),
        trace_id=record.trace_id,
        span_id=record.span_id,
        attributes=kept(reading, reading.attributes, bare=bare),
    )


def observed_span(
    reading: ExportedRecord, span: ExportedSpan, *, bare: bool = False
) -> AgentObserved:
    """Return a span as it came, with its events and links."""
    extra: Attributes = {}
    for key, parts in (("span.events", span.events), ("span.links", span.links)):
        if parts:
            shown: list[Value] = parts if reading.request.keep_content else without_content(parts)
            extra[key] = shown
    if span.status_message:
        extra["status.message"] = span.status_message
    return AgentObserved(
        **reading.common(),
        name=reading.name,
        severity="error" if span.failed else "",
        duration_ms=duration_ms(span),
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        attributes=kept(reading, {**reading.attributes, **extra}, bare=bare),
    )


def duration_ms(span: ExportedSpan) -> int | None:
    """Return how long a span took, or `None` where it does not say."""
    if not span.start_ns or span.end_ns < span.start_ns:
        return None
    return coercion.count((span.end_ns - span.start_ns) // 1_000_000)


def kept(
    reading: ExportedRecord, attributes: Attributes, *, bare: bool
) -> dict[str, str | int | float | bool | None]:
    """Return a record's attributes, and its resource's, as an event holds them."""
    given = {**reading.sender.resource, **attributes}
    if bare:
        given = {key: value for key, value in given.items() if key not in CARRIED}
    request = reading.request
    return scalars(given, request.budget, keep_content=request.keep_content)


def _body(reading: ExportedRecord, record: LogRecord) -> str:
    if record.body is None or record.body == reading.name:
        return ""
    if reading.name.startswith("gen_ai.") and not reading.request.keep_content:
        return ""
    return reading.request.budget.text(record.body, BODY_LENGTH_MAX)
