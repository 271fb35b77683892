"""Plays scripts as sessions: a script, a cast and a seed in, timed events out.

Pure: no clock, no socket. Event times are offsets from the session's start in the time of the
original; whoever sends them decides how fast that passes. Every session is new (its id is given),
and project, team and user say that this is a demo. Durations, waits and most token counts are drawn
from the given random numbers, since the sources have none.
"""

from collections.abc import Iterator
from random import Random
from typing import Final

from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from analytics.contracts.ids import SessionId, derived
from apps.load.script import ModelTurn, Script
from apps.local.tenants import DEMO

CHARACTERS_A_TOKEN: Final = 4
TEAM: Final = "demo"
VERSION: Final = "demo"
SUBAGENT_CHANCE: Final = 0.35
WAIT_CHANCE: Final = 0.08
RATE_LIMIT_CHANCE: Final = 0.02
LOOP_CHANCE: Final = 0.06
LOOP_LENGTH: Final = 8
SUBAGENT_STEPS_MAX: Final = 5
CONTEXT_TOKENS_MAX: Final = 120_000
PERMISSION_TOOLS: Final = frozenset(
    {"bash", "Bash", "edit", "Edit", "Write", "MultiEdit", "submit"}
)


class Role(Struct, frozen=True, kw_only=True):
    """Who plays a session."""

    agent: str
    source: Source
    version: str
    model: str
    small_model: str
    project: str
    user: str
    skill: str = ""


class Timed(Struct, frozen=True):
    """An event and when it happens, in milliseconds of the original's time since its start."""

    offset_ms: int
    event: Event


ROLES: Final = tuple(
    Role(agent=agent, source=source, version=VERSION, model=model, small_model=small,
         project=f"demo-{project}", user=f"demo-{user}", skill=skill)
    for agent, source, model, small, project, user, skill in (
        ("claude-code", Source.CLAUDE_CODE, "claude-opus-4-5", "claude-haiku-4-5", "marshmallow",
         "ada", "reproduce-first"),
        ("claude-code", Source.CLAUDE_CODE, "claude-sonnet-4-5", "claude-haiku-4-5", "billing",
         "grace", "review-changes"),
        ("codex", Source.CODEX, "gpt-5.3-codex", "gpt-5.4-mini", "search", "linus", ""),
        ("gemini-cli", Source.GEMINI, "gemini-2.5-pro", "gemini-2.5-flash", "mobile",
         "barbara", ""),
        ("claude-code", Source.CLAUDE_CODE, "claude-sonnet-4-5", "claude-haiku-4-5", "marshmallow",
         "edsger", "write-tests"),
        ("codex", Source.CODEX, "gpt-5.3-codex", "gpt-5.4-mini", "billing", "margaret", ""),
    )
)  # fmt: skip
"""The cast of the demo; sessions take roles in turn."""


def play(
    script: Script,
    role: Role,
    *,
    session_id: str,
    start_ms: int,
    speed: float,
    random: Random,
    failing: float = RATE_LIMIT_CHANCE,
) -> Iterator[Timed]:
    """Yield the session's events in order of time; `at_ms` is as `speed` makes it.

    `failing` is the share of steps before which a request is turned away by the model's provider.
    """
    player = _Player(script, role, session_id=session_id, random=random, failing=failing)
    for offset_ms, fields in player.events():
        at_ms = start_ms + int(offset_ms / speed)
        yield Timed(offset_ms, events.read(fields | {"at_ms": at_ms}))


_Draft = tuple[int, dict[str, object]]


