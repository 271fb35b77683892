"""Tool calls in a Codex rollout: what a call was given, and what tells how it ended.

The end is told by an item or an event of its own, by a field of the output, or only in the output's
text, from version to version.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.transcripts.events import ToolCall, ToolResult

CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "tool_search_call"}
)
OUTPUTS: Final = frozenset(
    {"function_call_output", "custom_tool_call_output", "tool_search_output"}
)
WHOLE: Final = frozenset({"web_search_call", "image_generation_call"})
"""Calls that are told once, when they are done."""
ENDS: Final = frozenset(
    {"exec_command_end", "mcp_tool_call_end", "patch_apply_end", "dynamic_tool_call_response"}
)
ITEMS: Final = frozenset(
    {"CommandExecution", "McpToolCall", "FileChange", "CollabAgentToolCall", "DynamicToolCall"}
)
HEAD_LENGTH: Final = 2_000
"""Characters of an output in which the words on its end are looked for."""
PATCH: Final = "apply_patch"

_EXIT: Final = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d+)", re.MULTILINE)
_REFUSED: Final = re.compile(r"^(?:exec command |patch )?rejected by (?:the )?user", re.IGNORECASE)
_FAILED_TEXT: Final = ("unsupported call", "failed to parse function arguments")
_FAILED_STATES: Final = frozenset({"failed", "error", "declined", "denied"})


class End(Struct, frozen=True, kw_only=True):
    """What a line says of a call's end."""

    key: str
    failed: bool | None
    duration_ms: int | None = None
    server: str = ""
    lines_added: int = 0
    lines_removed: int = 0


def tool_of(payload: dict[str, Value]) -> str:
    """Return the name of the tool that a call is of."""
    kind = coercion.name(payload.get("type"))
    return coercion.name(payload.get("name")) or kind.removesuffix("_call")


def given_to(payload: dict[str, Value]) -> Value:
    """Return what a call was given: JSON in a text is read."""
    for key in ("arguments", "input", "action"):
        given = payload.get(key)
        if given is not None:
            return _decoded(given)
    return None


def patched(given: Value) -> tuple[int, int]:
    """Return the lines that a patch adds and removes."""
    if not isinstance(given, str) or "*** Begin Patch" not in given:
        return 0, 0
    lines = given.splitlines()
    return (
        sum(line.startswith("+") for line in lines),
        sum(line.startswith("-") for line in lines),
    )


def end_of(payload: dict[str, Value]) -> End | None:
    """Return what an item or an event says of a call's end."""
    key = coercion.name(payload.get("call_id") or payload.get("id"))
    if not key:
        return None
    invocation = payload.get("invocation")
    named = invocation if isinstance(invocation, dict) else payload
    return End(
        key=key,
        failed=_failed(payload),
        duration_ms=_duration_ms(payload.get("duration")),
        server=coercion.name(named.get("server")),
    )


def learn(call: ToolCall, end: End) -> None:
    """Let a call know what a line says of its end."""
    if end.failed is not None:
        call.failed = end.failed
    if call.duration_ms is None:
        call.duration_ms = end.duration_ms
    call.server = call.server or end.server


def result_of(payload: dict[str, Value], call: ToolCall | None) -> ToolResult:
    """Return how a call came back, by its output and what was told of its end before."""
    output = payload.get("output")
    text = _text_of(output)
    told = call.failed if call is not None else None
    failed = _failed_by(output, text) if told is None else told
    refused = _REFUSED.match(text.lstrip()) is not None
    return ToolResult(
        failed=failed or refused, refused=refused, error=text if failed else "", content=output
    )


def _failed(payload: dict[str, Value]) -> bool | None:
    code = payload.get("exit_code")
    if isinstance(code, int):
        return code != 0
    success = payload.get("success")
    if isinstance(success, bool):
        return not success
    status = payload.get("status")
    if isinstance(status, str):
        return status.lower() in _FAILED_STATES or payload.get("error") is not None
    result = payload.get("result")
    if isinstance(result, dict):
        return "Err" in result or _is_error(result.get("Ok"))
    return None


def _is_error(result: Value) -> bool:
    return isinstance(result, dict) and (result.get("isError") or result.get("is_error")) is True


def _failed_by(output: Value, text: str) -> bool:
    if isinstance(output, dict) and isinstance(output.get("success"), bool):
        return output["success"] is False
    document = _decoded(text) if text.startswith("{") else None
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if isinstance(metadata, dict) and isinstance(metadata.get("exit_code"), int):
        return metadata["exit_code"] != 0
    code = _EXIT.search(text[:HEAD_LENGTH])
    return int(code[1]) != 0 if code else text.startswith(_FAILED_TEXT)


def _text_of(output: Value) -> str:
    if isinstance(output, dict):
        output = output.get("content")
    if isinstance(output, list):
        parts = (part.get("text") for part in output if isinstance(part, dict))
        return "\n".join(part for part in parts if isinstance(part, str))
    return coercion.written(output)


def _decoded(given: Value) -> Value:
    if not isinstance(given, str) or not given.startswith("{"):
        return given
    try:
        decoded: Value = msgspec.json.decode(given)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return given
    return decoded


def _duration_ms(given: Value) -> int | None:
    if not isinstance(given, dict):
        return None
    seconds, nanos = coercion.count(given.get("secs")), coercion.count(given.get("nanos"))
    return None if seconds is None else seconds * 1_000 + (nanos or 0) // 1_000_000
