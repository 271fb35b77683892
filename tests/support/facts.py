"""Builders of events for every room's tests: sensible defaults, any field overridable.

`fact` builds one event of any type; what is not given gets a default, and the id is derived from
the type and the given fields, so the same call gives the same fact and another call another one.
`Session` builds the events of one session in order, each a step later than the one before.
`one_of_each` has one event of every type, for tests that must hold for all of them.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from analytics.contracts import agent_events, events
from analytics.contracts.agent_events import (
    AttentionNeeded,
    PromptSubmitted,
    RequestFailed,
    RequestFinished,
    SessionEnded,
    SessionStarted,
    ToolDecided,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    UsageReported,
)
from analytics.contracts.events import Event
from analytics.contracts.facts import AgentFact, Fact
from analytics.contracts.ids import derived
from analytics.contracts.result_events import AlertChanged, AnomalyFound, ForecastMade, WindowClosed
from analytics.measures.fold import Arrival

T0_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z: a start of an hour, so that windows begin where tests begin."""

MODEL: Final = "claude-sonnet-4-5-20250929"

F = TypeVar("F", bound=Fact)

_REQUIRED: Final[dict[type[Fact], dict[str, object]]] = {
    UsageReported: {"metric": "claude_code.token.usage", "value": 10.0},
    agent_events.AgentObserved: {"name": "claude_code.auth"},
    events.ConnectionOpened: {"connection_id": "c1"},
    events.ConnectionClosed: {"connection_id": "c1"},
    events.ReviewRequested: {"pull_request": "octo/cat#1"},
    events.FindingReported: {"pull_request": "octo/cat#1", "finding_id": "f1"},
    events.ReviewFeedback: {"pull_request": "octo/cat#1"},
    events.NotePublished: {"channel": "local/room", "data": "1"},
    WindowClosed: {
        "start_ms": T0_MS,
        "width_ms": 10_000,
        "grain": "fleet",
        "dimensions": {"agent": "claude-code"},
        "measures": {"events": 1},
    },
    AnomalyFound: {"measure": "cost_usd"},
    ForecastMade: {"measure": "cost_usd", "step_ms": 300_000},
    AlertChanged: {
        "fingerprint": "0011223344556677",
        "labels": {"alertname": "A"},
        "state": "firing",
    },
}


def fact(kind: type[F], /, **fields: Any) -> F:
    """Return an event of type `kind` with `fields`, and defaults for what else it needs."""
    defaults: dict[str, Any] = {"tenant": "local", "at_ms": T0_MS, **_REQUIRED.get(kind, {})}
    if issubclass(kind, AgentFact):
        defaults |= {"session_id": "s1", "project": "mainstem", "agent": "claude-code"}
    whole = defaults | fields
    if "id" not in whole:
        parts = [f"{name}={value!r}" for name, value in sorted(whole.items())]
        whole["id"] = derived(str(kind.__struct_config__.tag), *parts)
    return kind(**whole)


def request(request_id: str = "req-1", **fields: Any) -> RequestFinished:
    """Return an answered model request with tokens, duration and no stated cost."""
    defaults: dict[str, Any] = {
        "model": MODEL,
        "input_tokens": 1_000,
        "output_tokens": 200,
        "duration_ms": 1_500,
        "query_source": "main",
    }
    return fact(RequestFinished, request_id=request_id, **(defaults | fields))


def tool(tool_use_id: str = "tool-1", **fields: Any) -> ToolFinished:
    """Return a tool call that worked."""
    return fact(
        ToolFinished, tool_use_id=tool_use_id, **({"tool": "Bash", "duration_ms": 40} | fields)
    )


def usage(metric: str = "claude_code.token.usage", **fields: Any) -> UsageReported:
    """Return a point of a sender's own metric: ten input tokens of growth."""
    return fact(UsageReported, metric=metric, **({"value": 10.0, "kind": "input"} | fields))


