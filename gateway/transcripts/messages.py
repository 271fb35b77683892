"""What a line of a transcript says, as an event: answers, failures, tool calls, prompts."""

from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentObserved,
    ContextCompacted,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    ToolDecided,
    ToolFinished,
    ToolStarted,
)
from analytics.contracts.ids import derived
from gateway.hooks.tools import lines_changed, mcp_server_of
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.content import Budget, scalars
from gateway.otlp.failures import kind_of
from gateway.otlp.reading import Common
from gateway.transcripts.lines import Aside, TranscriptLine, Usage

SYNTHETIC: Final = "<synthetic>"
"""The model of messages that the agent wrote itself."""
NOT_ASKED: Final = (
    "Caveat: The messages below",
    "<local-command-stdout>",
    "<local-command-stderr>",
    "<bash-stdout>",
    "<bash-stderr>",
    "<system-reminder>",
    "<task-notification>",
    "[Request interrupted by user",
)
"""How texts begin that stand on a user's line without a person having asked for anything."""
SHOWN: Final[frozenset[str]] = frozenset({"level", "content", "durationMs"})
"""What is kept of a line that the agent wrote about itself."""
REJECTED: Final = "The user doesn't want to"
"""How the result of a tool call begins that a person did not allow."""

_COMMAND: Final = ("<command-name>", "</command-name>")


class AssistantLine(Struct, frozen=True):
    """One line of a model's answer: the last of its pair counts."""

    common: Common
    key: str
    """What tells it from others."""
    request_id: str
    message_id: str
    model: str
    usage: Usage
    asides: tuple[Aside, ...]
    cost_nanousd: int | None
    query_source: str
    skill: str
    mcp_server: str
    stop_reason: str
    text: str


class PendingToolCall(Struct, frozen=True):
    """A tool call that waits for its result."""

    tool: str
    at_ms: int
    given: Value
    input_digest: str


def is_failure(line: TranscriptLine) -> bool:
    """Say whether a line on the model's side tells of a request that failed."""
    return line.flag("isApiErrorMessage")


def is_synthetic(line: TranscriptLine) -> bool:
    """Say whether the agent wrote a message itself, in a model's place."""
    return line.message.get("model") == SYNTHETIC


def pair_of(line: TranscriptLine) -> str:
    """Return what tells an answer from others: its ids, in whichever file it stands."""
    message_id, request_id = _message_id(line), line.word("requestId")
    if message_id and request_id:
        return f"{message_id}\0{request_id}"
    return message_id or request_id or line.origin or coercion.digest_of(line.fields)


def _message_id(line: TranscriptLine) -> str:
    return coercion.name(line.message.get("id"))


def answer(line: TranscriptLine, common: Common, *, keep_content: bool) -> AssistantLine:
    """Return what a line says of a model's answer."""
    return AssistantLine(
        common=common,
        key=pair_of(line),
        request_id=line.word("requestId"),
        message_id=_message_id(line) or line.origin,
        model=coercion.name(line.message.get("model")),
        usage=line.usage,
        asides=line.asides,
        cost_nanousd=coercion.nanousd(line.fields.get("costUSD")),
        query_source="subagent" if common["agent_id"] else "main",
        skill=line.word("attributionSkill"),
        mcp_server=line.word("attributionMcpServer"),
        stop_reason=coercion.name(line.message.get("stop_reason")),
        text=Budget().text(line.text) if keep_content else "",
    )


def finished(given: AssistantLine) -> AgentEvent:
    """Return the event of an answer; its id holds its counts, so that a grown one is new."""
    common = given.common.copy()
    usage = given.usage
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        given.model,
        given.stop_reason,
    )
    common["id"] = derived(common["id"], *counts)
    return RequestFinished(
        **common,
        request_id=given.request_id,
        message_id=given.message_id,
        model=given.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        speed=usage.speed,
        service_tier=usage.service_tier,
        web_searches=usage.web_searches,
        cost_nanousd=given.cost_nanousd,
        query_source=given.query_source,
        skill=given.skill,
        mcp_server=given.mcp_server,
        stop_reason=given.stop_reason,
        text=given.text,
    )


def beside(given: AssistantLine) -> list[AgentEvent]:
    """Return the events of what an answer took beside its own tokens, each a request of its own."""
    return [
        finished(
            msgspec.structs.replace(
                given,
                common=_aside_common(given, f"{given.key}/{number}"),
                key=f"{given.key}/{number}",
                request_id=coercion.name(f"{given.request_id or given.message_id}/{number}"),
                message_id=coercion.name(f"{given.message_id}/{number}"),
                model=aside.model or given.model,
                usage=aside.usage,
                cost_nanousd=None,
                query_source=aside.kind,
                stop_reason="",
                text="",
            )
        )
        for number, aside in enumerate(given.asides, start=1)
    ]


