"""What every event of ours carries, and the kinds of value it may hold.

Events hold plain values and can be in no cycle, so the garbage collector need not look at them.
"""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from analytics.contracts.ids import ID_LENGTH_MAX, EpochMs, EventId, SessionId, TenantId

TEXT_LENGTH_MAX: Final = 65_536
"""Characters a free text of an event may have; senders cut or get refused."""

Id = Annotated[str, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
Name = Annotated[str, Meta(max_length=512)]
Text = Annotated[str, Meta(max_length=TEXT_LENGTH_MAX)]
Scalar = str | int | float | bool | None


class Source(StrEnum):
    """By which ingest path an event came; the same fact may come by several and counts once."""

    CLAUDE_CODE = "claude_code"
    CODEX = "codex"
    GEMINI = "gemini"
    OTEL = "otel"
    HOOK = "hook"
    TRANSCRIPT = "transcript"
    WEBSOCKET = "websocket"
    GITHUB = "github"
    GATEWAY = "gateway"
    STREAM = "stream"


class Fact(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="type"):
    """What every event of ours carries."""

    id: Annotated[EventId, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    tenant: Annotated[TenantId, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    at_ms: EpochMs
    source: Source = Source.WEBSOCKET


class AgentFact(Fact, frozen=True, kw_only=True, omit_defaults=True):
    """What every event about a coding agent's session carries."""

    session_id: Annotated[SessionId, Meta(min_length=1, max_length=ID_LENGTH_MAX)]
    project: Name = ""
    agent: Name = ""
    """The program: `claude-code`, `codex`, `gemini-cli`, or what a sender calls itself."""
    version: Name = ""
    agent_id: Name = ""
    """The subagent within the session; empty is the main one."""
    parent_agent_id: Name = ""
    agent_type: Name = ""
    prompt_id: Name = ""
    user: Name = ""
    team: Name = ""
