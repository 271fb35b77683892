"""Gemini CLI's chats, record by record over all files of an import, into events that count once.

A chat is a file of JSON lines: a head, messages, and `$set` records that write all messages again
when a session is resumed, with the same ids, other times and no tokens; older versions wrote one
JSON document, and a newer one that resumes it copies it. A message is written again when its tools
come back. Its tokens are given once, so other tokens of one id are another request. A subagent's
chat lies in a folder that is named by its session.
"""

import re
from typing import Final

from msgspec import Struct

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import SessionId, TenantId, derived
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.otlp.tokens import gemini_tokens, without_cache
from gateway.transcripts.events import Moment, RequestUsage, Teller, ToolResult
from gateway.transcripts.lines import BadLine, LineFault, Usage, fields_of
from gateway.transcripts.reader import Price, unpriced
from gateway.transcripts.totals import Unread

AGENT: Final = "gemini-cli"
MESSAGES: Final = frozenset({"user", "gemini"})
SUMMARY: Final = "<state_snapshot>"
"""How the message begins that stands for a context that was made smaller."""
NOT_ASKED: Final = (
    "<session_context>",
    "This is the Gemini CLI. We are setting up",
    "<hook_context>",
)
"""How texts begin that stand on a user's message without a person having asked for anything."""
SUBAGENT: Final = "subagent"
NO_CHAT: Final = "no chat of gemini cli: its session or its messages are something else"
"""Why a file is passed over whose head has a chat's names, and not its values."""

_FOLDER: Final = re.compile(r"\*\*Workspace Directories:\*\*\n\s+- (.+)")
_REFUSED: Final = "cancelled"
_DONE: Final = frozenset({"success", "error", _REFUSED})


class Chat(Struct):
    """The file that is being read."""

    name: str
    session_id: SessionId
    """What its name says; its head knows better, unless it is a subagent's."""
    agent_id: str
    started_ms: int | None = None
    cwd: str = ""


