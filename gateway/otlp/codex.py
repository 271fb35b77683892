"""Codex CLI's log events as events of ours.

Tokens come only with a `response.completed` that has counts: over HTTP a bare one is logged before
it. Cached input is part of the input and reasoning part of the output, and `tool_token_count`
repeats the total, so it is not added. Spans are plumbing, and repeat what the logs say. Codex names
no request and no cost. Every failed attempt is a failure of its own, since none says that it was
the last.
"""

from collections.abc import Callable
from typing import Final

from analytics.contracts.agent_events import (
    AgentEvent,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionStarted,
    ToolDecided,
    ToolFinished,
)
from analytics.contracts.facts import Source
from gateway.otlp.failures import kind_of
from gateway.otlp.reading import ExportedRecord, Keys, Program
from gateway.otlp.tokens import without_cache

PROGRAM: Final = Program(
    source=Source.CODEX,
    agent="codex",
    keys=Keys(session=("conversation.id", "session.id")),
)
PREFIX: Final = "codex."
SERVICE_PREFIXES: Final = ("codex_", "codex-", "codex ")
"""How the names of its programs begin: codex_cli_rs, codex_exec, codex-tui, Codex Desktop …"""

_REFUSALS: Final = frozenset({"denied", "abort"})
_ENDPOINTS: Final = ("responses", "compact", "completions", "messages")
"""How the addresses of model requests end; others, such as /models, are no requests of a model."""
_TOKENS: Final = ("input_token_count", "output_token_count")
_CACHE_WRITE: Final = (
    "cache_write_token_count", "cache_creation_token_count", "cache_write_input_token_count",
)  # fmt: skip
_FAILED_KINDS: Final = frozenset({"response.failed", "response.incomplete", "error"})


def log_event(reading: ExportedRecord) -> AgentEvent | None:
    """Return the event that a log event stands for, or `None` where it has no other of ours."""
    make = _LOGS.get(reading.name.removeprefix(PREFIX))
    return make(reading) if make else None


def _conversation_starts(reading: ExportedRecord) -> AgentEvent:
    return SessionStarted(
        **reading.common(),
        how="startup",
        model=reading.word("model", "slug"),
        cwd=reading.word("cwd"),
    )


def _request(reading: ExportedRecord) -> AgentEvent | None:
    """Return a failed attempt; one that worked is told by its `response.completed`."""
    endpoint = reading.word("endpoint").rstrip("/")
    if endpoint and not endpoint.endswith(_ENDPOINTS):
        return None
    status_code = reading.count("http.response.status_code", "status_code", "status")
    failed = (
        reading.flag("success") is False
        or bool(reading.word("error.message"))
        or (status_code or 0) >= 400
    )
    return _failure(reading, status_code) if failed else None


def _stream_event(reading: ExportedRecord) -> AgentEvent | None:
    kind = reading.word("event.kind")
    if kind == "response.completed" and not reading.word("error.message"):
        return _completed(reading) if reading.word(*_TOKENS) else None
    if kind in _FAILED_KINDS or reading.word("error.message"):
        return _failure(reading, None)
    return None


def _completed(reading: ExportedRecord) -> AgentEvent:
    tokens = without_cache(
        reading.amount("input_token_count"),
        reading.amount("cached_token_count"),
        reading.amount(*_CACHE_WRITE),
    )
    return RequestFinished(
        **reading.common(),
        model=reading.word("model", "slug"),
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        output_tokens=reading.amount("output_token_count"),
        reasoning_tokens=reading.amount("reasoning_token_count"),
        duration_ms=reading.count("duration_ms"),
    )


def _failure(reading: ExportedRecord, status_code: int | None) -> AgentEvent:
    return RequestFailed(
        **reading.common(),
        model=reading.word("model", "slug"),
        status_code=status_code,
        kind=kind_of(status_code, reading.word("error.message")),
        attempts=reading.amount("attempt"),
        duration_ms=reading.count("duration_ms"),
        error=reading.error("error.message"),
    )


def _user_prompt(reading: ExportedRecord) -> AgentEvent:
    return PromptSubmitted(
        **reading.common(),
        length=reading.amount("prompt_length"),
        text=reading.content("prompt"),
    )


def _tool_decision(reading: ExportedRecord) -> AgentEvent:
    return ToolDecided(
        **reading.common(),
        tool=reading.word("tool_name"),
        tool_use_id=reading.word("call_id"),
        accepted=reading.word("decision").lower() not in _REFUSALS,
        by=reading.word("source").lower(),
    )


def _tool_result(reading: ExportedRecord) -> AgentEvent:
    succeeded = reading.flag("success") is not False
    output = reading.word("output")
    return ToolFinished(
        **reading.common(),
        tool=reading.word("tool_name"),
        tool_use_id=reading.word("call_id"),
        succeeded=succeeded,
        duration_ms=reading.count("duration_ms"),
        error="" if succeeded or not output else reading.error("output"),
        mcp_server=reading.word("mcp_server"),
        summary=reading.content("arguments"),
    )


_LOGS: Final[dict[str, Callable[[ExportedRecord], AgentEvent | None]]] = {
    "conversation_starts": _conversation_starts,
    "api_request": _request,
    "websocket_request": _request,
    "sse_event": _stream_event,
    "websocket_event": _stream_event,
    "user_prompt": _user_prompt,
    "tool_decision": _tool_decision,
    "tool_result": _tool_result,
}
