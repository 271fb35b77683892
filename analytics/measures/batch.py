"""One batch on its way through the fold: what its events have in common, and what came of it."""

from collections.abc import Sequence
from typing import Final, TypeGuard

from msgspec import structs

from analytics.contracts import topics
from analytics.contracts.events import Event, type_of
from analytics.contracts.facts import AgentFact, Source
from analytics.contracts.ids import EventId, SessionId, TenantId
from analytics.measures.contributions import CONTRIBUTIONS
from analytics.measures.entries import Entries
from analytics.measures.memory import SessionKey, SessionMemory, digests_of
from analytics.measures.rows import RawRow

Head = tuple[
    EventId, TenantId, int, Source, SessionId, str, str, str, str, str, str, str, str, str
]  # fmt: skip
"""The values of `HEAD`, in its order."""

HEAD: Final = (
    "id", "tenant", "at_ms", "source", "session_id", "project", "agent", "version", "agent_id",
    "parent_agent_id", "agent_type", "prompt_id", "user", "team",
)  # fmt: skip
"""The fields that every event of an agent begins with."""

_HEAD_LENGTH: Final = len(HEAD)
_OF_AGENTS: Final = frozenset(CONTRIBUTIONS)


class Batch:
    """What the batch at hand has come to so far."""

    __slots__ = (
        "backfill_count",
        "duplicate_count",
        "entries",
        "late_count",
        "number",
        "raw",
        "touched",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.entries = Entries()
        self.raw: list[RawRow] = []
        self.touched: dict[SessionKey, SessionMemory] = {}
        self.late_count = self.duplicate_count = self.backfill_count = 0


def are_of_agents(events: Sequence[Event]) -> TypeGuard[Sequence[AgentFact]]:
    """Say whether all events are about sessions of agents."""
    return _OF_AGENTS.issuperset(map(type, events))


def are_mixed(events: Sequence[Event]) -> bool:
    """Say whether some events are about sessions of agents and some are not: no topic has both."""
    kinds = set(map(type, events))
    return not (kinds <= _OF_AGENTS or kinds.isdisjoint(_OF_AGENTS))


def heard_before(event_ids: Sequence[str], memories: Sequence[SessionMemory]) -> set[int]:
    """Return the places of ids that their session remembers; let it remember the others."""
    again: set[int] = set()
    columns = (range(len(event_ids)), digests_of(event_ids), memories)
    for number, digest, memory in zip(*columns, strict=True):
        ids = memory.ids
        if digest in ids or (memory.former_ids and memory.is_former(event_ids[number])):
            again.add(number)
        else:
            ids[digest] = None
    return again


def heads_of(events: Sequence[AgentFact]) -> list[Head]:
    """Return what each event begins with: read at once, which takes a third of one by one."""
    values = structs.astuple
    return [values(event)[:_HEAD_LENGTH] for event in events]


def session_of(event: Event) -> SessionKey:
    """Return an event's session, or what stands for it where the event is about none."""
    if isinstance(event, AgentFact):
        return (event.tenant, event.session_id)
    return (event.tenant, SessionId(f"{topics.of(event).name}/{topics.key_of(event)}"))


def raw_apart(event: Event, offset: int, payload: bytes) -> RawRow:
    """Return the raw row of an event that is about no session: kept, and counted in no sum."""
    return RawRow(
        id=event.id,
        tenant=event.tenant,
        session_id=topics.key_of(event),
        at_ms=event.at_ms,
        type=type_of(event),
        source=str(event.source),
        project="",
        agent="",
        agent_id="",
        model="",
        tool="",
        duration_ms=None,
        cost_nanousd=None,
        failed=False,
        offset=offset,
        payload=payload,
    )
