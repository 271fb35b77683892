"""Where the events of one session go: the series that each of them is counted in.

A lane stands for a project, agent, model, tool, skill and query source of one session. It holds on
to the two series of those and to the rows of the sheet that its last event reached, so that the
next event of the same window looks nothing up. Lanes are only a way to find things: they may be
forgotten between two batches, and are once a session has had `LANES_MAX` of them.
"""

from collections.abc import Sequence
from typing import Final

from analytics.contracts.ids import SessionId, TenantId
from analytics.measures.cells import Cells
from analytics.measures.rows import CellKey, Grain

LANES_MAX: Final = 64
"""Lanes that a session keeps from one batch to the next."""
NOWHERE: Final = -1
"""The place of a lane that no event went along yet."""

Labels = tuple[str, str, str, str]
"""model, tool, skill and query source."""

_NOTHING: Final = CellKey(TenantId(""), Grain.FLEET)
_NONE: Final = (_NOTHING, _NOTHING)


class SessionAccumulator:
    """The series of one kind of event of a session, and the rows that its last event reached."""

    __slots__ = (
        "batch", "delta", "labels", "lasting", "limited", "owner", "pair", "place", "rows", "step",
    )  # fmt: skip

    def __init__(self, owner: tuple[str, str], labels: Labels) -> None:
        self.owner = owner
        """project and agent."""
        self.labels = labels
        self.pair = _NONE
        self.limited: tuple[str, ...] = ()
        """Which limits of its tenant the lane met."""
        self.step = NOWHERE
        """When it was last found out which series these are."""
        self.place = NOWHERE
        self.rows: Sequence[int] = ()
        self.lasting = False
        """Whether the rows are those of the place in later batches too."""
        self.batch = 0
        """The batch that `delta` is of."""
        self.delta = 0


class SessionAccumulators:
    """The lanes of one session."""

    __slots__ = ("_by_owner", "_count", "_owner", "_session", "here")

    def __init__(self, tenant: TenantId, session_id: SessionId) -> None:
        self._session = (tenant, session_id)
        self._owner = ("", "")
        self.here: dict[Labels, SessionAccumulator] = {}
        """The lanes of the project and agent that the session is at."""
        self._by_owner = {self._owner: self.here}
        self._count = 0

    def move(self, project: str, agent: str) -> None:
        """Go on along the lanes of a project and an agent."""
        self._owner = owner = (project, agent)
        here = self._by_owner.get(owner)
        self.here = self._lanes_of(owner) if here is None else here

    def find(self, project: str, agent: str, labels: Labels) -> SessionAccumulator:
        """Return the lane of a project, an agent and labels."""
        owner = (project, agent)
        lanes = self._lanes_of(owner)
        lane = lanes.get(labels)
        if lane is None:
            lane = lanes[labels] = SessionAccumulator(owner, labels)
            self._count += 1
        return lane

    def place(self, lane: SessionAccumulator, cells: Cells) -> None:
        """Find out which series a lane's are, once a step: see `cardinality`."""
        tenant, session_id = self._session
        told = cells.cardinality.apart(tenant, session_id, (*lane.owner, *lane.labels))
        lane.pair = (cells.known(told.fleet), cells.known(told.own))
        lane.limited = told.limited
        lane.step = cells.cardinality.step
        lane.place = NOWHERE

    def trim(self) -> None:
        """Forget all lanes if there are too many; only between two batches."""
        if self._count > LANES_MAX:
            self._count = 0
            self.here = {}
            self._by_owner = {self._owner: self.here}

    def _lanes_of(self, owner: tuple[str, str]) -> dict[Labels, SessionAccumulator]:
        lanes = self._by_owner.get(owner)
        if lanes is None:
            lanes = self._by_owner[owner] = {}
        return lanes
