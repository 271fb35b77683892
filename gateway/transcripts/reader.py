"""Transcripts, line by line over all files of an import, into events that count each fact once.

One answer is stored as several lines with the same `(message.id, requestId)` and growing counts:
the last usage counts, in whichever file it is. Resumed and forked sessions repeat lines in a new
file. A line that says what it was copied from is told of the session it names; one that does not is
told of its own session too, under the ids by which whoever counts knows what was counted before.
Every id comes from the lines alone, so a second import, in whatever order, gives the same ids; an
answer that has grown since has a new one, and is merged by whoever counts. What a reader holds of
open facts is bounded by name.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import Struct, field

from analytics.contracts.agent_events import (
    AgentEvent,
    AgentFinished,
    AgentStarted,
    SessionEnded,
    SessionStarted,
    ToolDecided,
)
from analytics.contracts.facts import Source
from analytics.contracts.ids import EventId, SessionId, TenantId, derived
from gateway.otlp import coercion
from gateway.otlp.reading import Common
from gateway.transcripts import lines, messages
from gateway.transcripts.lines import Aside, BadLine, TranscriptLine, Usage
from gateway.transcripts.messages import AssistantLine, PendingToolCall
from gateway.transcripts.totals import Cost, Spent, Totals

AGENT: Final = "claude-code"
ENDED_AFTER_MS: Final = 30 * 60 * 1000
"""How long a session's last line must be past for its transcript to tell that it ended."""
OPEN_ANSWERS_MAX: Final = 20_000
"""Answers of a file that may still grow; beyond, the oldest is sent and sent again if it grows."""
OPEN_CALLS_MAX: Final = 100_000
"""Tool calls without a result that are remembered; the oldest is forgotten."""


Price = Callable[[str, Usage], int | None]
"""Says what a model's answer costs by list, in 10⁻⁹ USD, or that it is not known."""


def unpriced(_model: str, _usage: Usage) -> int | None:
    """Know no price."""
    return None


Told = tuple[str, Usage, int | None, tuple[Aside, ...]]
"""What of an answer its events say."""


class KnownSession(Struct):
    """What is known of a session or of a subagent by now."""

    common: Common
    first_ms: int
    last_ms: int
    tools: int = 0
    model: str = ""


class CountedAnswer(Struct):
    """How an answer was counted: the session that named it first, and what it took."""

    session_id: SessionId
    model: str
    usage: Usage
    cost: Cost
    asides: tuple[Aside, ...] = ()
    sent: dict[SessionId, Told] = field(default_factory=dict)
    """What was last sent of it, by the session that it was told of."""

    @property
    def told(self) -> Told:
        """What there is to be sent of it."""
        return self.model, self.usage, self.cost.reported_nanousd, self.asides


class File(Struct):
    """The file that is being read."""

    name: str
    session_id: str
    agent_id: str
    answers: OrderedDict[tuple[bytes, SessionId], AssistantLine] = field(
        default_factory=OrderedDict
    )
    roots: dict[str, str] = field(default_factory=dict)
    """The first line of each side chain by its lines: all that names older subagents."""