class _Player:
    """One session being played: its clock, its context and its counters."""

    def __init__(
        self, script: Script, role: Role, *, session_id: str, random: Random, failing: float
    ) -> None:
        self._failing = failing
        self._script = script
        self._role = role
        self._session_id = SessionId(session_id)
        self._random = random
        self._now_ms = 0
        self._number = 0
        self._context_tokens = script.context // CHARACTERS_A_TOKEN
        self._prompt_id = ""

    def events(self) -> Iterator[_Draft]:
        role = self._role
        yield self._event(
            "session.started", how="startup", model=role.model, cwd=f"/demo/{role.project}"
        )
        for turn in self._script.turns:
            yield from self._turn(turn.prompt, turn.steps)
        yield self._event("session.ended", reason="prompt_input_exit")

    def _turn(self, prompt: str, steps: tuple[ModelTurn, ...]) -> Iterator[_Draft]:
        self._pass(2_000, 20_000)
        self._prompt_id = f"{self._session_id}-p{self._number}"
        self._context_tokens += len(prompt) // CHARACTERS_A_TOKEN
        yield self._event("prompt.submitted", length=len(prompt), text=prompt)
        if self._role.skill and self._random.random() < SUBAGENT_CHANCE:
            yield self._event("skill.used", skill=self._role.skill)
        for step in steps:
            yield from self._step(step, model=self._role.model, query_source="main")
            if self._context_tokens > CONTEXT_TOKENS_MAX:
                yield self._compacted()
        if self._random.random() < SUBAGENT_CHANCE:
            yield from self._subagent(steps)
        if self._random.random() < LOOP_CHANCE:
            yield from self._loop(steps)
        yield self._event("turn.finished")

    def _step(
        self,
        step: ModelTurn,
        *,
        model: str,
        query_source: str,
        agent_id: str = "",
        digest: str = "",
    ) -> Iterator[_Draft]:
        if self._random.random() < self._failing:
            yield self._limited(model, query_source)
        yield self._request(step, model=model, query_source=query_source, agent_id=agent_id)
        if not step.tool:
            return
        use = f"{self._session_id}-t{self._number}"
        call = {"tool": step.tool, "tool_use_id": use, "agent_id": agent_id}
        digest = digest or str(derived(step.tool, step.summary, self._number))[:16]
        yield self._event("tool.started", **call, input_digest=digest, summary=step.summary)
        if step.tool in PERMISSION_TOOLS and self._random.random() < WAIT_CHANCE:
            yield from self._permission(call)
        took_ms = self._pass(80, 6_000)
        yield self._event(
            "tool.finished",
            **call,
            succeeded=step.succeeded,
            error=step.error,
            error_type="" if step.succeeded else "tool_error",
            duration_ms=took_ms,
            input_digest=digest,
            input_bytes=step.input_bytes,
            result_bytes=step.result_bytes,
            lines_added=step.lines_added,
            lines_removed=step.lines_removed,
            skill=self._role.skill if query_source == "main" else "",
            summary=step.summary,
        )
        self._context_tokens += (step.input_bytes + step.result_bytes) // CHARACTERS_A_TOKEN

    def _request(self, step: ModelTurn, *, model: str, query_source: str, agent_id: str) -> _Draft:
        said = step.output_tokens or max(20, (step.said + step.input_bytes) // CHARACTERS_A_TOKEN)
        took_ms = self._pass(1_200, 4_000) + said * 12
        self._now_ms += said * 12
        fresh = step.input_tokens or self._random.randint(40, 900)
        event = self._event(
            "request.finished",
            request_id=f"{self._session_id}-r{self._number}",
            model=model,
            input_tokens=fresh,
            output_tokens=said,
            cache_read_tokens=self._context_tokens,
            cache_write_tokens=self._random.randint(200, 3_000),
            duration_ms=took_ms,
            ttft_ms=min(took_ms, self._random.randint(350, 1_800)),
            query_source=query_source,
            skill=self._role.skill if query_source == "main" else "",
            agent_id=agent_id,
            stop_reason="tool_use" if step.tool else "end_turn",
        )
        self._context_tokens += said
        return event

    def _limited(self, model: str, query_source: str) -> _Draft:
        took_ms = self._pass(4_000, 15_000)
        return self._event(
            "request.failed",
            request_id=f"{self._session_id}-r{self._number}",
            model=model,
            status_code=429,
            kind="rate_limit",
            attempts=3,
            duration_ms=took_ms,
            query_source=query_source,
            error="rate limit of the demo",
        )

    def _permission(self, call: dict[str, str]) -> Iterator[_Draft]:
        message = f"may {call['tool']} run?"
        yield self._event("attention.needed", reason="permission", message=message)
        waited_ms = self._pass(5_000, 90_000)
        accepted = self._random.random() < 0.9
        yield self._event(
            "tool.decided", **call, accepted=accepted, by="person", waited_ms=waited_ms
        )

    def _subagent(self, steps: tuple[ModelTurn, ...]) -> Iterator[_Draft]:
        agent_id = f"{self._session_id}-a{self._number}"
        kind = self._random.choice(("explore", "test-runner", "reviewer"))
        begun_ms = self._now_ms
        work = [step for step in steps if step.tool][:SUBAGENT_STEPS_MAX]
        yield self._event("agent.started", agent_id=agent_id, agent_type=kind)
        for step in work:
            yield from self._step(
                step, model=self._role.small_model, query_source="subagent", agent_id=agent_id
            )
        yield self._event(
            "agent.finished",
            agent_id=agent_id,
            agent_type=kind,
            duration_ms=self._now_ms - begun_ms,
            tools=len(work),
            model=self._role.small_model,
        )

    def _loop(self, steps: tuple[ModelTurn, ...]) -> Iterator[_Draft]:
        again = next((step for step in steps if step.tool), None)
        if again is None:
            return
        digest = str(derived(again.tool, again.summary, self._session_id))[:16]
        for _ in range(LOOP_LENGTH):
            yield from self._step(again, model=self._role.model, query_source="main", digest=digest)

    def _compacted(self) -> _Draft:
        before, self._context_tokens = self._context_tokens, CONTEXT_TOKENS_MAX // 5
        return self._event(
            "context.compacted",
            trigger="auto",
            before_tokens=before,
            after_tokens=self._context_tokens,
        )

    def _event(self, type_: str, **fields: object) -> _Draft:
        self._number += 1
        role = self._role
        common: dict[str, object] = {
            "type": type_,
            "tenant": DEMO,
            "source": role.source.value,
            "id": derived("demo", self._session_id, self._number),
            "session_id": self._session_id,
            "project": role.project,
            "agent": role.agent,
            "version": role.version,
            "user": role.user,
            "team": TEAM,
            "prompt_id": self._prompt_id,
        }
        return self._now_ms, common | fields

    def _pass(self, least_ms: int, most_ms: int) -> int:
        """Let time pass, mostly little; return how much."""
        took_ms = least_ms + int((most_ms - least_ms) * self._random.betavariate(1.2, 4))
        self._now_ms += took_ms
        return took_ms
