"""Spans and events by the GenAI conventions, old names and new, as events of ours.

Cached tokens are part of the input there. A log event that repeats what its span says is counted
only where the response's id tells that both are one request; an agent's span sums up what its
requests already said, so it brings no tokens.
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
from gateway import values
from gateway.otlp.failures import kind_of
from gateway.otlp.generic import duration_ms
from gateway.otlp.reading import Keys, Program, Reading
from gateway.otlp.records import Span
from gateway.otlp.tokens import without_cache

PROGRAM: Final = Program(
    source=Source.OTEL,
    keys=Keys(
        session=("session.id", "gen_ai.conversation.id", "conversation.id"),
        user=("user.email", "enduser.id", "user.name", "user.id"),
        agent_id=("gen_ai.agent.id", "agent_id"),
        agent_type=("gen_ai.agent.name", "agent.name"),
    ),
)
PREFIX: Final = "gen_ai."

_REQUESTS: Final = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
_INPUT: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
_OUTPUT: Final = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")
_CACHE_READ: Final = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
)
_CACHE_WRITE: Final = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
)
_REASONING: Final = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
)


def span_event(reading: Reading, span: Span) -> AgentEvent | None:
    """Return the event that a span stands for, or `None` where it has no other of ours."""
    took = duration_ms(span)
    match reading.word("gen_ai.operation.name"):
        case "execute_tool":
            return _tool(reading, span, took)
        case "invoke_agent":
            model = reading.word("gen_ai.response.model", "gen_ai.request.model")
            return AgentFinished(**reading.common(), duration_ms=took, model=model)
        case operation if operation in _REQUESTS or (not operation and _has_usage(reading)):
            return _failed(reading, span, took) if span.failed else _finished(reading, took)
        case _:
            return None


def log_event(reading: Reading) -> AgentEvent | None:
    """Return the request that a log event tells of, where it can be told from its span's."""
    if not reading.word("gen_ai.response.id") or not _has_usage(reading):
        return None
    return _finished(reading, None)


def _has_usage(reading: Reading) -> bool:
    return bool(reading.word(*_INPUT) or reading.word(*_OUTPUT))


def _finished(reading: Reading, took: int | None) -> AgentEvent:
    tokens = without_cache(
        reading.amount(*_INPUT), reading.amount(*_CACHE_READ), reading.amount(*_CACHE_WRITE)
    )
    output = reading.amount(*_OUTPUT)
    return RequestFinished(
        **reading.common(),
        request_id=reading.word("gen_ai.response.id"),
        model=reading.word("gen_ai.response.model", "gen_ai.request.model"),
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        output_tokens=output,
        reasoning_tokens=min(reading.amount(*_REASONING), output),
        cost_nanousd=values.nanousd(reading.attributes.get("gen_ai.usage.cost")),
        duration_ms=took,
        ttft_ms=_first_chunk_ms(reading),
        stop_reason=_reason(reading),
    )


def _first_chunk_ms(reading: Reading) -> int | None:
    seconds = values.real(reading.attributes.get("gen_ai.response.time_to_first_chunk"))
    return None if seconds is None else values.count(seconds * 1000)


def _reason(reading: Reading) -> str:
    given = reading.attributes.get("gen_ai.response.finish_reasons")
    return values.name(given[-1]) if isinstance(given, list) and given else values.name(given)


def _failed(reading: Reading, span: Span, took: int | None) -> AgentEvent:
    status_code = reading.count("http.response.status_code", "http.status_code")
    told = " ".join(filter(None, (reading.word("error.type"), span.status_message)))
    if status_code is None:
        status_code = _status_in(reading.word("error.type"))
    return RequestFailed(
        **reading.common(),
        request_id=reading.word("gen_ai.response.id"),
        model=reading.word("gen_ai.response.model", "gen_ai.request.model"),
        status_code=status_code,
        kind=kind_of(status_code, told),
        duration_ms=took,
        error=values.error_text(told, whole=reading.request.keep_content),
    )


def _status_in(error_type: str) -> int | None:
    return (
        int(error_type)
        if error_type.isascii() and error_type.isdigit() and len(error_type) == 3
        else None
    )


def _tool(reading: Reading, span: Span, took: int | None) -> AgentEvent:
    failed = span.failed or bool(reading.word("error.type"))
    return ToolFinished(
        **reading.common(),
        tool=reading.word("gen_ai.tool.name"),
        tool_use_id=reading.word("gen_ai.tool.call.id", "call_id"),
        succeeded=not failed,
        duration_ms=took,
        error_type=reading.word("error.type"),
        error=values.error_text(span.status_message, whole=reading.request.keep_content),
        summary=reading.content("gen_ai.tool.call.arguments"),
    )