class TranscriptReader:
    """Reads transcripts; `totals` is what they amount to so far."""

    def __init__(
        self,
        *,
        tenant: TenantId,
        now_ms: int,
        keep_content: bool = False,
        price: Price = unpriced,
    ) -> None:
        self.totals = Totals()
        self._tenant = tenant
        self._now_ms = now_ms
        self._keep_content = keep_content
        self._price = price
        self._sessions: dict[SessionId, KnownSession] = {}
        self._agents: dict[tuple[SessionId, str], KnownSession] = {}
        self._counted: dict[bytes, CountedAnswer] = {}
        self._calls: OrderedDict[str, PendingToolCall] = OrderedDict()
        self._seen: set[bytes] = set()
        self._file = File("", "", "")

    def open(self, name: str, *, session_id: str, agent_id: str = "") -> None:
        """Begin a file; its session and subagent are for lines that name none."""
        self.totals.files += 1
        self._file = File(name, session_id, agent_id)

    def line(self, raw: bytes, number: int) -> list[AgentEvent]:
        """Return the events of one line that will not change any more; count it if it is bad."""
        if not raw.strip():
            return []
        self.totals.lines += 1
        try:
            line = lines.read(raw)
        except BadLine as error:
            self.totals.skip(self._file.name, number, error.fault)
            return []
        if isinstance(line, str):
            self._uncounted(line)
            return []
        return self._events(line)

    def close(self) -> list[AgentEvent]:
        """End a file; return the events of its answers."""
        answers = self._file.answers
        return [event for _ in range(len(answers)) for event in self._oldest_answered()]

    def finish(self) -> Iterator[AgentEvent]:
        """Yield the ends of subagents and sessions whose last line is long past."""
        for (session_id, agent_id), span in self._agents.items():
            if self._is_over(span):
                common = self._again(span, "agent.finished", session_id, agent_id)
                yield AgentFinished(
                    **common,
                    duration_ms=span.last_ms - span.first_ms,
                    tools=span.tools,
                    model=span.model,
                )
        for session_id, span in self._sessions.items():
            if self._is_over(span):
                common = self._again(span, "session.ended", session_id, "")
                yield SessionEnded(**common, reason="transcript ends")

    def _events(self, line: TranscriptLine) -> list[AgentEvent]:
        session_id = coercion.session_id(line.session_id) or self._session_of_file()
        agent_id = self._agent_of(line)
        made = self._begun(line, session_id, agent_id)
        if line.kind == "assistant":
            made += self._assistant(line, session_id, agent_id)
        elif line.kind == "user":
            made += self._user(line, session_id, agent_id)
        elif self._is_new("system", _key(line), session_id):
            common = self._common(line, session_id, agent_id, kind="system", key=_key(line))
            made.append(messages.system(line, common, keep_content=self._keep_content))
        return made

    def _session_of_file(self) -> SessionId:
        return coercion.session_id(self._file.session_id) or SessionId("transcript")

    def _agent_of(self, line: TranscriptLine) -> str:
        named = line.word("agentId") or self._file.agent_id
        if named or not line.flag("isSidechain"):
            return named
        root = self._file.roots.get(line.word("parentUuid"), line.uuid)
        self._file.roots[line.uuid] = root
        return root

    def _begun(
        self, line: TranscriptLine, session_id: SessionId, agent_id: str
    ) -> list[AgentEvent]:
        """Return the beginnings that a line is the first sign of."""
        made: list[AgentEvent] = []
        session = self._sessions.get(session_id)
        if session is None:
            self.totals.sessions += 1
            common = self._common(line, session_id, "", kind="session.started", key="")
            self._sessions[session_id] = KnownSession(common, line.at_ms, line.at_ms)
            made.append(SessionStarted(**common, how="import", cwd=line.word("cwd")))
        else:
            session.last_ms = max(session.last_ms, line.at_ms)
        if not agent_id:
            return made
        agent = self._agents.get((session_id, agent_id))
        if agent is None:
            common = self._common(line, session_id, agent_id, kind="agent.started", key="")
            self._agents[session_id, agent_id] = KnownSession(common, line.at_ms, line.at_ms)
            made.append(AgentStarted(**common))
        else:
            agent.last_ms = max(agent.last_ms, line.at_ms)
        return made

    def _assistant(
        self, line: TranscriptLine, session_id: SessionId, agent_id: str
    ) -> list[AgentEvent]:
        if messages.is_failure(line):
            return self._failure(line, session_id, agent_id)
        if messages.is_synthetic(line):
            self._uncounted(messages.SYNTHETIC)
            return []
        made: list[AgentEvent] = []
        key = messages.pair_of(line)
        common = self._common(line, session_id, agent_id, kind="request", key=key)
        answer = messages.answer(line, common, keep_content=self._keep_content)
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        known = self._counted.get(digest)
        if known and "usage" not in line.message:
            answer = msgspec.structs.replace(answer, usage=known.usage, asides=known.asides)
        self._file.answers[digest, session_id] = answer
        self._file.answers.move_to_end((digest, session_id))
        self._count(digest, answer)
        if len(self._file.answers) > OPEN_ANSWERS_MAX:
            made += self._oldest_answered()
        made += self._tools_started(line, session_id, agent_id)
        return made

    def _failure(
        self, line: TranscriptLine, session_id: SessionId, agent_id: str
    ) -> list[AgentEvent]:
        if not self._is_new("failure", _key(line), session_id):
            return []
        self.totals.failures += self._is_new("failure", _key(line))
        common = self._common(line, session_id, agent_id, kind="failure", key=_key(line))
        return [messages.failure(line, common, keep_content=self._keep_content)]

    def _count(self, digest: bytes, answer: AssistantLine) -> None:
        """Count an answer by its latest line, taking back what an earlier one said."""
        known = self._counted.get(digest)
        cost = Cost(answer.cost_nanousd, self._price(answer.model, answer.usage))
        owner = answer.common["session_id"]
        latest = CountedAnswer(owner, answer.model, answer.usage, cost, answer.asides)
        if known is not None:
            self._spent(known.model).add(known.usage, known.cost, -1)
            self._count_asides(known, -1)
            latest.sent, latest.session_id = known.sent, known.session_id
        self._spent(answer.model).add(answer.usage, cost, 1)
        self._count_asides(latest, 1)
        self._counted[digest] = latest

    def _count_asides(self, counted: CountedAnswer, sign: int) -> None:
        for aside in counted.asides:
            model = aside.model or counted.model
            cost = Cost(None, self._price(model, aside.usage))
            self._spent(model).add(aside.usage, cost, sign)

    def _spent(self, model: str) -> Spent:
        return self.totals.by_model.setdefault(model, Spent())

    def _oldest_answered(self) -> list[AgentEvent]:
        """Return the events of the file's oldest answer: one for its session, unless that has one.

        An answer that has grown since another session named it is told of that session too.
        """
        (digest, own), answer = self._file.answers.popitem(last=False)
        counted = self._counted[digest]
        made: list[AgentEvent] = []
        for session_id in dict.fromkeys((counted.session_id, own)):
            if counted.sent.get(session_id) != counted.told:
                counted.sent[session_id] = counted.told
                own_answer = self._of_session(answer, session_id)
                made += [messages.finished(own_answer), *messages.beside(own_answer)]
        return made

    def _of_session(self, answer: AssistantLine, session_id: SessionId) -> AssistantLine:
        common = answer.common.copy()
        common["id"] = self._id("request", session_id, "", answer.key)
        common["session_id"] = session_id
        return msgspec.structs.replace(answer, common=common)

    def _tools_started(
        self, line: TranscriptLine, session_id: SessionId, agent_id: str
    ) -> list[AgentEvent]:
        made: list[AgentEvent] = []
        for block in line.blocks:
            tool_use_id = coercion.name(block.get("id"))
            if block.get("type") != "tool_use" or not tool_use_id:
                continue
            if not self._is_new("tool.started", tool_use_id, session_id):
                continue
            self.totals.tool_calls_open += self._is_new("tool.started", tool_use_id)
            agent = self._agents.get((session_id, agent_id))
            if agent:
                agent.tools += 1
            call = messages.call(line, block)
            self._calls[tool_use_id] = call
            if len(self._calls) > OPEN_CALLS_MAX:
                self._calls.popitem(last=False)
            common = self._common(line, session_id, agent_id, kind="tool.started", key=tool_use_id)
            made.append(
                messages.tool_started(call, common, tool_use_id, keep_content=self._keep_content)
            )
        return made

    def _user(self, line: TranscriptLine, session_id: SessionId, agent_id: str) -> list[AgentEvent]:
        made: list[AgentEvent] = []
        for block in line.blocks:
            tool_use_id = coercion.name(block.get("tool_use_id"))
            if block.get("type") != "tool_result" or not tool_use_id:
                continue
            if self._is_new("tool.finished", tool_use_id, session_id):
                call = self._calls.pop(tool_use_id, None)
                common = self._common(
                    line, session_id, agent_id, kind="tool.finished", key=tool_use_id
                )
                ended = messages.tool_finished(
                    line, block, call, common, keep_content=self._keep_content
                )
                if self._is_new("tool.finished", tool_use_id):
                    was_open = not self._is_new("tool.started", tool_use_id)
                    refused = isinstance(ended, ToolDecided)
                    self.totals.end_call(refused=refused, was_open=was_open)
                made.append(ended)
        asked = not agent_id and messages.is_prompt(line)
        if asked and self._is_new("prompt", _key(line), session_id):
            self.totals.prompts += self._is_new("prompt", _key(line))
            common = self._common(line, session_id, agent_id, kind="prompt", key=_key(line))
            made.append(messages.prompt(line, common, keep_content=self._keep_content))
        return made

    def _common(
        self, line: TranscriptLine, session_id: SessionId, agent_id: str, *, kind: str, key: str
    ) -> Common:
        session = self._sessions.get(session_id)
        known = session.common if session else None
        return Common(
            id=self._id(kind, session_id, agent_id if not key else "", key),
            tenant=self._tenant,
            at_ms=line.at_ms,
            source=Source.TRANSCRIPT,
            session_id=session_id,
            project=(known and known["project"]) or coercion.project_of(line.fields.get("cwd")),
            agent=AGENT,
            version=line.word("version") or (known["version"] if known else ""),
            agent_id=agent_id,
            parent_agent_id="",
            agent_type=line.word("attributionAgent") if agent_id else "",
            prompt_id="" if line.is_copy else line.word("promptId"),
            user="",
            team="",
        )

    def _again(self, span: KnownSession, kind: str, session_id: SessionId, agent_id: str) -> Common:
        common = span.common.copy()
        common["id"] = self._id(kind, session_id, agent_id, str(span.last_ms))
        common["at_ms"] = span.last_ms
        return common

    def _id(self, kind: str, *parts: str) -> EventId:
        return derived(self._tenant, "transcript", kind, *parts)

    def _uncounted(self, kind: str) -> None:
        self.totals.uncounted[kind] = self.totals.uncounted.get(kind, 0) + 1

    def _is_over(self, span: KnownSession) -> bool:
        return self._now_ms - span.last_ms >= ENDED_AFTER_MS

    def _is_new(self, kind: str, key: str, session_id: str = "") -> bool:
        """Say whether it is met for the first time: of this session, or (none given) at all."""
        named = f"{kind}\0{key}\0{session_id}"
        digest = hashlib.blake2b(named.encode(), digest_size=8).digest()
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True


def _key(line: TranscriptLine) -> str:
    """Return what tells a line from all others, in whichever file it stands."""
    return line.origin or coercion.digest_of(line.fields)
