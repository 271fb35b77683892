"""Codex's rollouts, line by line over all files of an import, into events that count a fact once.

A rollout is one thread. A fork of an older version begins with the heads of the threads that it
comes from and all their lines, written anew at the time of the fork; one of a newer version only
names its parent. Turns keep their ids in such copies, and those ids hold their time: so a copied
line is told of the thread and the time that it comes from. Before turns had ids, a thing is told by
its thread's root, all that was said before it and the running total; copied lines are those that
were written in one go with the head. So of two forks that were asked the same at the same place,
only then, the second prompt counts as the first one's copy.
"""

import hashlib
from typing import Final

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import SessionId, TenantId, derived
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.transcripts import codex_calls, codex_usage
from gateway.transcripts.codex_thread import HEADS_MAX, CodexThread, begins
from gateway.transcripts.codex_usage import Counts
from gateway.transcripts.events import Failure, Moment, RequestUsage, Teller, ToolResult
from gateway.transcripts.lines import BadLine, LineFault, fields_of
from gateway.transcripts.reader import Price, unpriced

AGENT: Final = "codex"

_HEAD: Final = "session_meta"
_NOT_PLAIN: Final = frozenset({"environment_context", "user_instructions"})


class CodexReader:
    """Reads rollouts; `totals` is what they amount to so far."""

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
        self._thread = CodexThread("", SessionId("rollout"))
        self._roots: dict[str, str] = {}
        """What each thread that was read began with."""
        self._parents: dict[str, str] = {}
        self._totals: set[bytes] = set()
        """The totals that each of them told."""

    def open(self, name: str, *, session_id: str, agent_id: str = "") -> None:
        """Begin a rollout; its name's session is for one without a head."""
        self.totals.files += 1
        named = coercion.session_id(agent_id or session_id) or SessionId("rollout")
        self._thread = CodexThread(name, named)

    def close(self) -> list[AgentEvent]:
        """End a rollout, of which all events were told."""
        return []

    def line(self, raw: bytes, number: int) -> list[AgentEvent]:
        """Return the events of one line; count it if it is bad."""
        if not raw.strip():
            return []
        self.totals.lines += 1
        try:
            fields = fields_of(raw)
            return self._events(fields)
        except BadLine as error:
            self.totals.skip(self._thread.name, number, error.fault)
            return []

    def _events(self, fields: dict[str, Value]) -> list[AgentEvent]:
        kind, payload = coercion.name(fields.get("type")), fields.get("payload")
        if not kind and "record_type" not in fields and "instructions" not in fields:
            raise BadLine(LineFault.NO_KIND)
        if not isinstance(payload, dict):
            self._teller.uncounted(kind or "head")
            return []
        at_ms = coercion.moment_ms(fields.get("timestamp"))
        if at_ms is None:
            raise BadLine(LineFault.NO_TIME)
        what = coercion.name(payload.get("type"))
        if kind == _HEAD:
            self._take_head(payload, at_ms)
        elif begins(kind, what, payload):
            self._thread.begin_turn(payload, at_ms)
        self._thread.follow(what, payload)
        self._thread.last_ms = at_ms
        here = self._thread.moment(at_ms)
        made = self._teller.begin(here, model=self._thread.model)
        return made + self._of(kind, what, payload, here)

    def _take_head(self, payload: dict[str, Value], at_ms: int) -> None:
        thread = self._thread
        thread.take_head(payload, at_ms)
        thread.parents_root = self._roots.get(thread.parent, "")
        if thread.head is not None:
            self._roots[thread.head.thread_id] = thread.root
            self._parents[thread.head.thread_id] = thread.parent

    def _of(
        self, kind: str, what: str, payload: dict[str, Value], here: Moment
    ) -> list[AgentEvent]:
        match kind:
            case "event_msg":
                return self._event(what, payload, here)
            case "response_item":
                return self._item(what, payload, here)
            case "token_usage_record":
                self._thread.answering = True
                return self._used(payload.get("thread_token_usage"), payload.get("usage"), here)
            case "compacted":
                name = self._named("compacted", "")
                return self._teller.compacted(here, name, before=self._thread.context_tokens)
            case "turn_context":
                self._thread.model = coercion.name(payload.get("model")) or self._thread.model
            case "session_meta":
                pass
            case _:
                self._teller.uncounted(kind)
        return []

    def _event(self, what: str, payload: dict[str, Value], here: Moment) -> list[AgentEvent]:
        match what:
            case "token_count":
                info = payload.get("info")
                given = info if isinstance(info, dict) else {}
                last = given.get("last_token_usage")
                made = self._used(given.get("total_token_usage"), last, here)
                if isinstance(last, dict):
                    self._thread.context_tokens = coercion.count(last.get("total_tokens")) or 0
                return made
            case "user_message" if coercion.name(payload.get("kind")) not in _NOT_PLAIN:
                return self._asked("event", coercion.written(payload.get("message")), here)
            case "item_completed":
                item = payload.get("item")
                return self._completed(item, here) if isinstance(item, dict) else []
            case "error":
                return self._failure(payload, payload.get("codex_error_info"), here)
            case "task_complete" if isinstance(error := payload.get("error"), dict):
                return self._failure(error, error.get("codex_error_info"), here)
            case _ if what in codex_calls.ENDS:
                return self._ended(payload, here)
        self._teller.uncounted(what)
        return []

    def _completed(self, item: dict[str, Value], here: Moment) -> list[AgentEvent]:
        kind = coercion.name(item.get("type"))
        if kind == "UserMessage":
            return self._asked("item", _text(item.get("content")), here)
        if kind in codex_calls.ITEMS:
            return self._ended(item, here)
        self._teller.uncounted(kind)
        return []

    def _used(self, total: Value, last: Value, here: Moment) -> list[AgentEvent]:
        """Return the event of what a running total has more than the one before."""
        thread, latest = self._thread, codex_usage.counts(last)
        told = codex_usage.counts(total)
        if told is None and latest is not None:
            told = codex_usage.plus(thread.total, latest)
        if told is None or told in thread.told:
            return []
        thread.told.add(told)
        self._totals.add(
            _digest(thread.root if thread.head is None else thread.head.thread_id, told)
        )
        more = codex_usage.added(thread.total, told, latest, continued=bool(thread.parent))
        if thread.total is None and thread.parent and self._is_parents(told):
            more = codex_usage.NOTHING
        thread.total = told
        if more == codex_usage.NOTHING:
            return []
        return self._teller.answered(
            here,
            RequestUsage(
                name=derived(AGENT, "request", self._thread.scope, told.name),
                model=thread.model,
                usage=more.usage,
                reasoning=more.reasoning,
            ),
        )

    def _is_parents(self, told: Counts) -> bool:
        """Say whether a fork's first total is its parent's, told again before it is answered."""
        thread = self._thread
        if thread.before or thread.answering:
            return False
        kin = thread.parent
        for _ in range(HEADS_MAX):
            if kin not in self._parents or _digest(kin, told) in self._totals:
                return bool(kin)
            kin = self._parents[kin]
        return True

    def _asked(self, ingest_path: str, text: str, here: Moment) -> list[AgentEvent]:
        """Return the event of a prompt, which may be told in two ways."""
        name = self._named("prompt", coercion.digest_of(text), ingest_path)
        return self._teller.prompt(here, name, text, length=len(text))

    def _failure(self, given: dict[str, Value], info: Value, here: Moment) -> list[AgentEvent]:
        failure = Failure(
            name=derived(AGENT, "failure", self._thread.scope),
            model=self._thread.model,
            error=coercion.written(given.get("message")) or coercion.written(info),
            status_code=_status(info),
        )
        return self._teller.failed(here, failure)

    def _item(self, what: str, payload: dict[str, Value], here: Moment) -> list[AgentEvent]:
        key = coercion.name(payload.get("call_id") or payload.get("id"))
        if what in codex_calls.CALLS:
            given = codex_calls.given_to(payload)
            made = self._teller.called(here, key, codex_calls.tool_of(payload), given)
            call = self._teller.call_of(key)
            if made and call is not None:
                call.lines_added, call.lines_removed = codex_calls.patched(given)
            return made
        if what in codex_calls.OUTPUTS:
            call = self._teller.call_of(key)
            return self._teller.returned(here, key, codex_calls.result_of(payload, call))
        if what in codex_calls.WHOLE:
            key = key or self._named(what, coercion.digest_of(payload))
            made = self._teller.called(
                here, key, codex_calls.tool_of(payload), codex_calls.given_to(payload)
            )
            failed = payload.get("status") == "failed"
            return made + self._teller.returned(here, key, ToolResult(failed=failed))
        self._teller.uncounted(what)
        return []

    def _ended(self, payload: dict[str, Value], here: Moment) -> list[AgentEvent]:
        """Let a call know its end; one that came back before turns out to have failed."""
        end = codex_calls.end_of(payload)
        call = self._teller.call_of(end.key) if end else None
        if end is None or call is None:
            return []
        known = call.failed
        codex_calls.learn(call, end)
        late = known is False and call.failed is True
        return self._teller.returned(here, end.key, ToolResult(failed=True)) if late else []

    def _named(self, kind: str, content: str, ingest_path: str = "") -> str:
        """Return the name of the next thing of a kind and content in its turn."""
        key = (f"{kind} {ingest_path}", content)
        number = self._thread.repeats.get(key, 0) + 1
        self._thread.repeats[key] = number
        return derived(AGENT, kind, self._thread.scope, content, number)


def _digest(thread_id: str, told: Counts) -> bytes:
    named = f"{thread_id}/{told.name}"
    return hashlib.blake2b(named.encode(), digest_size=12).digest()


def _status(info: Value) -> int | None:
    """Return the status that an error names, however deep it stands."""
    if not isinstance(info, dict):
        return None
    for value in info.values():
        if isinstance(value, dict) and (code := coercion.count(value.get("http_status_code"))):
            return code
    return None


def _text(content: Value) -> str:
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))
