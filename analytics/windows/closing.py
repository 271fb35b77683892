"""What has ended and waits to be closed, in turns of its tenants.

Windows of thousands of series end at the same moment. To close them all in one commit would keep
everybody else waiting for as long as that takes, so a commit closes no more than so many, and the
rest waits for the commits that follow. Whose turn it is goes round: every tenant that has something
waiting closes as much as the next one, and a tenant's windows are closed in the order in which they
ended. It promises: everything that is put in comes out once; who has no more waiting than an equal
share of a commit is done with that commit, however much others have; nobody waits for ever.
"""

from collections import Counter, deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from analytics.measures.rows import CellKey


class Ended(Protocol):
    """One series over one window whose end the watermark has passed."""

    @property
    def key(self) -> CellKey:
        """The series."""
        ...

    @property
    def start_ms(self) -> int:
        """Where its window begins."""
        ...

    @property
    def width_ms(self) -> int:
        """How long its window is."""
        ...


E = TypeVar("E", bound=Ended)
T = TypeVar("T")


class Closing(Generic[E]):
    """What waits to be closed."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[E]] = {}
        """By tenant; the next one whose turn it is comes first."""
        self._ends: Counter[int] = Counter()
        """How many wait of each end of a window."""

    def __len__(self) -> int:
        """Return how many wait."""
        return self._ends.total()

    def add(self, ended: Iterable[E]) -> None:
        """Put these behind what waits of their tenants."""
        for one in ended:
            self._waiting.setdefault(one.key.tenant, deque()).append(one)
            self._ends[one.start_ms + one.width_ms] += 1

    def take(self, limit: int) -> list[E]:
        """Take out as many as there are, up to the limit, of each tenant as many as of the next."""
        taken = in_turns(self._waiting, limit)
        self._ends -= Counter(one.start_ms + one.width_ms for one in taken)
        return taken

    def settled_ms(self, watermark_ms: int) -> int:
        """Return up to when all windows are closed: the watermark, if nothing waits."""
        return min(self._ends, default=watermark_ms + 1) - 1


def in_turns(waiting: dict[str, deque[T]], limit: int) -> list[T]:
    """Take out up to `limit`, of each owner as many as of the next; whose turn is next is first."""
    taken: list[T] = []
    while waiting and len(taken) < limit:
        room = limit - len(taken)
        share = max(1, room // len(waiting))
        for owner in list(waiting)[:room]:
            of_owner = waiting.pop(owner)
            taken += [of_owner.popleft() for _ in range(min(share, len(of_owner)))]
            if of_owner:
                waiting[owner] = of_owner
    return taken