class Session:
    """Builds the events of one session in order, each `step_ms` after the one before."""

    def __init__(
        self,
        session_id: str = "s1",
        *,
        start_ms: int = T0_MS,
        step_ms: int = 1_000,
        **fields: Any,
    ) -> None:
        self.session_id = session_id
        self.at_ms = start_ms
        self.step_ms = step_ms
        self._fields = fields
        self._count = 0

    def add(self, kind: type[F], /, **fields: Any) -> F:
        """Return the session's next event, of type `kind`."""
        self._count += 1
        defaults = {
            "session_id": self.session_id,
            "at_ms": self.at_ms,
            "id": f"{self.session_id}-{self._count}",
        }
        self.at_ms += self.step_ms
        return fact(kind, **(defaults | self._fields | fields))

    def start(self, **fields: Any) -> SessionStarted:
        """Return the session's start."""
        return self.add(SessionStarted, **({"how": "startup", "model": MODEL} | fields))

    def prompt(self, text: str = "fix the test", **fields: Any) -> PromptSubmitted:
        """Return a prompt."""
        return self.add(PromptSubmitted, text=text, length=len(text), **fields)

    def request(self, **fields: Any) -> RequestFinished:
        """Return an answered model request with an id of its own."""
        defaults: dict[str, Any] = {
            "request_id": f"req-{self.session_id}-{self._count}",
            "model": MODEL,
            "input_tokens": 1_000,
            "output_tokens": 200,
            "duration_ms": 1_500,
            "query_source": "main",
        }
        return self.add(RequestFinished, **(defaults | fields))

    def failure(self, kind: str = "rate_limit", **fields: Any) -> RequestFailed:
        """Return a model request that failed for good."""
        defaults = {"request_id": f"req-{self.session_id}-{self._count}", "model": MODEL}
        return self.add(RequestFailed, kind=kind, **(defaults | fields))

    def decision(self, *, accepted: bool, **fields: Any) -> ToolDecided:
        """Return somebody's word on whether a tool may run."""
        defaults = {"tool": "Bash", "tool_use_id": f"tool-{self.session_id}-{self._count}"}
        return self.add(ToolDecided, accepted=accepted, **(defaults | fields))

    def tool_start(self, **fields: Any) -> ToolStarted:
        """Return the beginning of a tool call."""
        defaults = {"tool": "Bash", "tool_use_id": f"tool-{self.session_id}-{self._count}"}
        return self.add(ToolStarted, **(defaults | fields))

    def tool(self, **fields: Any) -> ToolFinished:
        """Return the end of a tool call."""
        defaults: dict[str, Any] = {
            "tool": "Bash",
            "tool_use_id": f"tool-{self.session_id}-{self._count}",
            "duration_ms": 40,
        }
        return self.add(ToolFinished, **(defaults | fields))

    def attention(self, reason: str = "permission", **fields: Any) -> AttentionNeeded:
        """Return a call for a person."""
        return self.add(AttentionNeeded, reason=reason, **fields)

    def turn_end(self, **fields: Any) -> TurnFinished:
        """Return the end of a turn."""
        return self.add(TurnFinished, **fields)

    def end(self, **fields: Any) -> SessionEnded:
        """Return the session's end."""
        return self.add(SessionEnded, **({"reason": "other"} | fields))


def one_of_each() -> tuple[Event, ...]:
    """Return one event of every type, in the order of `events.TYPES`, each a second later."""
    made: list[Event] = []
    for number, kind in enumerate(events.TYPES.values()):
        event = fact(kind, at_ms=T0_MS + 1_000 * number)
        assert isinstance(event, Event)
        made.append(event)
    return tuple(made)


def encoded(made: Event) -> bytes:
    """Return the payload that a topic would carry."""
    return events.encode(made)


def arrivals(
    made: Iterable[Event], *, first_offset: int = 0, received_ms: int | None = None
) -> list[Arrival]:
    """Return events as a log holds them: received as they happened, or all at one moment."""
    return [
        Arrival(
            first_offset + number,
            event.at_ms if received_ms is None else received_ms,
            event,
            events.encode(event),
        )
        for number, event in enumerate(made)
    ]
