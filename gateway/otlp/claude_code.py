"""Claude Code's log events and spans as events of ours.

The same request arrives as a log event and as a span; both carry `request_id` (else
`client_request_id`) by which they are merged. Where the API gives no id, neither does: the event of
a span says that a trace told it, so that it is merged with what the log tells alike. The log
`api_retries_exhausted` comes beside the last `api_error` and is kept as it came, so that one
failure counts once.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct, field, structs

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentFinished,
    ContextCompacted,
    McpChanged,
    ModeChanged,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SkillUsed,
    ToolDecided,
    ToolFinished,
)
from analytics.contracts.facts import Source
from gateway.otlp import coercion
from gateway.otlp.failures import kind_of
from gateway.otlp.generic import duration_ms
from gateway.otlp.reading import ExportedRecord, Program
from gateway.otlp.records import ExportedSpan

PROGRAM: Final = Program(source=Source.CLAUDE_CODE, agent="claude-code")
SERVICES: Final = frozenset({"claude-code", "claude-code-desktop"})
PREFIX: Final = "claude_code."
SCOPE: Final = "com.anthropic.claude_code"
_TELLING: Final = ("request_id", "client_request_id", "input_tokens", "output_tokens")
"""A span with none of these could not be told from the log event of its request."""
SPAN: Final = "span"
"""The signal of what a trace told."""


def log_event(reading: ExportedRecord) -> AgentEvent | None:
    """Return the event that a log event stands for, or `None` where it has no other of ours."""
    make = _LOGS.get(reading.name.removeprefix(PREFIX))
    return make(reading) if make else None


class Family(Struct):
    """The spans of one request, by id and by parent: what belongs to a call is told in several."""

    by_id: dict[str, ExportedSpan] = field(default_factory=dict)
    by_parent: dict[str, list[ExportedSpan]] = field(default_factory=dict)

    def add(self, span: ExportedSpan) -> None:
        """Take in a span."""
        self.by_id[span.span_id] = span
        if span.parent_span_id:
            self.by_parent.setdefault(span.parent_span_id, []).append(span)


def span_event(reading: ExportedRecord, span: ExportedSpan, family: Family) -> AgentEvent | None:
    """Return the event that a span stands for, or `None` where it has no other of ours."""
    if reading.name == PREFIX + "llm_request":
        return _llm_request(reading, span)
    if reading.name == PREFIX + "tool":
        return _tool(reading, family.by_parent.get(span.span_id, []))
    if reading.name == PREFIX + "tool.blocked_on_user":
        return _blocked(reading, span, family.by_id.get(span.parent_span_id))
    return None


def _user_prompt(reading: ExportedRecord) -> AgentEvent:
    return PromptSubmitted(
        **reading.common(),
        length=reading.amount("prompt_length"),
        command=reading.word("command_name"),
        text=reading.content("prompt"),
        message_id=reading.word("message.uuid"),
    )


def _api_request(reading: ExportedRecord) -> RequestFinished:
    return RequestFinished(
        **reading.common(),
        request_id=reading.word("request_id"),
        client_request_id=reading.word("client_request_id"),
        model=reading.word("model"),
        input_tokens=reading.amount("input_tokens"),
        output_tokens=reading.amount("output_tokens"),
        cache_read_tokens=reading.amount("cache_read_tokens"),
        cache_write_tokens=reading.amount("cache_creation_tokens"),
        cost_nanousd=_cost(reading),
        duration_ms=reading.count("duration_ms"),
        ttft_ms=reading.count("ttft_ms"),
        query_source=reading.word("query_source"),
        skill=reading.word("skill.name"),
        mcp_server=reading.word("mcp_server.name"),
        stop_reason=reading.word("stop_reason"),
        speed=reading.word("speed"),
    )


def _cost(reading: ExportedRecord) -> int | None:
    stated = coercion.nanousd(reading.attributes.get("cost_usd"))
    if stated is not None:
        return stated
    micros = reading.count("cost_usd_micros")
    return None if micros is None else min(micros * 1_000, coercion.COUNT_MAX)


def _api_error(reading: ExportedRecord) -> RequestFailed:
    status_code = reading.count("status_code")
    return RequestFailed(
        **reading.common(),
        request_id=reading.word("request_id"),
        client_request_id=reading.word("client_request_id"),
        model=reading.word("model"),
        status_code=status_code,
        kind=kind_of(status_code, reading.word("error")),
        attempts=reading.amount("attempt"),
        duration_ms=reading.count("duration_ms"),
        query_source=reading.word("query_source"),
        skill=reading.word("skill.name"),
        error=reading.error("error"),
    )


def _api_refusal(reading: ExportedRecord) -> AgentEvent | None:
    if reading.flag("server_fallback_hop"):
        return None
    return RequestFailed(
        **reading.common(),
        request_id=reading.word("request_id"),
        client_request_id=reading.word("client_request_id"),
        model=reading.word("model"),
        kind="refusal",
        attempts=reading.amount("attempt"),
        query_source=reading.word("query_source"),
        skill=reading.word("skill.name"),
        error=reading.error("category"),
    )


def _tool_decision(reading: ExportedRecord) -> AgentEvent:
    return ToolDecided(
        **reading.common(),
        tool=reading.word("tool_name"),
        tool_use_id=reading.word("tool_use_id"),
        accepted=reading.word("decision") != "reject",
        by=reading.word("source"),
    )


def _tool_result(reading: ExportedRecord) -> AgentEvent:
    return ToolFinished(
        **reading.common(),
        tool=reading.word("tool_name"),
        tool_use_id=reading.word("tool_use_id"),
        succeeded=reading.flag("success") is not False,
        duration_ms=reading.count("duration_ms"),
        error_type=reading.word("error_type"),
        error=reading.error("error"),
        input_bytes=reading.amount("tool_input_size_bytes"),
        result_bytes=reading.amount("tool_result_size_bytes"),
        mcp_server=reading.word("mcp_server.name", "mcp_server_name"),
        skill=reading.word("skill.name", "skill_name"),
        summary=reading.content("tool_parameters", "tool_input"),
    )


def _mode_changed(reading: ExportedRecord) -> AgentEvent:
    return ModeChanged(
        **reading.common(), from_mode=reading.word("from_mode"), to_mode=reading.word("to_mode")
    )


def _subagent_completed(reading: ExportedRecord) -> AgentEvent:
    fields = reading.common()
    fields["agent_type"] = reading.word("agent_type") or fields["agent_type"]
    return AgentFinished(
        **fields,
        duration_ms=reading.count("duration_ms"),
        tools=reading.amount("total_tool_uses"),
        model=reading.word("final_model", "model"),
    )


def _compaction(reading: ExportedRecord) -> AgentEvent:
    return ContextCompacted(
        **reading.common(),
        trigger=reading.word("trigger"),
        before_tokens=reading.amount("pre_tokens"),
        after_tokens=reading.amount("post_tokens"),
    )


def _skill_activated(reading: ExportedRecord) -> AgentEvent:
    return SkillUsed(**reading.common(), skill=reading.word("skill.name"))


def _mcp_connection(reading: ExportedRecord) -> AgentEvent:
    return McpChanged(
        **reading.common(),
        mcp_server=reading.word("server_name", "mcp_server.name"),
        status=reading.word("status"),
    )


_LOGS: Final[dict[str, Callable[[ExportedRecord], AgentEvent | None]]] = {
    "user_prompt": _user_prompt,
    "api_request": _api_request,
    "api_error": _api_error,
    "api_refusal": _api_refusal,
    "tool_decision": _tool_decision,
    "tool_result": _tool_result,
    "permission_mode_changed": _mode_changed,
    "subagent_completed": _subagent_completed,
    "compaction": _compaction,
    "skill_activated": _skill_activated,
    "mcp_server_connection": _mcp_connection,
}


def _llm_request(reading: ExportedRecord, span: ExportedSpan) -> AgentEvent | None:
    failed = reading.flag("success") is False or span.failed
    if not failed and not reading.word(*_TELLING):
        return None
    if "duration_ms" not in reading.attributes:
        reading.attributes["duration_ms"] = duration_ms(span)
    made = _api_error(reading) if failed else _api_request(reading)
    return structs.replace(made, signal=SPAN)


def _blocked(
    reading: ExportedRecord, span: ExportedSpan, call: ExportedSpan | None
) -> AgentEvent | None:
    """Return the decision that a person was waited for, where its call came along."""

    def told(key: str) -> str:
        return coercion.name(call.attributes.get(key)) if call else ""

    tool_use_id = reading.word("tool_use_id") or told("tool_use_id")
    if not tool_use_id:
        return None
    waited_ms = reading.count("duration_ms")
    return ToolDecided(
        **reading.common(),
        tool=reading.word("tool_name") or told("tool_name"),
        tool_use_id=tool_use_id,
        accepted=reading.word("decision") != "reject",
        by=reading.word("source"),
        waited_ms=duration_ms(span) if waited_ms is None else waited_ms,
    )


def _tool(reading: ExportedRecord, children: list[ExportedSpan]) -> AgentEvent | None:
    """Return a tool's end where its execution came along; a refused call has none."""
    runs = [child for child in children if child.name == PREFIX + "tool.execution"]
    if not runs or not reading.word("tool_use_id"):
        return None
    run = runs[-1]
    worked = coercion.flag(run.attributes.get("success"))
    took = coercion.count(run.attributes.get("duration_ms"))
    return ToolFinished(
        **reading.common(),
        tool=reading.word("tool_name"),
        tool_use_id=reading.word("tool_use_id"),
        succeeded=not run.failed if worked is None else worked,
        duration_ms=duration_ms(run) if took is None else took,
        error=coercion.error_text(run.attributes.get("error"), whole=reading.request.keep_content),
        skill=reading.word("skill.name", "skill_name"),
        summary=reading.content("full_command", "file_path"),
    )
