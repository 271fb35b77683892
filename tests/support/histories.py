"""Histories of a coding agent: sessions that fork, and how each ingest path and file tells of them.

A history is what truly happened; `Teller` says it as the agent's hooks, logs, traces and
transcripts do, through the gateway's own readers. Ids are as an agent's are: unique, and kept by
copies, but for the id of the turn, which a fork gives anew to all that it copied.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.fold import Arrival
from analytics.measures.rows import Measures
from gateway.hooks.claude_code import read_hook
from gateway.otlp.intake import OtlpSignal
from gateway.transcripts.reader import TranscriptReader
from tests.support.facts import arrivals
from tests.support.folding import fold_all
from tests.support.ingest import NOW_MS, NOW_NS, log, metric, point, span, taken

RESOURCE: Final = {"service.name": "claude-code"}
MODEL: Final = "claude-sonnet-4-5"
Line = dict[str, object]


class Turn(Struct, frozen=True, kw_only=True):
    """A prompt and what came of it: an answer that calls a tool or not, or a failure."""

    number: int
    tokens: int
    tool: bool = False
    failed: bool = False

    @property
    def cost_nanousd(self) -> int:
        """What the answer costs: the agent's own figure is that of the table of prices."""
        return self.tokens * (100 * 3_000 + 15_000)

    def name(self, kind: str) -> str:
        """Return an id of a thing of this turn, as long and as odd as an agent's."""
        return f"{kind}_4be1c09d{self.number:04d}a7f2"


class Session(Struct, frozen=True, kw_only=True):
    """A session: what it copied from the one it was forked from, and its own turns."""

    name: str
    copied: tuple[Turn, ...] = ()
    parent: str = ""
    turns: tuple[Turn, ...] = ()


class Manner(Struct, frozen=True, kw_only=True):
    """How this version of the agent tells."""

    request_ids: bool = True
    client_ids: bool = False
    message_ids: bool = True
    """Whether logs name the message of a prompt."""
    turn_ids: bool = True
    tool_ids: bool = True
    """Whether logs name the tool call."""
    named_forks: bool = False
    """Whether copied lines say what they were copied from."""
    running_totals: bool = False
    """Whether metrics are running totals; else they are what was added since the last point."""


class Account(Struct, frozen=True):
    """What the agent itself says of a history."""

    calls: int
    call_errors: int
    prompts: int
    tool_calls: int
    input_tokens: int
    output_tokens: int
    cost_nanousd: int


def account(sessions: Iterable[Session]) -> Account:
    """Return what truly happened."""
    turns = [turn for session in sessions for turn in session.turns]
    answered = [turn for turn in turns if not turn.failed]
    return Account(
        len(turns),
        len(turns) - len(answered),
        len(turns),
        sum(turn.tool for turn in answered),
        sum(100 * turn.tokens for turn in answered),
        sum(turn.tokens for turn in answered),
        sum(turn.cost_nanousd for turn in answered),
    )


def counted(batches: Iterable[Sequence[AgentEvent]], *, restarting: bool = False) -> Account:
    """Return what all sessions add up to once the batches are folded, one after the other."""
    rows = fold_all(_received(batches), now_ms=NOW_MS, restarting=restarting).sessions.values()
    return Account(
        *(sum(getattr(row.totals, name) for row in rows) for name in Account.__struct_fields__)
    )


def measured(*batches: Sequence[AgentEvent]) -> Measures:
    """Return all sums over all sessions."""
    rows = fold_all(_received(batches), now_ms=NOW_MS).sessions.values()
    names = Measures.__struct_fields__
    return Measures(*(sum(getattr(row.totals, name) for row in rows) for name in names))


def _received(batches: Iterable[Sequence[AgentEvent]]) -> list[list[Arrival]]:
    number, logs = 0, []
    for batch in batches:
        logs.append(arrivals(batch, first_offset=number, received_ms=NOW_MS))
        number += len(batch)
    return logs


