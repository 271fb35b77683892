"""One batch on its way through the fold: what its events have in common, and what came of it."""

from collections import deque
from collections.abc import Sequence
from itertools import compress
from operator import itemgetter
from typing import Final, TypeGuard

from msgspec import structs

from analytics.contracts import topics
from analytics.contracts.events import Event, type_of
from analytics.contracts.facts import AgentFact, Source
from analytics.contracts.ids import SessionId
from analytics.measures.contributions import CONTRIBUTIONS, KINDS
from analytics.measures.entries import Entries
from analytics.measures.event_step import Told
from analytics.measures.identities import digests_of as digests_of_things
from analytics.measures.report_matching import named_in
from analytics.measures.rows import RawRow, SeenRow
from analytics.measures.session_memory import Counters, SessionKey, SessionMemory, digests_of
from analytics.measures.times import ArrivalColumns

HEAD: Final = (
    "id", "tenant", "at_ms", "source", "session_id", "project", "agent", "version", "agent_id",
    "parent_agent_id", "agent_type", "prompt_id", "user", "team",
)  # fmt: skip
"""The fields that every event of an agent begins with."""

_IMPORTED: Final = Source.TRANSCRIPT
_HEAD_LENGTH: Final = len(HEAD)
_NAME: Final = itemgetter(0)
_OF_AGENTS: Final = frozenset(CONTRIBUTIONS)


class Heads:
    """What some events begin with, by columns: read at once, which takes a third of one by one."""

    __slots__ = (
        "_at_ms", "_ids", "_sessions", "_tenants", "agent_ids", "agents", "kinds", "projects",
        "sources", "teams", "users", "versions",
    )  # fmt: skip

    def __init__(self, events: Sequence[AgentFact]) -> None:
        values = structs.astuple
        self.kinds = [KINDS[type(event)] for event in events]
        """Their types' names, and what they contribute."""
        columns = zip(*[values(event)[:_HEAD_LENGTH] for event in events], strict=True)
        (
            self._ids, self._tenants, self._at_ms, self.sources, self._sessions, self.projects,
            self.agents, self.versions, self.agent_ids, _, _, _, self.users, self.teams,
        ) = columns  # fmt: skip

    def raw(
        self, told: Sequence[Told], offsets: Sequence[int], payloads: Sequence[bytes]
    ) -> tuple[list[RawRow], list[int]]:
        """Return the raw rows and the deltas of events, but of those that are inherited."""
        deltas, _, models, tools, durations_ms, costs_nanousd, failures = zip(*told, strict=True)
        rows = list(
            map(
                RawRow, self._ids, self._tenants, self._sessions, self._at_ms,
                map(_NAME, self.kinds), map(str, self.sources), self.projects, self.agents,
                self.agent_ids, models, tools, durations_ms, costs_nanousd, failures, offsets,
                payloads,
            )
        )  # fmt: skip
        if min(deltas) >= 0:
            return rows, list(deltas)
        counted = [delta >= 0 for delta in deltas]
        return list(compress(rows, counted)), list(compress(deltas, counted))


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

    def seen(self, first_offset: int, counters: Counters) -> tuple[SeenRow, ...]:
        """Return what the sessions are to remember, and forget what is beyond their limits."""
        rows = tuple(
            SeenRow(
                tenant=key[0], session_id=key[1], batch_offset=first_offset, memory=one.encode()
            )
            for key, one in self.touched.items()
        )
        for memory in self.touched.values():
            memory.trim(counters)
        return rows


def are_of_agents(events: Sequence[Event]) -> TypeGuard[Sequence[AgentFact]]:
    """Say whether all events are about sessions of agents."""
    return _OF_AGENTS.issuperset(map(type, events))


def are_mixed(events: Sequence[Event]) -> bool:
    """Say whether some events are about sessions of agents and some are not: no topic has both."""
    kinds = set(map(type, events))
    return not (kinds <= _OF_AGENTS or kinds.isdisjoint(_OF_AGENTS))


def heard_before(event_ids: Sequence[str], memories: Sequence[SessionMemory]) -> set[int]:
    """Return the places of ids that their session remembers; let it remember the others."""
    digests = digests_of(event_ids)
    told = dict.fromkeys(memories)
    if not any(memory.former_ids for memory in told):
        known = [(memory.ids, len(memory.ids)) for memory in told]
        deque(map(dict.setdefault, [memory.ids for memory in memories], digests), maxlen=0)
        if sum(len(ids) - count for ids, count in known) == len(digests):
            return set()
        for ids, count in known:
            while len(ids) > count:
                ids.popitem()
    return _heard_before(event_ids, digests, memories)


def _heard_before(
    event_ids: Sequence[str], digests: Sequence[bytes], memories: Sequence[SessionMemory]
) -> set[int]:
    again: set[int] = set()
    columns = (range(len(event_ids)), digests, memories)
    for number, digest, memory in zip(*columns, strict=True):
        ids = memory.ids
        if digest in ids or (memory.former_ids and memory.is_former(event_ids[number])):
            again.add(number)
        else:
            ids[digest] = None
    return again


def readings_of(events: Sequence[Event], received_ms: Sequence[int]) -> ArrivalColumns:
    """Return what event time is made of; what is imported touches no open window."""
    return ArrivalColumns(
        at_ms=[event.at_ms for event in events],
        received_ms=received_ms,
        apart=[event.source is _IMPORTED for event in events],
    )


def digests_of_copies(events: Sequence[Event]) -> list[bytes]:
    """Return the digests of what transcripts name: it may be another session's."""
    return [
        digest
        for event in events
        if event.source is _IMPORTED
        for digest in digests_of_things(event.tenant, named_in(event))
    ]


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
