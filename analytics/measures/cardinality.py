"""How much of each tenant is told apart: values of a dimension, series and sessions, with limits.

One tenant that sends a new label with every event would make a series of each, and all others would
pay for it. So a partition tells apart `values_max` values of each dimension of a tenant,
`series_max` series and `sessions_max` sessions; what comes beyond is counted as the value `OTHER`
of its dimension. Nothing is lost by it: the event is in the raw rows with the labels it came with,
and every total is exact; only the group it is counted in is a larger one. An empty value stays
empty.

What is told apart is remembered by digest, and is part of what a commit writes: a fold made of what
the store holds decides as the one before would have. Time goes in steps (`idle_ms` in `STEPS`) by
the broker's clock, which is in the log: what nobody used for `idle_ms` is forgotten when a step
begins, so a decision stands for the whole of a step, and room comes back after a flood. As long as
a tenant stays within its limits no decision depends on any of this.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from analytics.contracts.ids import TenantId
from analytics.measures.rows import CellKey, Grain, ToldApart

OTHER: Final = "other"
"""The value that stands for all that are not told apart."""
STEPS: Final = 4
"""In so many steps passes the time after which what nobody uses is forgotten."""
LABELS: Final = ("project", "agent", "model", "tool", "skill", "query_source")
FLEETS_MAX: Final = 4_096
"""Labels whose series is remembered within a step; beyond it, all are looked up anew."""
SESSION: Final = "session"
SERIES: Final = "series"
SESSION_SERIES: Final = "session_series"
"""What is limited: the values of each of `LABELS`, sessions, and the series of each grain."""

_HALF: Final = 1 << 63
_WHOLE: Final = 1 << 64

Labels = tuple[str, str, str, str, str, str]
"""project, agent, model, tool, skill and query source."""


class CardinalityLimits(Struct, frozen=True, kw_only=True):
    """How much of one tenant one partition tells apart."""

    values_max: int = 1_000
    """Values of one dimension."""
    series_max: int = 5_000
    """Series of one grain."""
    sessions_max: int = 1_000
    """Sessions that have windows of their own."""
    idle_ms: int = 3_600_000
    """After so long without use a value, a series or a session makes room."""


class LimitedKeys(Struct, frozen=True):
    """The series of an event, and what of it was beyond a limit."""

    fleet: CellKey
    own: CellKey
    limited: tuple[str, ...] = ()
    """Which of `LABELS`, `SESSION`, `SERIES` and `SESSION_SERIES` met their limit."""


class Cardinality:
    """What one partition tells apart."""

    def __init__(self, limits: CardinalityLimits, known: Iterable[ToldApart] = ()) -> None:
        self._limits = limits
        self._step_ms = max(1, limits.idle_ms // STEPS)
        self.step = 0
        """The step that time is in, by the newest record."""
        self._known: dict[tuple[TenantId, str], dict[int, int]] = {}
        """The step in which each value was last used, by digest."""
        self._used: dict[tuple[TenantId, str, int], int] = {}
        """What was used for the first time, or for the first time in a step, and that step."""
        self._forgotten_before = 0
        self._fleets: dict[tuple[TenantId, Labels], tuple[CellKey, tuple[str, ...]]] = {}
        """The fleet's series of labels that came up in this step, and what of them was limited."""
        for one in known:
            step = self.step_of(one.used_ms)
            self._known.setdefault((one.tenant, one.dimension), {})[one.digest] = step
            self.step = max(self.step, step)

    def __len__(self) -> int:
        """Return how many values, series and sessions are told apart."""
        return sum(map(len, self._known.values()))

    def step_of(self, received_ms: int) -> int:
        """Return the step that a moment of the broker's clock is in."""
        return received_ms // self._step_ms

    def advance(self, step: int) -> None:
        """Begin a later step: forget what nobody used for long."""
        self.step = step
        self._fleets.clear()
        before = step - STEPS
        for owner, digests in list(self._known.items()):
            kept = {digest: used for digest, used in digests.items() if used > before}
            if not kept:
                del self._known[owner]
            elif len(kept) < len(digests):
                self._known[owner] = kept
        self._forgotten_before = before + 1

    def apart(self, tenant: TenantId, session_id: str, labels: Labels) -> LimitedKeys:
        """Return the series that an event of these labels is counted in."""
        limits = self._limits
        fleet, limited = self._fleets.get((tenant, labels)) or self._fleet(tenant, labels)
        project, agent, model = fleet.project, fleet.agent, fleet.model
        if not self._has_room(tenant, SESSION, session_id, limits.sessions_max):
            limited = (*limited, SESSION)
            session_id = OTHER
        name = _SEPARATOR.join((session_id, project, agent, model))
        if not self._has_room(tenant, SESSION_SERIES, name, limits.series_max):
            limited = (*limited, SESSION_SERIES)
            project, agent, model = (OTHER if value else "" for value in (project, agent, model))
            session_id = OTHER
        own = CellKey(tenant, Grain.SESSION, project, session_id, agent, model)
        return LimitedKeys(fleet, own, limited)

    def _fleet(self, tenant: TenantId, labels: Labels) -> tuple[CellKey, tuple[str, ...]]:
        """Return the fleet's series of labels, and what of them was beyond a limit."""
        limited: list[str] = []
        limits = self._limits
        told = labels
        for place, (name, value) in enumerate(zip(LABELS, labels, strict=True)):
            if value and not self._has_room(tenant, name, value, limits.values_max):
                limited.append(name)
                told = _replaced(told, place)
        if not self._has_room(tenant, SERIES, _SEPARATOR.join(told), limits.series_max):
            limited.append(SERIES)
            told = _others(told)
        project, agent, model, tool, skill, query_source = told
        fleet = CellKey(tenant, Grain.FLEET, project, "", agent, model, tool, skill, query_source)
        if len(self._fleets) >= FLEETS_MAX:
            self._fleets.clear()
        found = self._fleets[tenant, labels] = (fleet, tuple(limited))
        return found

    def take(self) -> tuple[tuple[ToldApart, ...], int]:
        """Return what to write: what was used, and before when what was last used is forgotten.

        The time is 0 if nothing was forgotten since the last time.
        """
        used, self._used = self._used, {}
        before, self._forgotten_before = self._forgotten_before, 0
        rows = tuple(
            ToldApart(*one, step * self._step_ms) for one, step in used.items() if step >= before
        )
        return rows, before * self._step_ms

    def _has_room(self, tenant: TenantId, dimension: str, value: str, limit: int) -> bool:
        """Say whether a value is told apart, now that it is used."""
        owner = (tenant, dimension)
        digests = self._known.get(owner)
        if digests is None:
            digests = self._known[owner] = {}
        digest = _digest(value)
        used = digests.get(digest)
        if used == self.step:
            return True
        if used is None and len(digests) >= limit:
            return False
        digests[digest] = self.step
        self._used[tenant, dimension, digest] = self.step
        return True


_SEPARATOR: Final = "\x1f"


def _digest(value: str) -> int:
    number = xxh3_64_intdigest(value.encode("utf-8", "surrogatepass"))
    return number - _WHOLE if number >= _HALF else number


def _replaced(labels: Labels, place: int) -> Labels:
    project, agent, model, tool, skill, query_source = (
        OTHER if number == place else value for number, value in enumerate(labels)
    )
    return project, agent, model, tool, skill, query_source


def _others(labels: Sequence[str]) -> Labels:
    """Return the labels of the series that stands for those beyond the limit."""
    project, agent, model, tool, skill, query_source = (OTHER if value else "" for value in labels)
    return project, agent, model, tool, skill, query_source
