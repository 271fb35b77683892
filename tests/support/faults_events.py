"""The events that the crash tests send, and what each of them is known to count.

A `Source` makes them from a seed: prompts, requests and tool calls of many sessions of two tenants,
most of them about now, some late, some imported. What an event counts is written down here from its
own fields, without a line of the fold's.
"""

import random
import time
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

TENANTS: Final = ("acme", "globex")
MODELS: Final = ("claude-opus-4-5", "claude-sonnet-4-5")
TOOLS: Final = ("Bash", "Edit", "Read")
SKILLS: Final = ("", "", "sql-review")
AGENTS: Final = ("claude-code", "codex")
PROJECTS: Final = ("atlas", "borealis", "cirrus")
LATE_SHARE: Final = 0.08
IMPORTED_SHARE: Final = 0.03
LATE_MS: Final = (30_000, 1_800_000)
"""How long ago a late event happened: from just past the lateness to half an hour."""
OLD_SHARE: Final = 0.01
OLD_MS: Final = (40 * 86_400_000, 50 * 86_400_000)
"""How long ago an old event happened: past the 30 days that 1-minute windows are kept."""
OLD_WIDTH_MS: Final = 300_000
JITTER_MS: Final = 4_000


class Known(Struct, frozen=True, kw_only=True, gc=False):
    """One event as the sender knows it: who and when, and what it adds to which measure."""

    tenant: str
    session_id: str
    project: str
    agent: str
    model: str
    tool: str
    skill: str
    query_source: str
    at_ms: int
    is_old: bool
    """Whether it is too old for the windows that the stream folds, and goes to wider ones."""
    adds: Mapping[str, int]

    def counts_at(self, width_ms: int) -> bool:
        """Say whether windows of this width are kept for as long as it is old."""
        return not self.is_old or width_ms >= OLD_WIDTH_MS


class Made(Struct, frozen=True, gc=False):
    """An event to send: its id, its JSON fields, and what is known of it."""

    id: str
    fields: dict[str, object]
    known: Known


class Source:
    """Makes the events of one run, one after another."""

    def __init__(self, seed: int, *, name: str, sessions: int) -> None:
        self._chance = random.Random(f"events {seed} {name}")
        self._name = f"{name}{seed}"
        self._sessions = sessions
        self._count = 0

    def next(self, tenant: str) -> Made:
        """Return the next event of a tenant, happening about now."""
        chance = self._chance
        self._count += 1
        number = chance.randrange(self._sessions)
        event_id = f"{self._name}-{tenant}-{self._count}"
        at_ms = time.time_ns() // 1_000_000 - chance.randrange(JITTER_MS)
        if chance.random() < LATE_SHARE:
            at_ms -= chance.randrange(*LATE_MS)
        is_old = chance.random() < OLD_SHARE
        if is_old:
            at_ms -= chance.randrange(*OLD_MS)
        fields: dict[str, object] = {
            "id": event_id,
            "at_ms": at_ms,
            "session_id": f"{self._name}-{tenant}-s{number}",
            "project": PROJECTS[number % len(PROJECTS)],
            "agent": AGENTS[number % len(AGENTS)],
        }
        if chance.random() < IMPORTED_SHARE:
            fields["source"] = "transcript"
        adds = self._particulars(fields, event_id)
        return Made(event_id, fields, _known(tenant, fields, adds, is_old=is_old))

    def _particulars(self, fields: dict[str, object], event_id: str) -> dict[str, int]:
        """Make it a prompt, a request or a tool call; return what that counts."""
        chance, kind = self._chance, self._chance.random()
        if kind < 0.2:
            fields |= {
                "type": "prompt.submitted",
                "length": self._count,
            }  # one of equal length is told again
            return {"events": 1, "prompts": 1}
        if kind < 0.7:
            tokens, took = chance.randrange(1, 5_000), chance.randrange(1, 60_000)
            cost = chance.randrange(1, 10**8)
            fields |= {
                "type": "request.finished", "request_id": f"r-{event_id}",
                "model": chance.choice(MODELS), "skill": chance.choice(SKILLS),
                "query_source": "main", "input_tokens": tokens, "output_tokens": tokens // 7,
                "duration_ms": took, "cost_nanousd": cost,
            }  # fmt: skip
            return {
                "events": 1, "calls": 1, "input_tokens": tokens, "output_tokens": tokens // 7,
                "cost_nanousd": cost, "latency_sum_ms": took, "latency_count": 1,
            }  # fmt: skip
        failed, lines = chance.random() < 0.1, chance.randrange(50)
        fields |= {
            "type": "tool.finished", "tool_use_id": f"t-{event_id}", "tool": chance.choice(TOOLS),
            "skill": chance.choice(SKILLS), "succeeded": not failed, "duration_ms": 40,
            "lines_added": lines,
        }  # fmt: skip
        return {"events": 1, "tool_calls": 1, "tool_errors": int(failed), "lines_added": lines}


def _known(
    tenant: str, fields: Mapping[str, object], adds: Mapping[str, int], *, is_old: bool
) -> Known:
    def text(name: str) -> str:
        return str(fields.get(name, ""))

    return Known(
        tenant=tenant,
        session_id=text("session_id"),
        project=text("project"),
        agent=text("agent"),
        model=text("model"),
        tool=text("tool"),
        skill=text("skill"),
        query_source=text("query_source"),
        at_ms=int(str(fields["at_ms"])),
        is_old=is_old,
        adds=adds,
    )
