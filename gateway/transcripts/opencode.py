"""opencode's history, message by message over all its stores, into events that count a fact once.

A record is a session, or a message with its parts, whether it comes from the database of newer
versions or from the folders of older ones. A fork copies messages under new ids; what it keeps is
when each was made and what it took, so by that a message is told. The cost is opencode's own; one
of nothing for tokens says that it knows no price.
"""

from typing import Final

from msgspec import Struct

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import SessionId, TenantId, derived
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.transcripts.events import Failure, Moment, RequestUsage, Teller, ToolResult
from gateway.transcripts.lines import BadLine, LineFault, Usage, fields_of
from gateway.transcripts.reader import Price, unpriced

AGENT: Final = "opencode"
SUBAGENT: Final = "subagent"
SESSIONS_MAX: Final = 100_000
"""Sessions of one store whose folders are remembered; messages of others tell theirs."""
ABORTED: Final = "MessageAbortedError"
"""The error that stands for a person's stop."""

_REFUSED: Final = ("The user rejected permission", "The user dismissed")
_DONE: Final = frozenset({"completed", "error"})


class OpencodeSession(Struct, frozen=True):
    """What a session's own record says."""

    cwd: str
    version: str
    is_subagents: bool


_UNKNOWN: Final = OpencodeSession("", "", is_subagents=False)


class OpencodeReader:
    """Reads records; `totals` is what they amount to so far."""

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
        self._name = ""
        self._sessions: dict[str, OpencodeSession] = {}

    def open(self, name: str, *, session_id: str, agent_id: str = "") -> None:
        """Begin a store; every record of it names its session."""
        del session_id, agent_id
        self.totals.files += 1
        self._name = name
        self._sessions.clear()

    def close(self) -> list[AgentEvent]:
        """End a store, of which all events were told."""
        return []

    def line(self, raw: bytes, number: int) -> list[AgentEvent]:
        """Return the events of one record; count it if it is bad."""
        self.totals.lines += 1
        try:
            fields = fields_of(raw)
            if "session" in fields:
                self._learn(_mapping(fields["session"]))
                return []
            return self._message(_mapping(fields.get("message")), _parts(fields.get("parts")))
        except BadLine as error:
            self.totals.skip(self._name, number, error.fault)
            return []

    def _learn(self, row: dict[str, Value]) -> None:
        if len(self._sessions) < SESSIONS_MAX:
            self._sessions[coercion.name(row.get("id"))] = OpencodeSession(
                cwd=coercion.name(row.get("directory")),
                version=coercion.name(row.get("version")),
                is_subagents=bool(row.get("parentID") or row.get("parent_id")),
            )

    def _message(
        self, message: dict[str, Value], parts: list[dict[str, Value]]
    ) -> list[AgentEvent]:
        role, time = coercion.name(message.get("role")), _mapping(message.get("time"))
        at_ms = coercion.count(time.get("created"))
        if role not in {"user", "assistant"}:
            raise BadLine(LineFault.NO_KIND if not role else LineFault.NO_MESSAGE)
        if not at_ms:
            raise BadLine(LineFault.NO_TIME)
        session_id = coercion.session_id(message.get("sessionID")) or SessionId("session")
        known = self._sessions.get(session_id, _UNKNOWN)
        here = Moment(
            session_id=session_id,
            at_ms=min(at_ms, coercion.AT_MS_MAX),
            cwd=known.cwd or coercion.name(_mapping(message.get("path")).get("cwd")),
            version=known.version,
            agent_type=SUBAGENT if known.is_subagents else "",
        )
        made = self._teller.begin(here, model=coercion.name(message.get("modelID")))
        if role == "user":
            return made + self._asked(parts, here)
        return made + self._answered(message, parts, here) + self._called(parts, here)

    def _asked(self, parts: list[dict[str, Value]], here: Moment) -> list[AgentEvent]:
        if any(part.get("type") == "compaction" for part in parts):
            name = derived(AGENT, "compacted", here.at_ms)
            return self._teller.compacted(here, name)
        text = "\n".join(
            coercion.written(part.get("text"))
            for part in parts
            if part.get("type") == "text" and not (part.get("synthetic") or part.get("ignored"))
        )
        if not text or here.agent_type:
            return []
        name = derived(AGENT, "prompt", here.at_ms, coercion.digest_of(text))
        return self._teller.prompt(here, name, text, length=coercion.units(text))

    def _answered(
        self, message: dict[str, Value], parts: list[dict[str, Value]], here: Moment
    ) -> list[AgentEvent]:
        """Return the requests that a message stands for: its steps, where it has several."""
        time, error = _mapping(message.get("time")), _mapping(message.get("error"))
        model, completed = (
            coercion.name(message.get("modelID")),
            coercion.count(time.get("completed")),
        )
        place = (here.at_ms, coercion.name(message.get("providerID")), model)
        steps = [part for part in parts if part.get("type") == "step-finish"]
        told = steps if len(steps) > 1 else [message]
        made: list[AgentEvent] = []
        for number, one in enumerate(told):
            usage, reasoning = _usage(_mapping(one.get("tokens")))
            if not usage.total:
                continue
            counts = (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens)
            alone = len(told) == 1 and completed is not None
            answer = RequestUsage(
                name=derived(AGENT, "request", *place, number, *counts),
                model=model,
                usage=usage,
                reasoning=reasoning,
                cost_nanousd=coercion.nanousd(one.get("cost")) or None,
                duration_ms=max((completed or 0) - here.at_ms, 0) if alone else None,
                stop_reason=coercion.name(one.get("finish") or one.get("reason")),
                query_source=here.agent_type or "main",
                text=_text(parts),
            )
            made += self._teller.answered(here, answer)
        kind = coercion.name(error.get("name"))
        if not kind or kind == ABORTED:
            return made
        data = _mapping(error.get("data"))
        failure = Failure(
            name=derived(AGENT, "failure", *place),
            model=model,
            error=coercion.written(data.get("message")) or kind,
            status_code=coercion.count(data.get("statusCode")),
        )
        return made + self._teller.failed(here, failure)

    def _called(self, parts: list[dict[str, Value]], here: Moment) -> list[AgentEvent]:
        made: list[AgentEvent] = []
        for part in parts:
            if part.get("type") == "tool":
                made += self._call(part, _mapping(part.get("state")), here)
        return made

    def _call(
        self, part: dict[str, Value], state: dict[str, Value], here: Moment
    ) -> list[AgentEvent]:
        time = _mapping(state.get("time"))
        began_ms = coercion.count(time.get("start")) or here.at_ms
        ended_ms = coercion.count(time.get("end")) or began_ms
        tool = coercion.name(part.get("tool"))
        key = derived(AGENT, "tool", coercion.name(part.get("callID")), here.at_ms, tool)
        begun = _at(here, began_ms)
        made = self._teller.called(begun, key, tool, state.get("input"))
        status = coercion.name(state.get("status"))
        if status not in _DONE:
            return made
        metadata = _mapping(state.get("metadata"))
        known = self._teller.call_of(key)
        if known is not None:
            known.lines_added, known.lines_removed = _lines_of(metadata)
        error = coercion.written(state.get("error"))
        code = metadata.get("exit")
        result = ToolResult(
            failed=status == "error" or (isinstance(code, int) and code != 0),
            refused=status == "error" and error.startswith(_REFUSED),
            error=error,
            content=state.get("output"),
        )
        return made + self._teller.returned(_at(here, ended_ms), key, result)


