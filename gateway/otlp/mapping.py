"""Which sender a record is from, and what its records become.

A name with a sender's prefix decides, else the resource does. Every record becomes at least one
event: what a sender's own mapping does not know is kept as it came.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import EventId, SessionId, derived
from gateway.otlp import claude_code, codex, coercion, gemini, genai, generic, points
from gateway.otlp.metered import METRICS
from gateway.otlp.reading import ExportedRecord, Program, RequestContext, Sender, first, sender_of
from gateway.otlp.records import ExportedSpan, LogRecord, Origin, Point

UNNAMED_LOG: Final = "log"
UNNAMED_SPAN: Final = "span"
PREFIXES: Final = (
    (claude_code.PREFIX, claude_code.PROGRAM),
    (codex.PREFIX, codex.PROGRAM),
    (gemini.PREFIX, gemini.PROGRAM),
)


class Senders(Struct):
    """The senders of one request, each found once."""

    request: RequestContext
    found: dict[tuple[int, str], Sender] = field(default_factory=dict)

    def of(self, origin: Origin, name: str) -> Sender:
        """Return who sent a record of this name."""
        program = program_of(origin, name)
        key = (id(origin), program.source)
        sender = self.found.get(key)
        if sender is None:
            sender = sender_of(program, origin, self.request.tenant)
            self.found[key] = sender
        return sender


def program_of(origin: Origin, name: str) -> Program:
    """Return the kind of sender that a record is from."""
    for prefix, program in PREFIXES:
        if name.startswith(prefix):
            return program
    service = coercion.written(origin.resource.get("service.name"))
    if service in claude_code.SERVICES or origin.scope.startswith(claude_code.SCOPE):
        return claude_code.PROGRAM
    if service.lower().startswith(codex.SERVICE_PREFIXES):
        return codex.PROGRAM
    return gemini.PROGRAM if service == gemini.SERVICE else genai.PROGRAM


def log_events(
    records: Sequence[tuple[Origin, LogRecord]], request: RequestContext
) -> Iterator[AgentEvent]:
    """Yield the events of log records, at least one each."""
    senders = Senders(request)
    for origin, record in records:
        name = _log_name(record)
        sender = senders.of(origin, name)
        if sender.program is claude_code.PROGRAM and not name.startswith(claude_code.PREFIX):
            name = claude_code.PREFIX + name
        reading = _log_reading(request, sender, record, name)
        event = _log_event(reading) or generic.observed_log(
            reading, record, bare=bool(sender.program.agent)
        )
        yield event
        yield from _said_to_service(request, sender, event)


def span_events(
    records: Sequence[tuple[Origin, ExportedSpan]], request: RequestContext
) -> Iterator[AgentEvent]:
    """Yield the events of spans, one each; a span without a session has its trace's."""
    senders = Senders(request)
    family = claude_code.Family()
    sessions: dict[str, SessionId] = {}
    for origin, span in records:
        family.add(span)
        keys = senders.of(origin, span.name).program.keys
        named = coercion.session_id(first(span.attributes, keys.session))
        if named:
            sessions.setdefault(span.trace_id, named)
    request.lineage.learn(
        request.tenant,
        (
            (span, genai.has_usage(span.attributes))
            for origin, span in records
            if senders.of(origin, span.name).program is genai.PROGRAM
        ),
    )
    for origin, span in records:
        sender = senders.of(origin, span.name)
        reading = _span_reading(request, sender, span, sessions)
        event = _span_event(reading, span, family) or generic.observed_span(
            reading, span, bare=bool(sender.program.agent)
        )
        yield event
        yield from _said_to_service(request, sender, event)


def point_events(
    records: Sequence[tuple[Origin, Point]], request: RequestContext
) -> Iterator[AgentEvent]:
    """Yield the events of metric points, at least one each."""
    senders = Senders(request)
    for origin, point in records:
        sender = senders.of(origin, point.metric.name)
        series = points.series_of(sender.digest, point)
        time_ns = point.time_ns or request.received_ms * 1_000_000
        reading = ExportedRecord(
            request=request,
            sender=sender,
            name=coercion.name(point.metric.name),
            attributes=point.attributes,
            at_ms=coercion.epoch_ms(time_ns),
            event_id=derived(request.tenant, "point", series, point.start_ns, time_ns),
            session_id=_session(sender, point.attributes),
        )
        if sender.program is genai.PROGRAM and reading.name in METRICS:
            metered = request.lineage.metered
            yield from metered.by_metric(request.tenant, reading.session_id, request.received_ms)
        yield from points.events(reading, point, series)


