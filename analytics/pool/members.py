"""Members of a pool, and an index of those who can take work now.

The index holds who is in a pickable state with capacity to spare, by skill, so that finding whoever
fits looks at nobody else. A member in `suspended` or `unhealthy` keeps what it holds.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from analytics.pool.balance import Latency
from analytics.pool.breaker import Breaker
from analytics.pool.lifecycle import PICKABLE, AgentSignal, AgentState, after
from analytics.pool.skills import AgentCard, Needs, fits


class Joining(Struct, frozen=True, kw_only=True):
    """What an agent says of itself when it registers."""

    id: str
    card: AgentCard
    user: str
    connection_id: str
    capacity: int = 1
    weight: float = 1.0
    upstreams: tuple[str, ...] = ()
    """What it rests on, such as a provider of models: if that fails, so does the agent."""
    ready: bool = True


class Member:
    """One agent in the pool."""

    __slots__ = (
        "beat_ms", "breaker", "capacity", "card", "connection_id", "id", "latency", "leases",
        "leaving", "registered_ms", "since_ms", "state", "state_ms", "upstreams", "user", "weight",
    )  # fmt: skip

    def __init__(self, joining: Joining, *, breaker: Breaker, now_ms: int) -> None:
        self.id = joining.id
        self.user = joining.user
        self.breaker = breaker
        self.latency: Latency | None = None
        self.leases: dict[str, None] = {}
        self.leaving = False
        self.state = AgentState.INITIALIZING
        self.state_ms = now_ms
        self.since_ms = now_ms
        self.told(joining, now_ms=now_ms)

    def told(self, joining: Joining, *, now_ms: int) -> None:
        """Take what the agent says of itself, now or again."""
        self.card = joining.card
        self.connection_id = joining.connection_id
        self.capacity = joining.capacity
        self.weight = joining.weight
        self.upstreams = tuple(dict.fromkeys(joining.upstreams))
        self.registered_ms = now_ms
        self.beat_ms = now_ms

    @property
    def in_flight(self) -> int:
        """How many leases it holds."""
        return len(self.leases)

    @property
    def latency_ms(self) -> float:
        """How long its work takes, of late; 0 if none is known."""
        return 0.0 if self.latency is None else self.latency.ms

    @property
    def takes_work(self) -> bool:
        """Whether its state and capacity allow one more lease."""
        return self.state in PICKABLE and len(self.leases) < self.capacity

    def happen(self, signal: AgentSignal, now_ms: int) -> bool:
        """Go where the table says; say whether the state is another one."""
        before, self.state = self.state, after(self.state, signal)
        if self.state is before:
            return False
        if self.state is AgentState.READY and before not in PICKABLE:
            self.since_ms = now_ms
        self.state_ms = now_ms
        return True


class Roster:
    """All members of a pool, those who can take work also by skill."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._free: dict[str, Member] = {}
        self._by_skill: dict[str, dict[str, Member]] = {}
        self._listed: dict[str, tuple[str, ...]] = {}
        self._by_connection: dict[str, dict[str, Member]] = {}

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self._members)

    def __iter__(self) -> Iterator[Member]:
        """Return every member."""
        return iter(list(self._members.values()))

    def get(self, member_id: str) -> Member | None:
        """Return a member."""
        return self._members.get(member_id)

    def on(self, connection_id: str) -> list[Member]:
        """Return who shares a connection."""
        return list(self._by_connection.get(connection_id, {}).values())

    def put(self, member: Member, *, before: str = "") -> None:
        """Note a member, or what is different of it; `before` is the connection it had."""
        if before and before != member.connection_id:
            self._unlink(before, member.id)
        self._members[member.id] = member
        self._by_connection.setdefault(member.connection_id, {})[member.id] = member
        self._unlist(member.id)
        self.refresh(member)

    def refresh(self, member: Member) -> None:
        """Note whether a member takes work now."""
        listed = member.id in self._free
        if member.takes_work == listed:
            return
        if listed:
            self._unlist(member.id)
            return
        skills = tuple({skill.id for skill in member.card.skills})
        self._free[member.id] = member
        self._listed[member.id] = skills
        for skill in skills:
            self._by_skill.setdefault(skill, {})[member.id] = member

    def drop(self, member: Member) -> None:
        """Forget a member."""
        self._unlist(member.id)
        self._unlink(member.connection_id, member.id)
        self._members.pop(member.id, None)

    def free(self, needs: Needs) -> Iterable[Member]:
        """Return who can take this work now."""
        listed: Mapping[str, Member] = (
            self._by_skill.get(needs.skill, {}) if needs.skill else self._free
        )
        if needs.tags or needs.input_mode or needs.output_mode:
            return [member for member in listed.values() if fits(member.card, needs)]
        return listed.values()

    def _unlist(self, member_id: str) -> None:
        if self._free.pop(member_id, None) is None:
            return
        for skill in self._listed.pop(member_id):
            holders = self._by_skill[skill]
            del holders[member_id]
            if not holders:
                del self._by_skill[skill]

    def _unlink(self, connection_id: str, member_id: str) -> None:
        linked = self._by_connection.get(connection_id, {})
        linked.pop(member_id, None)
        if not linked:
            self._by_connection.pop(connection_id, None)
