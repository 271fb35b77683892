"""What a line of a transcript says, as an event: answers, failures, tool calls, prompts."""

from typing import Final

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
from gateway import values
from gateway.otlp.content import Budget, scalars
from gateway.otlp.failures import kind_of
from gateway.otlp.reading import Common
from gateway.tools import lines_changed, mcp_server_of
from gateway.transcripts.lines import Line, Usage
from gateway.values import Value

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


class Answer(Struct, frozen=True):
    """One line of a model's answer: the last of its pair counts."""

    common: Common
    request_id: str
    model: str
    usage: Usage
    cost_nanousd: int | None
    query_source: str
    skill: str
    mcp_server: str
    stop_reason: str
    text: str


class Call(Struct, frozen=True):
    """A tool call that waits for its result."""

    tool: str
    at_ms: int
    given: Value
    input_digest: str


def is_failure(line: Line) -> bool:
    """Say whether a line on the model's side tells of a request that failed."""
    return line.flag("isApiErrorMessage")


def is_synthetic(line: Line) -> bool:
    """Say whether the agent wrote a message itself, in a model's place."""
    return line.message.get("model") == SYNTHETIC


def pair_of(line: Line) -> tuple[str, str]:
    """Return what tells an answer from others, and the id by which other sources know it."""
    message_id = values.name(line.message.get("id"))
    request_id = line.word("requestId")
    if message_id and request_id:
        return f"{message_id}\0{request_id}", request_id
    alone = message_id or request_id or line.uuid or values.digest_of(line.fields)
    return alone, alone


def answer(line: Line, common: Common, request_id: str, *, keep_content: bool) -> Answer:
    """Return what a line says of a model's answer."""
    return Answer(
        common=common,
        request_id=request_id,
        model=values.name(line.message.get("model")),
        usage=line.usage,
        cost_nanousd=values.nanousd(line.fields.get("costUSD")),
        query_source="subagent" if common["agent_id"] else "main",
        skill=line.word("attributionSkill"),
        mcp_server=line.word("attributionMcpServer"),
        stop_reason=values.name(line.message.get("stop_reason")),
        text=Budget().text(line.text) if keep_content else "",
    )


def finished(given: Answer) -> AgentEvent:
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
        model=given.model,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cost_nanousd=given.cost_nanousd,
        query_source=given.query_source,
        skill=given.skill,
        mcp_server=given.mcp_server,
        stop_reason=given.stop_reason,
        text=given.text,
    )


def failure(line: Line, common: Common, *, keep_content: bool) -> AgentEvent:
    """Return the event of a request that failed."""
    model = values.name(line.message.get("model"))
    status_code = values.count(line.fields.get("apiErrorStatus"))
    told = line.word("error") or line.text
    return RequestFailed(
        **common,
        model="" if model == SYNTHETIC else model,
        status_code=status_code,
        kind=kind_of(status_code, told),
        query_source="subagent" if common["agent_id"] else "main",
        error=values.error_text(line.text, whole=keep_content),
    )


def call(line: Line, block: dict[str, Value]) -> Call:
    """Return the tool call that a part of an answer asks for."""
    given = block.get("input")
    return Call(
        tool=values.name(block.get("name")),
        at_ms=line.at_ms,
        given=given,
        input_digest="" if given is None else values.digest_of(given),
    )


def tool_started(
    given: Call, common: Common, tool_use_id: str, *, keep_content: bool
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
    line: Line,
    block: dict[str, Value],
    started: Call | None,
    common: Common,
    *,
    keep_content: bool,
) -> AgentEvent:
    """Return the event of a tool's result, or of the refusal that stands in its place."""
    tool = started.tool if started else ""
    tool_use_id = values.name(block.get("tool_use_id"))
    failed = values.flag(block.get("is_error")) is True
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
        error=values.error_text(told, whole=keep_content) if failed else "",
        input_digest=started.input_digest if started else "",
        input_bytes=values.size_of(given),
        result_bytes=values.size_of(block.get("content")),
        lines_added=0 if failed else added,
        lines_removed=0 if failed else removed,
        mcp_server=mcp_server_of(tool),
        summary=Budget().text(given) if keep_content else "",
    )


def is_prompt(line: Line) -> bool:
    """Say whether a user's line is one that a person asked something with."""
    if line.flag("isMeta") or line.flag("isCompactSummary") or line.flag("isSidechain"):
        return False
    if any(block.get("type") == "tool_result" for block in line.blocks):
        return False
    return bool(line.blocks) and not line.text.lstrip().startswith(NOT_ASKED)


def prompt(line: Line, common: Common, *, keep_content: bool) -> AgentEvent:
    """Return the event of a prompt."""
    text = line.text
    named = common.copy()
    named["prompt_id"] = common["prompt_id"] or line.uuid
    return PromptSubmitted(
        **named,
        length=len(text),
        command=_command(text),
        text=Budget().text(text) if keep_content else "",
    )


def system(line: Line, common: Common, *, keep_content: bool) -> AgentEvent:
    """Return the event of a line that the agent wrote about itself."""
    subtype = line.word("subtype")
    detail = line.fields.get("compactMetadata")
    if subtype == "compact_boundary":
        given = detail if isinstance(detail, dict) else {}
        return ContextCompacted(
            **common,
            trigger=values.name(given.get("trigger")),
            before_tokens=values.count(given.get("preTokens")) or 0,
            after_tokens=values.count(given.get("postTokens")) or 0,
        )
    shown = {key: value for key, value in line.fields.items() if key in SHOWN}
    return AgentObserved(
        **common,
        name=values.name(f"transcript.system.{subtype}" if subtype else "transcript.system"),
        attributes=scalars(shown, Budget(), keep_content=keep_content),
    )


def _command(text: str) -> str:
    opening, closing = _COMMAND
    if opening in text:
        return values.name(text.partition(opening)[2].partition(closing)[0].strip().lstrip("/"))
    return ""


def _told(content: Value) -> str:
    """Return the text of a tool's result, which is a text or a list of parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return values.written(content)
