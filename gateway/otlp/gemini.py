"""Gemini CLI's log events as events of ours.

Cached content is part of the input; thoughts and tool tokens are outside of both input and output
unless the total says otherwise. Its GenAI records repeat what its own events say, so they are kept
as they came and counted from neither.
"""

from collections.abc import Callable
from typing import Final

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentFinished,
    AgentStarted,
    ContextCompacted,
    ModeChanged,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionStarted,
    ToolDecided,
    ToolFinished,
    TurnFinished,
)
from analytics.contracts.facts import Source
from gateway.otlp.failures import kind_of
from gateway.otlp.reading import ExportedRecord, Keys, Program
from gateway.otlp.tokens import gemini_tokens, without_cache

PROGRAM: Final = Program(
    source=Source.GEMINI,
    agent="gemini-cli",
    keys=Keys(user=("user.email",), agent_type=("agent_name", "agent.name")),
)
PREFIX: Final = "gemini_cli."
SERVICE: Final = "gemini-cli"
UNPREFIXED: Final = frozenset({"approval_mode_switch", "approval_mode_duration", "plan_execution"})


def log_event(reading: ExportedRecord) -> AgentEvent | None:
    """Return the event that a log event stands for, or `None` where it has no other of ours."""
    make = _LOGS.get(reading.name.removeprefix(PREFIX))
    return make(reading) if make else None


def _config(reading: ExportedRecord) -> AgentEvent:
    return SessionStarted(**reading.common(), how="startup", model=reading.word("model"))


def _user_prompt(reading: ExportedRecord) -> AgentEvent:
    common = reading.common()
    if common["prompt_id"] == common["session_id"]:
        common["prompt_id"] = ""  # without a terminal every prompt of a session has its id
    return PromptSubmitted(
        **common,
        length=reading.amount("prompt_length"),
        text=reading.content("prompt"),
    )


def _api_response(reading: ExportedRecord) -> AgentEvent:
    cached = reading.amount("cached_content_token_count")
    thoughts = reading.amount("thoughts_token_count")
    given, output = gemini_tokens(
        given=reading.amount("input_token_count"),
        output=reading.amount("output_token_count"),
        thoughts=thoughts,
        tool=reading.amount("tool_token_count"),
        total=reading.amount("total_token_count"),
    )
    tokens = without_cache(given, cached, 0)
    return RequestFinished(
        **reading.common(),
        model=reading.word("model", "model_name"),
        input_tokens=tokens.input,
        cache_read_tokens=tokens.cache_read,
        output_tokens=output,
        reasoning_tokens=min(thoughts, output),
        duration_ms=reading.count("duration_ms", "duration"),
        stop_reason=_reasons(reading),
    )


def _reasons(reading: ExportedRecord) -> str:
    given = reading.attributes.get("finish_reasons")
    if isinstance(given, list):
        return str(given[-1]) if given else ""
    return reading.word("finish_reasons")


def _api_error(reading: ExportedRecord) -> AgentEvent:
    status_code = reading.count("status_code", "http.status_code")
    told = reading.word("error.message", "error", "error_type", "error.type")
    return RequestFailed(
        **reading.common(),
        model=reading.word("model_name", "model"),
        status_code=status_code,
        kind=kind_of(status_code, told),
        duration_ms=reading.count("duration", "duration_ms"),
        error=reading.error("error.message", "error", "error_type", "error.type"),
    )


def _tool_call(reading: ExportedRecord) -> AgentEvent:
    if reading.word("decision") == "reject":
        return ToolDecided(
            **reading.common(),
            tool=reading.word("function_name"),
            tool_use_id=reading.word("call_id", "gen_ai.tool.call.id"),
            accepted=False,
            by="person",
        )
    return ToolFinished(
        **reading.common(),
        tool=reading.word("function_name"),
        tool_use_id=reading.word("call_id", "gen_ai.tool.call.id"),
        succeeded=reading.flag("success") is not False,
        duration_ms=reading.count("duration_ms"),
        error_type=reading.word("error_type"),
        error=reading.error("error"),
        result_bytes=reading.amount("content_length"),
        mcp_server=reading.word("mcp_server_name"),
        summary=reading.content("function_args"),
    )


def _agent_started(reading: ExportedRecord) -> AgentEvent:
    return AgentStarted(**reading.common())


def _agent_finished(reading: ExportedRecord) -> AgentEvent:
    return AgentFinished(**reading.common(), duration_ms=reading.count("duration_ms"))


def _compression(reading: ExportedRecord) -> AgentEvent:
    return ContextCompacted(
        **reading.common(),
        trigger=reading.word("trigger"),
        before_tokens=reading.amount("tokens_before"),
        after_tokens=reading.amount("tokens_after"),
    )


def _mode_switch(reading: ExportedRecord) -> AgentEvent:
    return ModeChanged(
        **reading.common(), from_mode=reading.word("from_mode"), to_mode=reading.word("to_mode")
    )


def _conversation_finished(reading: ExportedRecord) -> AgentEvent:
    return TurnFinished(**reading.common())


_LOGS: Final[dict[str, Callable[[ExportedRecord], AgentEvent | None]]] = {
    "config": _config,
    "user_prompt": _user_prompt,
    "api_response": _api_response,
    "api_error": _api_error,
    "tool_call": _tool_call,
    "agent.start": _agent_started,
    "agent.finish": _agent_finished,
    "chat_compression": _compression,
    "approval_mode_switch": _mode_switch,
    "conversation_finished": _conversation_finished,
}