def _at(here: Moment, at_ms: int) -> Moment:
    return Moment(
        session_id=here.session_id,
        at_ms=min(at_ms, coercion.AT_MS_MAX),
        cwd=here.cwd,
        version=here.version,
        agent_type=here.agent_type,
    )


def _usage(tokens: dict[str, Value]) -> tuple[Usage, int]:
    """Return the tokens, disjoint, and how many of the output were reasoning.

    The output holds the reasoning, unless the total shows that it is apart, as newer versions have.
    """
    cache = _mapping(tokens.get("cache"))
    given, output, reasoning = (
        coercion.count(tokens.get(kind)) or 0 for kind in ("input", "output", "reasoning")
    )
    read, write = (coercion.count(cache.get(kind)) or 0 for kind in ("read", "write"))
    total = coercion.count(tokens.get("total"))
    apart = total is not None and total == given + output + reasoning + read + write
    said = output + reasoning if apart else output
    return Usage(given, said, read, write), min(reasoning, said)


def _lines_of(metadata: dict[str, Value]) -> tuple[int, int]:
    diff = _mapping(metadata.get("filediff"))
    return coercion.count(diff.get("additions")) or 0, coercion.count(diff.get("deletions")) or 0


def _text(parts: list[dict[str, Value]]) -> str:
    texts = (part.get("text") for part in parts if part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


def _parts(given: Value) -> list[dict[str, Value]]:
    return [part for part in given if isinstance(part, dict)] if isinstance(given, list) else []


def _mapping(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}