def _said_to_service(
    request: RequestContext, sender: Sender, event: AgentEvent
) -> list[AgentEvent]:
    """Return what there is to say to the session of a service of what its record told."""
    if sender.program is not genai.PROGRAM:
        return []
    return request.lineage.metered.by_span(sender.session_id, event)


def _log_name(record: LogRecord) -> str:
    named = record.event_name or coercion.written(record.attributes.get("event.name"))
    if not named and isinstance(record.body, str):
        named = next((record.body for prefix, _ in PREFIXES if record.body.startswith(prefix)), "")
    return coercion.name(named) or UNNAMED_LOG


def _log_reading(
    request: RequestContext, sender: Sender, record: LogRecord, name: str
) -> ExportedRecord:
    session_id = _session(sender, record.attributes)
    time_ns = record.time_ns or record.observed_ns
    at_ms = coercion.epoch_ms(time_ns) if time_ns else None
    if at_ms is None:
        at_ms = coercion.moment_ms(record.attributes.get("event.timestamp"))
    return ExportedRecord(
        request=request,
        sender=sender,
        name=name,
        attributes=record.attributes,
        at_ms=request.received_ms if at_ms is None else at_ms,
        event_id=_log_id(request, sender, record, name),
        session_id=session_id,
    )


def _log_id(request: RequestContext, sender: Sender, record: LogRecord, name: str) -> EventId:
    """Return the id of a log record: its place in its session, else all that it says.

    A record that says the same as another of its request is told from it by how often it came;
    one without any time is told by its receipt, since nothing else tells it from a later one.
    """
    given = record.attributes
    session = first(given, sender.program.keys.session)
    sequence = given.get("event.sequence")
    stamp = given.get("event.timestamp") or record.time_ns
    if session is not None and sequence is not None and stamp:
        place = (coercion.written(session), coercion.written(stamp), coercion.written(sequence))
        return derived(request.tenant, "log", *place, name)
    natural = derived(
        request.tenant,
        "log",
        sender.digest,
        record.time_ns or record.observed_ns or coercion.written(stamp or request.received_ms),
        name,
        coercion.json_of([record.body, given, record.severity]),
        record.trace_id,
        record.span_id,
    )
    number = request.once_more(natural)
    return derived(natural, number) if number else natural


def _log_event(reading: ExportedRecord) -> AgentEvent | None:
    program = reading.sender.program
    if program is claude_code.PROGRAM:
        return claude_code.log_event(reading)
    if program is codex.PROGRAM:
        return codex.log_event(reading)
    if program is gemini.PROGRAM:
        return gemini.log_event(reading)
    return genai.log_event(reading)


def _span_reading(
    request: RequestContext, sender: Sender, span: ExportedSpan, sessions: dict[str, SessionId]
) -> ExportedRecord:
    ended_ns = span.end_ns or span.start_ns
    own = coercion.session_id(first(span.attributes, sender.program.keys.session))
    return ExportedRecord(
        request=request,
        sender=sender,
        name=coercion.name(span.name) or UNNAMED_SPAN,
        attributes=span.attributes,
        at_ms=coercion.epoch_ms(ended_ns) if ended_ns else request.received_ms,
        event_id=derived(request.tenant, "span", span.trace_id, span.span_id),
        session_id=own or sessions.get(span.trace_id) or sender.session_id,
    )


def _span_event(
    reading: ExportedRecord, span: ExportedSpan, family: claude_code.Family
) -> AgentEvent | None:
    program = reading.sender.program
    if program is claude_code.PROGRAM:
        return claude_code.span_event(reading, span, family)
    if program is genai.PROGRAM:
        is_sum = reading.request.lineage.is_above(reading.request.tenant, span)
        return genai.span_event(reading, span, is_sum=is_sum)
    return None


def _session(sender: Sender, attributes: dict[str, coercion.Value]) -> SessionId:
    return coercion.session_id(first(attributes, sender.program.keys.session)) or sender.session_id