def imported(*files: Iterable[Line]) -> list[AgentEvent]:
    """Return what one import makes of transcripts, read in this order."""
    reader = TranscriptReader(tenant=DEFAULT_TENANT, now_ms=NOW_MS)
    made: list[AgentEvent] = []
    for place, lines in enumerate(files):
        reader.open(str(place), session_id="of-the-file")
        for number, line in enumerate(lines, start=1):
            made += reader.line(json.dumps(line).encode() + b"\n", number)
        made += reader.close()
    return [*made, *reader.finish()]


def hook(name: str, session: str, **fields: object) -> list[AgentEvent]:
    """Return what a hook amounts to."""
    given = {"hook_event_name": name, "session_id": session, **fields}
    return list(read_hook(json.dumps(given).encode(), tenant=DEFAULT_TENANT, received_ms=NOW_MS))


def logged(name: str, session: str, attributes: dict[str, object]) -> list[AgentEvent]:
    """Return what a log event amounts to."""
    told = {"session.id": session, **attributes}
    return list(taken(OtlpSignal.LOGS, [log(name, told)], RESOURCE).events)


def metered(
    name: str, session: str, points: Iterable[tuple[int, float]], *, running: bool, kind: str
) -> list[AgentEvent]:
    """Return what the agent's own metric amounts to: a point a turn, from the first one on."""
    given = {"session.id": session, "model": MODEL, **({"type": kind} if kind else {})}
    made, began_ns, total = list[AgentEvent](), 0, 0.0
    for number, value in points:
        at_ns = NOW_NS + number * 10**9
        began_ns, total = began_ns or at_ns - 10**8, total + value
        times = {"startTimeUnixNano": str(began_ns), "timeUnixNano": str(at_ns + 10**8)}
        one = point(total if running else value, given, **times)
        sums = metric(name, "sum", [one], aggregationTemporality=2 if running else 1)
        made += taken(OtlpSignal.METRICS, [sums], RESOURCE).events
        began_ns = began_ns if running else at_ns + 10**8
    return made


def traced(session: str, attributes: dict[str, object], *, span_id: str) -> list[AgentEvent]:
    """Return what the span of a request amounts to."""
    told = {"session.id": session, **attributes}
    record = span("claude_code.llm_request", told) | {"spanId": span_id}
    return list(taken(OtlpSignal.TRACES, [record], RESOURCE).events)


