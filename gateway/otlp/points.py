"""Metric points as `usage.reported`: what a sender counted itself, the other account of a session.

A sum or gauge is one event; histograms and summaries are two, their sum under the metric's own name
and their count under the name with `.count`, with smallest, largest, buckets or quantiles among the
attributes (`otel.*`). `otel.point` says what it is where it is no monotonic sum. A point without a
finite value is kept as `agent.observed`.
"""

from typing import Final

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentObserved,
    SessionStarted,
    UsageReported,
)
from analytics.contracts.ids import derived
from gateway.otlp import coercion
from gateway.otlp.aliases import Kind, kind_of
from gateway.otlp.generic import kept
from gateway.otlp.metered import METRICS
from gateway.otlp.reading import ExportedRecord
from gateway.otlp.records import Attributes, Point, Shape

SESSION_COUNT: Final = "claude_code.session.count"
SCREEN: Final = "agents_view"
"""The `start_type` of a screen, which is no session."""


def series_of(sender_digest: str, point: Point) -> str:
    """Return the digest of the running total that a point belongs to."""
    metric = point.metric
    attributes = coercion.json_of(point.attributes)
    return derived(sender_digest, metric.name, metric.unit, metric.shape, attributes)


def events(reading: ExportedRecord, point: Point, series: str) -> list[AgentEvent]:
    """Return the events of one point."""
    bare = bool(reading.sender.program.agent)
    attributes = kept(reading, {**reading.attributes, **_detail(point)}, bare=bare)
    if point.metric.name == SESSION_COUNT and reading.word("start_type") == SCREEN:
        return [_observed(reading, attributes)]
    made: list[AgentEvent] = []
    if point.value is not None and not point.detail.get("no_recorded_value"):
        made.append(_usage(reading, point, series, attributes))
    if point.count is not None:
        counted = derived(series, "count")
        summed = {**attributes, "otel.sum": point.value, "otel.unit": point.metric.unit}
        made.append(_usage(reading, point, counted, summed, count=point.count))
    if point.metric.name == SESSION_COUNT and point.value:
        made.append(_session_started(reading, point))
    return made or [_observed(reading, attributes)]


def _detail(point: Point) -> Attributes:
    detail: Attributes = {f"otel.{key}": value for key, value in point.detail.items()}
    if point.metric.shape is not Shape.SUM:
        detail["otel.point"] = str(point.metric.shape)
    elif not point.metric.monotonic:
        detail["otel.point"] = "up_down_sum"
    return detail


def _observed(
    reading: ExportedRecord, attributes: dict[str, str | int | float | bool | None]
) -> AgentObserved:
    return AgentObserved(**reading.common(), name=reading.name, attributes=attributes)


def _usage(
    reading: ExportedRecord,
    point: Point,
    series: str,
    attributes: dict[str, str | int | float | bool | None],
    count: int | None = None,
) -> UsageReported:
    metric = point.metric
    value = point.value if count is None else float(count)
    counted = count is not None
    return UsageReported(
        **reading.common("count" if counted else ""),
        metric=coercion.cut(metric.name, 500) + ".count" if counted else coercion.name(metric.name),
        value=value or 0.0,
        unit="1" if counted else coercion.name(metric.unit),
        start_ms=coercion.epoch_ms(point.start_ns),
        cumulative=metric.cumulative,
        series=series,
        kind=_kind(reading),
        model=reading.word("model", "gen_ai.response.model", "gen_ai.request.model"),
        query_source=reading.word("query_source"),
        skill=reading.word("skill.name"),
        attributes=attributes,
    )


def _kind(reading: ExportedRecord) -> str:
    """Return the type of what a point counts; an operation that is no request is its own type."""
    operation = reading.word("gen_ai.operation.name")
    if reading.name in METRICS and kind_of(operation) not in {Kind.REQUEST, Kind.UNSAID}:
        return operation
    return reading.word("type", "gen_ai.token.type")


def _session_started(reading: ExportedRecord, point: Point) -> SessionStarted:
    """Return the session that a count tells of: one, however often its total is sent again."""
    fields = reading.common()
    how = reading.word("start_type")
    fields["id"] = derived(
        fields["tenant"], "session.count", fields["session_id"], how, point.start_ns
    )
    return SessionStarted(**fields, how=how, model=reading.word("model"))