class GeminiReader:
    """Reads chats; `totals` is what they amount to so far."""

    def __init__(
        self,
        *,
        tenant: TenantId,
        now_ms: int,
        keep_content: bool = False,
        price: Price = unpriced,
    ) -> None:
        self._teller = Teller(
            AGENT, tenant=tenant, now_ms=now_ms, keep_content=keep_content, price=price
        )
        self.totals = self._teller.totals
        self.finish = self._teller.finish
        self._chat = Chat("", SessionId("chat"), "")

    def open(self, name: str, *, session_id: str, agent_id: str = "") -> None:
        """Begin a file; a subagent's belongs to the session that is named with it."""
        self.totals.files += 1
        self._chat = Chat(name, coercion.session_id(session_id) or SessionId("chat"), agent_id)

    def close(self) -> list[AgentEvent]:
        """End a file, of which all events were told."""
        return []

    def line(self, raw: bytes, number: int) -> list[AgentEvent]:
        """Return the events of one record; count it if it is bad."""
        if not raw.strip():
            return []
        self.totals.lines += 1
        try:
            return self._record(fields_of(raw))
        except BadLine as error:
            self.totals.skip(self._chat.name, number, error.fault)
            return []

    def _record(self, fields: dict[str, Value]) -> list[AgentEvent]:
        if "sessionId" in fields:
            if not _is_head(fields):
                self.totals.unread.append(Unread(self._chat.name, NO_CHAT))
                return []
            self._take_head(fields)
            return self._messages(fields.get("messages"))
        change = fields.get("$set")
        if isinstance(change, dict):
            return self._messages(change.get("messages"))
        if "type" not in fields:
            if any(key.startswith("$") for key in fields):
                return []
            raise BadLine(LineFault.NO_KIND)
        return self._message(fields)

    def _take_head(self, fields: dict[str, Value]) -> None:
        chat = self._chat
        if not chat.agent_id:
            chat.session_id = coercion.session_id(fields.get("sessionId")) or chat.session_id
        chat.started_ms = coercion.moment_ms(fields.get("startTime"))
        folders = fields.get("directories")
        if isinstance(folders, list) and folders:
            chat.cwd = coercion.name(folders[0])

    def _messages(self, given: Value) -> list[AgentEvent]:
        every = given if isinstance(given, list) else []
        made: list[AgentEvent] = []
        for message in every:
            if (
                isinstance(message, dict)
                and coercion.moment_ms(message.get("timestamp")) is not None
            ):
                made += self._message(message)
        return made

    def _message(self, message: dict[str, Value]) -> list[AgentEvent]:
        kind, at_ms = (
            coercion.name(message.get("type")),
            coercion.moment_ms(message.get("timestamp")),
        )
        if kind not in MESSAGES:
            self._teller.uncounted(kind)
            return []
        if at_ms is None:
            raise BadLine(LineFault.NO_TIME)
        text = _text(message.get("displayContent")) or _text(message.get("content"))
        if not self._chat.cwd and (found := _FOLDER.search(text)):
            self._chat.cwd = coercion.name(found[1])
        here = self._moment(at_ms)
        made = self._teller.begin(here, model=coercion.name(message.get("model")))
        key = coercion.name(message.get("id")) or coercion.digest_of(message)
        if kind == "gemini":
            return made + self._answered(key, message, text, here) + self._called(message, here)
        return made + self._asked(key, text, here)

    def _moment(self, at_ms: int) -> Moment:
        chat = self._chat
        agent_type = SUBAGENT if chat.agent_id else ""
        return Moment(session_id=chat.session_id, at_ms=at_ms, cwd=chat.cwd, agent_type=agent_type)

    def _asked(self, key: str, text: str, here: Moment) -> list[AgentEvent]:
        if text.startswith(SUMMARY):
            return self._teller.compacted(here, derived(AGENT, "compacted", key))
        if not text or text.startswith(NOT_ASKED) or self._chat.agent_id:
            return []
        return self._teller.prompt(here, key, text, length=coercion.units(text))

    def _answered(
        self, key: str, message: dict[str, Value], text: str, here: Moment
    ) -> list[AgentEvent]:
        tokens = message.get("tokens")
        if not isinstance(tokens, dict):
            return []
        usage, thoughts = _usage(tokens)
        answer = RequestUsage(
            name=derived(AGENT, "request", key, coercion.json_of(tokens)),
            model=coercion.name(message.get("model")),
            usage=usage,
            reasoning=thoughts,
            query_source=SUBAGENT if self._chat.agent_id else "main",
            text=text,
        )
        return self._teller.answered(here, answer)

    def _called(self, message: dict[str, Value], here: Moment) -> list[AgentEvent]:
        made: list[AgentEvent] = []
        given = message.get("toolCalls")
        for call in given if isinstance(given, list) else []:
            if isinstance(call, dict):
                made += self._call(call, here)
        return made

    def _call(self, call: dict[str, Value], here: Moment) -> list[AgentEvent]:
        told = coercion.name(call.get("id"))
        key = derived(AGENT, "tool", here.session_id, told) if told else ""
        made = self._teller.called(here, key, coercion.name(call.get("name")), call.get("args"))
        status = coercion.name(call.get("status"))
        if status not in _DONE:
            return made
        at_ms = coercion.moment_ms(call.get("timestamp"))
        known = self._teller.call_of(key)
        if known is not None:
            known.lines_added, known.lines_removed = _lines_of(call.get("resultDisplay"))
        result = ToolResult(
            failed=status == "error",
            refused=status == _REFUSED,
            error=coercion.written(call.get("resultDisplay")) if status == "error" else "",
            content=call.get("result"),
        )
        there = here if at_ms is None else self._moment(at_ms)
        return made + self._teller.returned(there, key, result)


def _is_head(fields: dict[str, Value]) -> bool:
    """Say whether a head's values are of the kinds that Gemini CLI writes."""
    session_id, messages = fields["sessionId"], fields.get("messages", [])
    return isinstance(session_id, str) and isinstance(messages, list)


def _usage(tokens: dict[str, Value]) -> tuple[Usage, int]:
    """Return a message's tokens, disjoint, and how many of the output were thoughts."""
    kinds = ("input", "output", "cached", "thoughts", "tool", "total")
    given, output, cached, thoughts, tool, total = (
        coercion.count(tokens.get(k)) or 0 for k in kinds
    )
    whole, said = gemini_tokens(
        given=given, output=output, thoughts=thoughts, tool=tool, total=total
    )
    parts = without_cache(whole, cached, 0)
    return Usage(parts.input, said, parts.cache_read), min(thoughts, said)


def _text(content: Value) -> str:
    """Return the text of a message, which is a text or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = (
        part.get("text") for part in parts if isinstance(part, dict) and not part.get("thought")
    )
    return "".join(text for text in texts if isinstance(text, str))


def _lines_of(shown: Value) -> tuple[int, int]:
    """Return the lines that a tool's diff added and removed."""
    stat = shown.get("diffStat") if isinstance(shown, dict) else None
    if not isinstance(stat, dict):
        return 0, 0
    added, removed = (
        coercion.count(stat.get(f"model_{kind}_lines")) or 0 for kind in ("added", "removed")
    )
    return added, removed
