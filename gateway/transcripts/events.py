"""What the readers of Codex, Gemini and opencode share: figures, ids, and the events they tell.

Each thing has a name that its copies keep: what a fork or another file tells again counts once in
the figures and is told once. The id of an event comes from its session and that name alone, so a
second import, in whatever order, gives the same ids; an answer that has grown since has a new one
and is merged by whoever counts. What is held of open calls is bounded by name.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from msgspec import Struct, structs

from analytics.contracts.agent_events import (
    AgentEvent,
    ContextCompacted,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionEnded,
    SessionStarted,
    ToolDecided,
    ToolFinished,
    ToolStarted,
)
from analytics.contracts.facts import Source
from analytics.contracts.ids import EventId, SessionId, TenantId, derived
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.content import Budget
from gateway.otlp.failures import kind_of
from gateway.otlp.reading import Common
from gateway.transcripts.lines import Usage
from gateway.transcripts.reader import ENDED_AFTER_MS, OPEN_CALLS_MAX, Price, unpriced
from gateway.transcripts.totals import Cost, Spent, Totals

BY_PERSON: Final = "user_reject"
"""Who said that a tool may not run."""


class Moment(Struct, frozen=True, kw_only=True):
    """Where and when something happened."""

    session_id: SessionId
    at_ms: int
    cwd: str = ""
    project: str = ""
    """Empty where the folder's name is the project's."""
    version: str = ""
    agent_type: str = ""


class RequestUsage(Struct, frozen=True, kw_only=True):
    """What one request took."""

    name: str
    """What its copies are told by, in whatever file."""
    model: str
    usage: Usage
    reasoning: int = 0
    cost_nanousd: int | None = None
    """What the agent says itself."""
    duration_ms: int | None = None
    stop_reason: str = ""
    query_source: str = "main"
    text: str = ""


class Failure(Struct, frozen=True, kw_only=True):
    """A request that failed for good."""

    name: str
    model: str
    error: str
    status_code: int | None = None


class ToolCall(Struct, kw_only=True):
    """A tool call, as far as it is known."""

    key: str
    tool: str
    at_ms: int
    given: Value = None
    input_digest: str = ""
    server: str = ""
    failed: bool | None = None
    """None where nothing has told yet."""
    duration_ms: int | None = None
    lines_added: int = 0
    lines_removed: int = 0


class ToolResult(Struct, frozen=True, kw_only=True):
    """How a tool call came back."""

    failed: bool
    refused: bool = False
    error: str = ""
    content: Value = None


class LastUsage(Struct, frozen=True):
    """How an answer was counted last."""

    model: str
    usage: Usage
    cost: Cost


class SessionSpan(Struct):
    """A session, from its first line to the last by now."""

    common: Common
    last_ms: int


class Teller:
    """Turns what a reader found into events; `totals` is what they amount to."""

    def __init__(
        self,
        agent: str,
        *,
        tenant: TenantId,
        now_ms: int,
        keep_content: bool = False,
        price: Price = unpriced,
    ) -> None:
        self.totals = Totals()
        self.keep_content = keep_content
        self._agent = agent
        self._tenant = tenant
        self._now_ms = now_ms
        self._price = price
        self._sessions: dict[SessionId, SessionSpan] = {}
        self._counted: dict[bytes, LastUsage] = {}
        self._calls: OrderedDict[str, ToolCall] = OrderedDict()
        self._seen: set[bytes] = set()

    def begin(self, here: Moment, *, model: str = "", how: str = "import") -> list[AgentEvent]:
        """Take note of a session's sign of life; return its beginning if it is the first one."""
        known = self._sessions.get(here.session_id)
        if known is not None:
            known.last_ms = max(known.last_ms, here.at_ms)
            return []
        self.totals.sessions += 1
        common = self._common(here, "session.started", "")
        self._sessions[here.session_id] = SessionSpan(common, here.at_ms)
        return [SessionStarted(**common, how=how, model=model, cwd=here.cwd)]

    def prompt(self, here: Moment, name: str, text: str, *, length: int) -> list[AgentEvent]:
        """Return the event of a prompt, once."""
        if not self._is_new("prompt", name):
            return []
        self.totals.prompts += 1
        return [
            PromptSubmitted(
                **self._common(here, "prompt", name),
                length=length,
                text=self._content(text),
                message_id=name,
            )
        ]

    def answered(self, here: Moment, answer: RequestUsage) -> list[AgentEvent]:
        """Return the event of an answer, again where it has grown, and count it as it is now."""
        digest = self._digest("request", answer.name)
        known, usage = self._counted.get(digest), answer.usage
        cost = Cost(answer.cost_nanousd, self._price(answer.model, usage))
        latest = LastUsage(answer.model, usage, cost)
        if known is not None:
            if known == latest or known.usage.total > usage.total:
                return []
            self._spent(known.model).add(known.usage, known.cost, -1)
        self._spent(answer.model).add(usage, cost, 1)
        self._counted[digest] = latest
        counts = structs.astuple(usage)
        common = self._common(here, "request", answer.name, *counts, answer.model)
        return [
            RequestFinished(
                **common,
                message_id=answer.name,
                model=coercion.name(answer.model),
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                reasoning_tokens=min(answer.reasoning, usage.output_tokens),
                cost_nanousd=answer.cost_nanousd,
                duration_ms=answer.duration_ms,
                query_source=answer.query_source,
                stop_reason=coercion.name(answer.stop_reason),
                text=self._content(answer.text),
            )
        ]

    def failed(self, here: Moment, failure: Failure) -> list[AgentEvent]:
        """Return the event of a request that failed, once."""
        if not self._is_new("failure", failure.name):
            return []
        self.totals.failures += 1
        return [
            RequestFailed(
                **self._common(here, "failure", failure.name),
                message_id=failure.name,
                model=coercion.name(failure.model),
                status_code=failure.status_code,
                kind=kind_of(failure.status_code, failure.error),
                query_source="main",
                error=coercion.error_text(failure.error, whole=self.keep_content),
            )
        ]

    def compacted(
        self, here: Moment, name: str, *, before: int = 0, trigger: str = ""
    ) -> list[AgentEvent]:
        """Return the event of a context that was made smaller, once."""
        if not self._is_new("compacted", name):
            return []
        common = self._common(here, "compacted", name)
        return [ContextCompacted(**common, trigger=trigger, before_tokens=before)]

    def called(self, here: Moment, key: str, tool: str, given: Value) -> list[AgentEvent]:
        """Return the event of a tool call that begins, once."""
        if not key or not self._is_new("tool.started", key):
            return []
        self.totals.tool_calls_open += self._is_new("tool.known", key)
        digest = "" if given is None else coercion.digest_of(given)
        call = ToolCall(key=key, tool=tool, at_ms=here.at_ms, given=given, input_digest=digest)
        self._calls[key] = call
        if len(self._calls) > OPEN_CALLS_MAX:
            self._calls.popitem(last=False)
        return [
            ToolStarted(
                **self._common(here, "tool.started", key),
                tool=tool,
                tool_use_id=key,
                input_digest=digest,
                summary=self._content(given),
            )
        ]

    def call_of(self, key: str) -> ToolCall | None:
        """Return a call that is known."""
        return self._calls.get(key)

    def returned(self, here: Moment, key: str, result: ToolResult) -> list[AgentEvent]:
        """Return the event of a tool's result; again where it turns out to be a failure."""
        kind = "tool.failed" if result.failed else "tool.finished"
        if not key or not self._is_new(kind, key):
            return []
        call = self._calls.get(key) or ToolCall(key=key, tool="", at_ms=here.at_ms)
        common = self._common(here, kind, key)
        if self._is_new("tool.ended", key):
            was_open = not self._is_new("tool.known", key)
            self.totals.end_call(refused=result.refused, was_open=was_open)
        if result.refused:
            return [
                ToolDecided(**common, tool=call.tool, tool_use_id=key, accepted=False, by=BY_PERSON)
            ]
        took_ms = max(here.at_ms - call.at_ms, 0) if call.duration_ms is None else call.duration_ms
        return [
            ToolFinished(
                **common,
                tool=call.tool,
                tool_use_id=key,
                succeeded=not result.failed,
                duration_ms=took_ms,
                error=coercion.error_text(result.error, whole=self.keep_content),
                input_digest=call.input_digest,
                input_bytes=coercion.size_of(call.given),
                result_bytes=coercion.size_of(result.content),
                lines_added=0 if result.failed else call.lines_added,
                lines_removed=0 if result.failed else call.lines_removed,
                mcp_server=coercion.name(call.server),
                summary=self._content(call.given),
            )
        ]

    def finish(self) -> Iterator[AgentEvent]:
        """Yield the ends of sessions whose last line is long past."""
        for session_id, span in self._sessions.items():
            if self._now_ms - span.last_ms >= ENDED_AFTER_MS:
                common = span.common.copy()
                common["id"] = self._id("session.ended", session_id, str(span.last_ms))
                common["at_ms"] = span.last_ms
                yield SessionEnded(**common, reason="transcript ends")

    def uncounted(self, kind: str) -> None:
        """Count a record that holds nothing to count."""
        self.totals.uncounted[kind] = self.totals.uncounted.get(kind, 0) + 1

    def _content(self, given: Value) -> str:
        return Budget().text(given) if self.keep_content and given else ""

    def _common(self, here: Moment, kind: str, *key: str | int) -> Common:
        span = self._sessions.get(here.session_id)
        known = span.common if span else None
        own = here.project or coercion.project_of(here.cwd)
        return Common(
            id=self._id(kind, here.session_id, *key),
            tenant=self._tenant,
            at_ms=here.at_ms,
            source=Source.TRANSCRIPT,
            session_id=here.session_id,
            project=(known["project"] if known else "") or own,
            agent=self._agent,
            version=coercion.name(here.version),
            agent_id="",
            parent_agent_id="",
            agent_type=coercion.name(here.agent_type),
            prompt_id="",
            user="",
            team="",
        )

    def _id(self, kind: str, *parts: str | int) -> EventId:
        return derived(self._tenant, "transcript", self._agent, kind, *parts)

    def _spent(self, model: str) -> Spent:
        return self.totals.by_model.setdefault(model, Spent())

    def _is_new(self, kind: str, name: str) -> bool:
        digest = self._digest(kind, name)
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True

    def _digest(self, kind: str, name: str) -> bytes:
        return hashlib.blake2b(f"{kind}\0{name}".encode(), digest_size=12).digest()