def _aside_common(given: AssistantLine, key: str) -> Common:
    common = given.common.copy()
    common["id"] = derived(common["id"], key)
    return common


def failure(line: TranscriptLine, common: Common, *, keep_content: bool) -> AgentEvent:
    """Return the event of a request that failed."""
    model = coercion.name(line.message.get("model"))
    status_code = coercion.count(line.fields.get("apiErrorStatus"))
    told = line.word("error") or line.text
    return RequestFailed(
        **common,
        request_id=line.word("requestId"),
        message_id=line.origin,
        model="" if model == SYNTHETIC else model,
        status_code=status_code,
        kind=kind_of(status_code, told),
        query_source="subagent" if common["agent_id"] else "main",
        error=coercion.error_text(line.text, whole=keep_content),
    )


def call(line: TranscriptLine, block: dict[str, Value]) -> PendingToolCall:
    """Return the tool call that a part of an answer asks for."""
    given = block.get("input")
    return PendingToolCall(
        tool=coercion.name(block.get("name")),
        at_ms=line.at_ms,
        given=given,
        input_digest="" if given is None else coercion.digest_of(given),
    )


def tool_started(
    given: PendingToolCall, common: Common, tool_use_id: str, *, keep_content: bool
) -> AgentEvent:
    """Return the event of a tool call."""
    return ToolStarted(
        **common,
        tool=given.tool,
        tool_use_id=tool_use_id,
        input_digest=given.input_digest,
        mcp_server=mcp_server_of(given.tool),
        summary=Budget().text(given.given) if keep_content else "",
    )


def tool_finished(
    line: TranscriptLine,
    block: dict[str, Value],
    started: PendingToolCall | None,
    common: Common,
    *,
    keep_content: bool,
) -> AgentEvent:
    """Return the event of a tool's result, or of the refusal that stands in its place."""
    tool = started.tool if started else ""
    tool_use_id = coercion.name(block.get("tool_use_id"))
    failed = coercion.flag(block.get("is_error")) is True
    told = _told(block.get("content"))
    if failed and told.startswith(REJECTED):
        return ToolDecided(
            **common, tool=tool, tool_use_id=tool_use_id, accepted=False, by="user_reject"
        )
    given = started.given if started else None
    added, removed = lines_changed(tool, given, line.fields.get("toolUseResult"))
    return ToolFinished(
        **common,
        tool=tool,
        tool_use_id=tool_use_id,
        succeeded=not failed,
        duration_ms=max(line.at_ms - started.at_ms, 0) if started else None,
        error=coercion.error_text(told, whole=keep_content) if failed else "",
        input_digest=started.input_digest if started else "",
        input_bytes=coercion.size_of(given),
        result_bytes=coercion.size_of(block.get("content")),
        lines_added=0 if failed else added,
        lines_removed=0 if failed else removed,
        mcp_server=mcp_server_of(tool),
        summary=Budget().text(given) if keep_content else "",
    )


def is_prompt(line: TranscriptLine) -> bool:
    """Say whether a user's line is one that a person asked something with."""
    if line.flag("isMeta") or line.flag("isCompactSummary") or line.flag("isSidechain"):
        return False
    if any(block.get("type") == "tool_result" for block in line.blocks):
        return False
    return bool(line.blocks) and not line.text.lstrip().startswith(NOT_ASKED)


def prompt(line: TranscriptLine, common: Common, *, keep_content: bool) -> AgentEvent:
    """Return the event of a prompt."""
    text = line.text
    return PromptSubmitted(
        **common,
        length=coercion.units(text),
        command=_command(text),
        text=Budget().text(text) if keep_content else "",
        message_id=line.origin,
    )


def system(line: TranscriptLine, common: Common, *, keep_content: bool) -> AgentEvent:
    """Return the event of a line that the agent wrote about itself."""
    subtype = line.word("subtype")
    detail = line.fields.get("compactMetadata")
    if subtype == "compact_boundary":
        given = detail if isinstance(detail, dict) else {}
        return ContextCompacted(
            **common,
            trigger=coercion.name(given.get("trigger")),
            before_tokens=coercion.count(given.get("preTokens")) or 0,
            after_tokens=coercion.count(given.get("postTokens")) or 0,
        )
    shown = {key: value for key, value in line.fields.items() if key in SHOWN}
    return AgentObserved(
        **common,
        name=coercion.name(f"transcript.system.{subtype}" if subtype else "transcript.system"),
        attributes=scalars(shown, Budget(), keep_content=keep_content),
    )


def _command(text: str) -> str:
    opening, closing = _COMMAND
    if opening in text:
        return coercion.name(text.partition(opening)[2].partition(closing)[0].strip().lstrip("/"))
    return ""


def _told(content: Value) -> str:
    """Return the text of a tool's result, which is a text or a list of parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return coercion.written(content)
