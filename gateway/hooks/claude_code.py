"""What a coding agent tells through its hooks, as events of ours.

A hook carries no time and no id: its time is the receipt, and its id comes from what it is about
(a tool call, whichever settings file or plugin sent the hook) or else from the receipt and the
payload. Hooks that say nothing that is counted, and hooks that are not known, are kept as
`agent.observed` under `hook.<name>`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from analytics.contracts import clean
from analytics.contracts.agent_events import (
    AgentEvent,
    AgentFinished,
    AgentObserved,
    AgentStarted,
    AttentionNeeded,
    ContextCompacted,
    PromptSubmitted,
    RequestFailed,
    SessionEnded,
    SessionStarted,
    TaskCreated,
    TaskFinished,
    ToolDecided,
    ToolFinished,
    ToolStarted,
    TurnFinished,
)
from analytics.contracts.errors import BadBody
from analytics.contracts.facts import Source
from analytics.contracts.ids import EventId, SessionId, TenantId, derived
from gateway.hooks.tools import lines_changed, mcp_server_of
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.content import Budget, scalars
from gateway.otlp.failures import kind_of
from gateway.otlp.reading import Common, first

AGENT: Final = "claude-code"
UNNAMED: Final = "unnamed"
TOOL_HOOKS: Final = frozenset(
    {"PreToolUse", "PermissionDenied", "PostToolUse", "PostToolUseFailure"}
)
"""The hooks that are about one tool call and are told apart by it."""
ENDING_TOO: Final = frozenset({"StopFailure"})
"""Hooks that tell of something else and in the same breath that the turn is over."""
CONTENT_KEYS: Final = frozenset(
    {
        "prompt", "tool_input", "tool_response", "tool_calls", "last_assistant_message", "delta",
        "compact_summary", "custom_instructions", "task_description", "content", "command_args",
        "requested_schema", "background_tasks", "session_crons", "permission_suggestions", "error",
        "error_details",
    }
)  # fmt: skip
"""Fields of a hook that hold what people, models and tools said."""
COMMON_KEYS: Final = frozenset(
    {"session_id", "prompt_id", "hook_event_name", "agent_id", "agent_type"}
)
"""Fields that an event carries in fields of its own."""
REASONS: Final = {
    "permission_prompt": "permission",
    "idle_prompt": "idle",
    "agent_needs_input": "input",
}
"""Why a notification asks for a person; other kinds are a reason of their own."""
NO_ASKING: Final = frozenset({"auth_success", "agent_completed"})
"""Notifications that ask nothing of anybody."""


NOTHING_LOST: Final[Mapping[str, int]] = MappingProxyType({})


class Hook(Struct, frozen=True):
    """One hook on its way to an event."""

    fields: dict[str, Value]
    common: Common
    budget: Budget
    keep_content: bool
    lost: Mapping[str, int]

    def word(self, key: str) -> str:
        """Return a field as a name; empty where it is not there."""
        return coercion.name(self.fields.get(key))

    def content(self, key: str) -> str:
        """Return a field where contents are kept, else empty text."""
        return self.budget.text(self.fields.get(key)) if self.keep_content else ""

    def size(self, key: str) -> int:
        """Return how many bytes a field had as it was sent."""
        return coercion.size_of(self.fields.get(key)) + self.lost.get(key, 0)

    def text(self, key: str) -> str:
        """Return a field as text within the limits."""
        return self.budget.text(self.fields.get(key))


def read_hook(
    payload: bytes,
    *,
    tenant: TenantId,
    received_ms: int,
    keep_content: bool = False,
    lost: Mapping[str, int] = NOTHING_LOST,
) -> tuple[AgentEvent, ...]:
    """Return the events of one hook; raise `BadBody` if the payload is no JSON object.

    Prompts, answers and what tools were given are left out unless `keep_content`.
    `lost` says how many bytes of which field were cut off before.
    """
    fields = _decoded(payload)
    kind = coercion.name(fields.get("hook_event_name")) or UNNAMED
    hook = Hook(
        fields=fields,
        common=_common(fields, kind, tenant, received_ms),
        budget=Budget(),
        keep_content=keep_content,
        lost=lost,
    )
    make = HOOKS.get(kind)
    event = (make(hook) if make else None) or _observed(hook, kind)
    return (event, _turn_finished(_after(hook))) if kind in ENDING_TOO else (event,)


def _after(hook: Hook) -> Hook:
    """Return the hook as what it tells in the second place, under an id of its own."""
    common = hook.common.copy()
    common["id"] = derived(hook.common["id"], "turn.finished")
    return msgspec.structs.replace(hook, common=common)


def _decoded(payload: bytes) -> dict[str, Value]:
    try:
        fields: Value = clean.decoded(msgspec.json.decode, payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody(f"a hook is a JSON object, this is not: {error}") from error
    if not isinstance(fields, dict):
        raise BadBody(f"a hook is a JSON object, this is a {type(fields).__name__}")
    return fields


def _common(fields: dict[str, Value], kind: str, tenant: TenantId, received_ms: int) -> Common:
    session_id = _session(fields, tenant)
    return Common(
        id=_id(fields, kind, session_id, tenant=tenant, received_ms=received_ms),
        tenant=tenant,
        at_ms=received_ms,
        source=Source.HOOK,
        session_id=session_id,
        project=coercion.project_of(fields.get("cwd")),
        agent=AGENT,
        version="",
        agent_id=coercion.name(fields.get("agent_id")),
        parent_agent_id=coercion.name(fields.get("parent_agent_id")),
        agent_type=coercion.name(fields.get("agent_type")),
        prompt_id=coercion.name(fields.get("prompt_id")),
        user="",
        team="",
    )


def _session(fields: dict[str, Value], tenant: TenantId) -> SessionId:
    named = coercion.session_id(fields.get("session_id"))
    if named:
        return named
    place = coercion.written(first(fields, ("transcript_path", "cwd")))
    return SessionId(f"hooks@{derived(tenant, place)[:12]}")


def _id(
    fields: dict[str, Value],
    kind: str,
    session_id: SessionId,
    *,
    tenant: TenantId,
    received_ms: int,
) -> EventId:
    tool_use_id = coercion.written(fields.get("tool_use_id"))
    if kind in TOOL_HOOKS and tool_use_id:
        return derived(tenant, "hook", session_id, kind, tool_use_id)
    if kind == "MessageDisplay":
        place = [coercion.written(fields.get(key)) for key in ("turn_id", "message_id", "index")]
        return derived(tenant, "hook", session_id, kind, *place)
    return derived(tenant, "hook", session_id, kind, received_ms, coercion.digest_of(fields))


def _observed(hook: Hook, kind: str) -> AgentEvent:
    given: dict[str, Value] = {}
    for key, value in hook.fields.items():
        if key in CONTENT_KEYS and not hook.keep_content:
            given[key + ".length"] = len(coercion.written(value))
        elif key not in COMMON_KEYS:
            given[key] = value
    attributes = scalars(given, hook.budget, keep_content=hook.keep_content)
    return AgentObserved(
        **hook.common,
        name=coercion.name(f"hook.{kind}"),
        duration_ms=coercion.count(hook.fields.get("duration_ms")),
        attributes=attributes,
    )


def _session_started(hook: Hook) -> AgentEvent:
    return SessionStarted(
        **hook.common, how=hook.word("source"), model=hook.word("model"), cwd=hook.text("cwd")
    )


def _session_ended(hook: Hook) -> AgentEvent:
    return SessionEnded(**hook.common, reason=hook.word("reason"))


def _prompt(hook: Hook) -> AgentEvent:
    prompt = coercion.written(hook.fields.get("prompt"))
    return PromptSubmitted(
        **hook.common,
        length=coercion.units(prompt),
        command=_command(prompt),
        text=hook.content("prompt"),
    )


def _command(prompt: str) -> str:
    """Return the slash command that a prompt begins with, if it does."""
    if not prompt.startswith("/"):
        return ""
    word = prompt[1:].split(maxsplit=1)[0:1]
    return coercion.name(word[0]) if word and "/" not in word[0] else ""


def _tool_started(hook: Hook) -> AgentEvent:
    return ToolStarted(
        **hook.common,
        tool=hook.word("tool_name"),
        tool_use_id=hook.word("tool_use_id"),
        input_digest=_input_digest(hook),
        mcp_server=mcp_server_of(hook.word("tool_name")),
        summary=hook.content("tool_input"),
    )


def _tool_finished(hook: Hook) -> AgentEvent:
    return _finished(hook, succeeded=True)


def _tool_failed(hook: Hook) -> AgentEvent:
    return _finished(hook, succeeded=False)


def _finished(hook: Hook, *, succeeded: bool) -> AgentEvent:
    response = hook.fields.get("tool_response")
    added, removed = lines_changed(hook.word("tool_name"), hook.fields.get("tool_input"), response)
    interrupted = coercion.flag(hook.fields.get("is_interrupt"))
    return ToolFinished(
        **hook.common,
        tool=hook.word("tool_name"),
        tool_use_id=hook.word("tool_use_id"),
        succeeded=succeeded,
        duration_ms=coercion.count(hook.fields.get("duration_ms")),
        error_type="interrupt" if interrupted else "",
        error=coercion.error_text(hook.fields.get("error"), whole=hook.keep_content),
        input_digest=_input_digest(hook),
        input_bytes=hook.size("tool_input"),
        result_bytes=hook.size("tool_response"),
        lines_added=added if succeeded else 0,
        lines_removed=removed if succeeded else 0,
        mcp_server=mcp_server_of(hook.word("tool_name")),
        summary=hook.content("tool_input"),
    )


def _input_digest(hook: Hook) -> str:
    given = hook.fields.get("tool_input")
    return "" if given is None else coercion.digest_of(given)


def _permission_asked(hook: Hook) -> AgentEvent:
    tool = hook.word("tool_name")
    return AttentionNeeded(**hook.common, reason="permission", message=tool, tool=tool)


def _permission_denied(hook: Hook) -> AgentEvent:
    return ToolDecided(
        **hook.common,
        tool=hook.word("tool_name"),
        tool_use_id=hook.word("tool_use_id"),
        accepted=False,
        by="auto",
    )


def _notified(hook: Hook) -> AgentEvent | None:
    kind = hook.word("notification_type")
    if kind in NO_ASKING:
        return None
    return AttentionNeeded(
        **hook.common,
        reason=REASONS.get(kind, kind or "notification"),
        message=hook.text("message"),
    )


def _elicited(hook: Hook) -> AgentEvent:
    return AttentionNeeded(
        **hook.common, reason="elicitation", message=hook.text("mcp_server_name")
    )


def _agent_started(hook: Hook) -> AgentEvent:
    return AgentStarted(**hook.common)


def _agent_finished(hook: Hook) -> AgentEvent:
    return AgentFinished(**hook.common)


def _turn_finished(hook: Hook) -> AgentEvent:
    tasks = hook.fields.get("background_tasks")
    return TurnFinished(
        **hook.common, background_tasks=len(tasks) if isinstance(tasks, list) else 0
    )


def _turn_failed(hook: Hook) -> AgentEvent:
    error = hook.word("error")
    return RequestFailed(
        **hook.common,
        kind=kind_of(None, error),
        error=coercion.error_text(
            first(hook.fields, ("error_details", "error")), whole=hook.keep_content
        ),
    )


def _compacted(hook: Hook) -> AgentEvent:
    return ContextCompacted(**hook.common, trigger=hook.word("trigger"))


def _task_created(hook: Hook) -> AgentEvent:
    return TaskCreated(
        **hook.common, task_id=hook.word("task_id"), subject=hook.text("task_subject")
    )


def _task_finished(hook: Hook) -> AgentEvent:
    return TaskFinished(
        **hook.common, task_id=hook.word("task_id"), subject=hook.text("task_subject")
    )


def _as_it_came(hook: Hook) -> None:
    """Keep a hook that says nothing that is counted."""


HOOKS: Final[dict[str, Callable[[Hook], AgentEvent | None]]] = {
    "SessionStart": _session_started,
    "Setup": _as_it_came,
    "SessionEnd": _session_ended,
    "UserPromptSubmit": _prompt,
    "UserPromptExpansion": _as_it_came,
    "PreToolUse": _tool_started,
    "PermissionRequest": _permission_asked,
    "PermissionDenied": _permission_denied,
    "PostToolUse": _tool_finished,
    "PostToolUseFailure": _tool_failed,
    "PostToolBatch": _as_it_came,
    "Notification": _notified,
    "SubagentStart": _agent_started,
    "SubagentStop": _agent_finished,
    "Stop": _turn_finished,
    "StopFailure": _turn_failed,
    "TaskCreated": _task_created,
    "TaskCompleted": _task_finished,
    "TeammateIdle": _as_it_came,
    "PreCompact": _as_it_came,
    "PostCompact": _compacted,
    "MessageDisplay": _as_it_came,
    "InstructionsLoaded": _as_it_came,
    "ConfigChange": _as_it_came,
    "CwdChanged": _as_it_came,
    "DirectoryAdded": _as_it_came,
    "FileChanged": _as_it_came,
    "WorktreeCreate": _as_it_came,
    "WorktreeRemove": _as_it_came,
    "Elicitation": _elicited,
    "ElicitationResult": _as_it_came,
}
"""What becomes of each hook; those that are not here are kept as they came."""
