"""Spans and events of libraries that trace model calls, under all their names, as events of ours.

Cached tokens are part of the input, unless the sender's total says that they are not. A log event
that repeats what its span says is counted only where the response's id tells that both are one
request. A span with requests below it, or of an agent, a chain or a workflow, sums up what those
already said, so it brings no tokens.
"""

from typing import Final

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentFinished,
    RequestFailed,
    RequestFinished,
    ToolFinished,
)
from analytics.contracts.facts import Source
from gateway.otlp import aliases, coercion
from gateway.otlp.aliases import Kind
from gateway.otlp.failures import kind_of
from gateway.otlp.generic import duration_ms
from gateway.otlp.reading import ExportedRecord, Keys, Program, first
from gateway.otlp.records import Attributes, ExportedSpan
from gateway.otlp.tokens import without_cache

PROGRAM: Final = Program(
    source=Source.OTEL,
    keys=Keys(
        session=aliases.SESSION,
        user=("user.email", "enduser.id", "user.name", "user.id"),
        agent_id=("gen_ai.agent.id", "agent_id"),
        agent_type=("gen_ai.agent.name", "agent.name", "agent_name"),
    ),
)
PREFIX: Final = "gen_ai."


def span_event(reading: ExportedRecord, span: ExportedSpan, *, is_sum: bool) -> AgentEvent | None:
    """Return the event that a span stands for, or `None` where it has no other of ours.

    `is_sum` says that a request is known to lie below the span: its tokens are told there.
    """
    took = duration_ms(span)
    match _kind(reading):
        case Kind.TOOL:
            return _tool(reading, span, took)
        case Kind.AGENT:
            return AgentFinished(
                **reading.common(), duration_ms=took, model=reading.word(*aliases.MODEL)
            )
        case Kind.OTHER:
            return None
        case kind if not is_sum and (kind is Kind.REQUEST or has_usage(reading.attributes)):
            return _failed(reading, span, took) if span.failed else _finished(reading, took)
        case _:
            return None


def log_event(reading: ExportedRecord) -> AgentEvent | None:
    """Return the request that a log event tells of, where it can be told from its span's."""
    if not reading.word(*aliases.RESPONSE_ID) or not has_usage(reading.attributes):
        return None
    return _finished(reading, None)


def has_usage(attributes: Attributes) -> bool:
    """Say whether a record tells how many tokens were used."""
    return first(attributes, (*aliases.INPUT, *aliases.OUTPUT)) is not None


def _kind(reading: ExportedRecord) -> Kind:
    """Return what the first operation that is known says; an agent's name alone says nothing."""
    words = (reading.word(name) for name in aliases.OPERATIONS)
    kinds = (aliases.kind_of(word) for word in words if word)
    return next((kind for kind in kinds if kind is not Kind.UNSAID), Kind.UNSAID)


def _finished(reading: ExportedRecord, took: int | None) -> AgentEvent:
    output = reading.amount(*aliases.OUTPUT)
    tokens = without_cache(
        reading.amount(*aliases.INPUT),
        reading.amount(*aliases.CACHE_READ),
        reading.amount(*aliases.CACHE_WRITE),
        output=output,
        total=reading.count(*aliases.TOTAL),
    )
    return RequestFinished(
        **reading.common(),
        request_id=reading.word(*aliases.RESPONSE_ID),
        model=reading.word(*aliases.MODEL),
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        output_tokens=output,
        reasoning_tokens=min(reading.amount(*aliases.REASONING), output),
        cost_nanousd=coercion.nanousd(first(reading.attributes, aliases.COST)),
        duration_ms=took,
        ttft_ms=_first_chunk_ms(reading),
        stop_reason=_reason(reading),
    )


def _first_chunk_ms(reading: ExportedRecord) -> int | None:
    seconds = coercion.real(reading.attributes.get("gen_ai.response.time_to_first_chunk"))
    return None if seconds is None else coercion.count(seconds * 1000)


def _reason(reading: ExportedRecord) -> str:
    given = reading.attributes.get("gen_ai.response.finish_reasons")
    return coercion.name(given[-1]) if isinstance(given, list) and given else coercion.name(given)


def _failed(reading: ExportedRecord, span: ExportedSpan, took: int | None) -> AgentEvent:
    status_code = reading.count("http.response.status_code", "http.status_code")
    told = " ".join(filter(None, (reading.word("error.type"), span.status_message)))
    if status_code is None:
        status_code = _status_in(reading.word("error.type"))
    return RequestFailed(
        **reading.common(),
        request_id=reading.word(*aliases.RESPONSE_ID),
        model=reading.word(*aliases.MODEL),
        status_code=status_code,
        kind=kind_of(status_code, told),
        duration_ms=took,
        error=coercion.error_text(told, whole=reading.request.keep_content),
    )


def _status_in(error_type: str) -> int | None:
    return (
        int(error_type)
        if error_type.isascii() and error_type.isdigit() and len(error_type) == 3
        else None
    )


def _tool(reading: ExportedRecord, span: ExportedSpan, took: int | None) -> AgentEvent:
    failed = span.failed or bool(reading.word("error.type"))
    return ToolFinished(
        **reading.common(),
        tool=reading.word(*aliases.TOOL),
        tool_use_id=reading.word(*aliases.TOOL_CALL_ID),
        succeeded=not failed,
        duration_ms=took,
        error_type=reading.word("error.type"),
        error=coercion.error_text(span.status_message, whole=reading.request.keep_content),
        summary=reading.content(*aliases.TOOL_ARGUMENTS),
    )