class Teller:
    """Tells of the sessions of a history in one manner."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def by_logs(self, session: Session) -> list[AgentEvent]:
        """Return what the session's logs tell."""
        manner, made = self._manner, list[AgentEvent]()
        for turn in session.turns:
            asked: dict[str, object] = {"prompt_length": len(_text(turn))}
            asked |= {"message.uuid": turn.name("u")} if manner.message_ids else {}
            asked |= {"prompt.id": turn.name("p")} if manner.turn_ids else {}
            made += logged("user_prompt", session.name, {**asked, "event.sequence": turn.number})
            name = "api_error" if turn.failed else "api_request"
            made += logged(name, session.name, self._request(turn))
            if turn.tool and not turn.failed:
                ran: dict[str, object] = {"tool_name": "Bash", "success": "true"}
                ran |= {"tool_use_id": turn.name("t")} if manner.tool_ids else {}
                made += logged("tool_result", session.name, {**ran, "event.sequence": turn.number})
        return made

    def by_traces(self, session: Session) -> list[AgentEvent]:
        """Return what the session's traces tell."""
        return [
            event
            for turn in session.turns
            for event in traced(
                session.name,
                {**self._request(turn), "success": not turn.failed},
                span_id=f"{turn.number + 1:016x}",
            )
        ]

    def by_metrics(self, session: Session) -> list[AgentEvent]:
        """Return what the session's metrics tell."""
        turns = [turn for turn in session.turns if not turn.failed]
        running = self._manner.running_totals
        tokens, cost = "claude_code.token.usage", "claude_code.cost.usage"
        return [
            event
            for name, kind, points in (
                (tokens, "input", [(turn.number, 100.0 * turn.tokens) for turn in turns]),
                (tokens, "output", [(turn.number, float(turn.tokens)) for turn in turns]),
                (cost, "", [(turn.number, turn.cost_nanousd / 10**9) for turn in turns]),
            )
            for event in metered(name, session.name, points, running=running, kind=kind)
        ]

    def by_hooks(self, session: Session) -> list[AgentEvent]:
        """Return what the session's hooks tell."""
        made: list[AgentEvent] = []
        for turn in session.turns:
            turned = {"prompt_id": turn.name("p")} if self._manner.turn_ids else {}
            told = {**turned, "number": turn.number}
            made += hook("UserPromptSubmit", session.name, prompt=_text(turn), **told)
            if turn.failed:
                made += hook("StopFailure", session.name, error="overloaded", **told)
            elif turn.tool:
                call = {"tool_name": "Bash", "tool_use_id": turn.name("t"), "tool_input": {"a": 1}}
                for name in ("PreToolUse", "PostToolUse"):
                    made += hook(name, session.name, **call)
        return made

    def transcript(self, session: Session) -> list[Line]:
        """Return the lines of the session's transcript."""
        own_turn = session.turns[0].name("p") if session.turns else "p_none"
        copied = [
            {**line, **self._copied_from(session, line)}
            for turn in session.copied
            for line in self._lines(turn, session.name, own_turn)
        ]
        return copied + [
            line
            for turn in session.turns
            for line in self._lines(turn, session.name, turn.name("p"))
        ]

    def _copied_from(self, session: Session, line: Line) -> Line:
        if not self._manner.named_forks:
            return {}
        return {"forkedFrom": {"sessionId": session.parent, "messageUuid": line["uuid"]}}

    def _request(self, turn: Turn) -> dict[str, object]:
        told: dict[str, object] = {"model": MODEL, "event.sequence": turn.number}
        told |= {"request_id": turn.name("r")} if self._manner.request_ids else {}
        told |= {"client_request_id": turn.name("c")} if self._manner.client_ids else {}
        if turn.failed:
            return {**told, "status_code": 529, "error": "Overloaded"}
        usage = {"input_tokens": 100 * turn.tokens, "output_tokens": turn.tokens}
        return {**told, **usage, "cost_usd": turn.cost_nanousd / 10**9}

    def _lines(self, turn: Turn, session: str, turn_id: str) -> list[Line]:
        common: Line = {
            "sessionId": session,
            "timestamp": f"2026-01-01T{turn.number // 60:02d}:{turn.number % 60:02d}:00.000Z",
        }
        turned = {"promptId": turn_id} if self._manner.turn_ids else {}
        asked: Line = {
            **common, **turned, "type": "user", "uuid": turn.name("u"),
            "message": {"role": "user", "content": _text(turn)},
        }  # fmt: skip
        made = [asked, self._answer(turn, common)]
        if turn.tool and not turn.failed:
            result = {"type": "tool_result", "tool_use_id": turn.name("t"), "content": "ok"}
            message = {"role": "user", "content": [result]}
            made.append(
                {**common, **turned, "type": "user", "uuid": turn.name("w"), "message": message}
            )
        return made

    def _answer(self, turn: Turn, common: Line) -> Line:
        content: list[object] = [{"type": "text", "text": "ok"}]
        if turn.tool:
            content.append({"type": "tool_use", "id": turn.name("t"), "name": "Bash", "input": {}})
        usage = {"input_tokens": 100 * turn.tokens, "output_tokens": turn.tokens}
        message: Line = {
            "id": turn.name("m"), "role": "assistant", "model": MODEL, "content": content,
            "usage": usage,
        }  # fmt: skip
        line: Line = {**common, "type": "assistant", "uuid": turn.name("a"), "message": message}
        line |= {"requestId": turn.name("r")} if self._manner.request_ids else {}
        if turn.failed:
            line |= {"isApiErrorMessage": True, "error": "overloaded"}
        return line


def _text(turn: Turn) -> str:
    return "x" * (1 + turn.tokens)
