"""The thread of a rollout that is being read: whose a line is, when it was, in which turn.

A turn's id holds its time, so a line that a fork copied is known by it; before turns had ids, by
having been written in one go with the head.
"""

import uuid
from typing import Final

from msgspec import Struct, field

from analytics.contracts.ids import SessionId, derived
from gateway.otlp import coercion
from gateway.otlp.coercion import Value
from gateway.transcripts import codex_calls
from gateway.transcripts.codex_usage import Counts
from gateway.transcripts.events import Moment

GAP_MS: Final = 10
"""How long after the line before a turn begins that was not written in one go with it."""
HEADS_MAX: Final = 256
"""Threads that one comes from, of which the times are remembered."""

_ASKING: Final = frozenset({"user", "developer"})
_BEGINNINGS: Final = frozenset({"user_message", "task_started", "turn_context"})
_SAID: Final = {"user_message": "message", "agent_message": "message", "function_call": "call_id"}
"""What of a line tells one place of a thread from another."""
_OUTPUTS: Final = frozenset({"agent_message", "agent_reasoning", "reasoning", "AgentMessage"})


class ThreadHead(Struct, frozen=True):
    """A thread as the first line of its rollout tells of it."""

    thread_id: SessionId
    started_ms: int


class CodexThread(Struct):
    """The rollout that is being read."""

    name: str
    session_id: SessionId
    """What its name says; its head knows better."""
    head: ThreadHead | None = None
    parent: str = ""
    """The thread that it was forked from."""
    parents_root: str = ""
    """What that one began with, where it was read before."""
    before: list[ThreadHead] = field(default_factory=list)
    """The threads whose lines it may hold, the nearest first."""
    copied: bool = False
    last_ms: int = 0
    cwd: str = ""
    version: str = ""
    agent_type: str = ""
    model: str = ""
    turn_id: str = ""
    turn_ms: int | None = None
    place: str = ""
    """What a request is told by, beside the running total."""
    total: Counts | None = None
    answering: bool = False
    """Whether anything that a model said was met."""
    told: set[Counts] = field(default_factory=set)
    """The totals that were told: one that comes again, late even, adds nothing."""
    context_tokens: int = 0
    repeats: dict[tuple[str, str], int] = field(default_factory=dict)
    """How often something was told of the turn, by kind and content."""

    def take_head(self, payload: dict[str, Value], at_ms: int) -> None:
        """Take the head of the thread, or of one that it comes from."""
        thread_id = coercion.session_id(payload.get("id")) or self.session_id
        started_ms = coercion.moment_ms(payload.get("timestamp"))
        head = ThreadHead(thread_id, at_ms if started_ms is None else started_ms)
        if self.head is None:
            self.head = head
            self.parent = coercion.name(payload.get("forked_from_id"))
            self.cwd = coercion.name(payload.get("cwd"))
            self.version = coercion.name(payload.get("cli_version"))
            self.agent_type = _role(payload.get("source"))
        elif thread_id != self.head.thread_id and len(self.before) < HEADS_MAX:
            self.before.append(head)
            self.copied = True

    def begin_turn(self, payload: dict[str, Value], at_ms: int) -> None:
        """Take note of a turn, and of whether it is a copy."""
        turn_id = coercion.name(payload.get("turn_id"))
        if not _is_unique(turn_id):
            if self.copied and at_ms - self.last_ms >= GAP_MS and not self.turn_id:
                self.copied = False
            return
        if turn_id == self.turn_id:
            return
        self.turn_id, self.turn_ms = turn_id, _born_ms(turn_id)
        self.place = turn_id
        self.repeats.clear()
        if self.head is None or not (self.before or self.parent):
            self.copied = False
        elif self.turn_ms is not None:
            self.copied = self.turn_ms < self.head.started_ms
        elif at_ms - self.last_ms >= GAP_MS:
            self.copied = False

    def follow(self, what: str, payload: dict[str, Value]) -> None:
        """Let what was said be part of the place, where turns have no ids."""
        self.answering = self.answering or _is_output(what, payload)
        said = payload.get(_SAID.get(what, ""))
        if not self.turn_id and isinstance(said, str):
            self.place = derived(self.place or self.root, said)
            self.repeats.clear()

    def moment(self, at_ms: int) -> Moment:
        """Return where and when a line happened: a copied one where it comes from."""
        session_id = self.head.thread_id if self.head else self.session_id
        version, agent_type = self.version, self.agent_type
        if self.copied or self._is_older(at_ms):
            session_id, agent_type = self._origin(), ""
            at_ms = at_ms if self.turn_ms is None else min(at_ms, self.turn_ms)
        return Moment(
            session_id=session_id,
            at_ms=at_ms,
            cwd=self.cwd,
            version=version,
            agent_type=agent_type,
        )

    def _origin(self) -> SessionId:
        """Return the thread that a copied line comes from."""
        turn_ms = self.turn_ms
        if turn_ms is not None:
            for head in self.before:
                if head.started_ms <= turn_ms:
                    return head.thread_id
        return self.before[0].thread_id if self.before else SessionId(self.parent)

    def _is_older(self, at_ms: int) -> bool:
        """Say whether a line is from before a fork was made: some copies keep their time."""
        return bool(self.parent) and self.head is not None and at_ms < self.head.started_ms

    @property
    def scope(self) -> str:
        """What a thing is told by, beside what it is: its turn, or what was said before it."""
        return self.place or self.root

    @property
    def root(self) -> str:
        """The thread that all of this one's began with."""
        if self.before:
            return self.before[-1].thread_id
        if self.parent:
            return self.parents_root or self.parent
        return self.head.thread_id if self.head else self.session_id


def begins(kind: str, what: str, payload: dict[str, Value]) -> bool:
    """Say whether a line is one of those that a turn begins with."""
    if kind == "response_item":
        return what == "message" and payload.get("role") in _ASKING
    return (what if kind == "event_msg" else kind) in _BEGINNINGS


def _is_output(what: str, payload: dict[str, Value]) -> bool:
    """Say whether a line is of what a model said."""
    if what == "message":
        return payload.get("role") == "assistant"
    item = payload.get("item")
    kind = item.get("type") if isinstance(item, dict) else what
    return kind in _OUTPUTS or what in codex_calls.CALLS


def _is_unique(turn_id: str) -> bool:
    """Say whether a turn's id is the only one in the world: older versions number them."""
    try:
        return bool(uuid.UUID(turn_id))
    except ValueError:
        return False


def _born_ms(turn_id: str) -> int | None:
    """Return the time that a turn's id holds."""
    number = uuid.UUID(turn_id)
    return number.int >> 80 if number.version == 7 else None


def _role(source: Value) -> str:
    """Return what a subagent is, where a thread is one."""
    given = source.get("subagent") if isinstance(source, dict) else None
    if isinstance(given, str):
        return given
    spawned = given.get("thread_spawn") if isinstance(given, dict) else None
    if isinstance(spawned, dict):
        return coercion.name(
            spawned.get("agent_role") or spawned.get("agent_nickname") or "subagent"
        )
    return "subagent" if given else ""
