"""What is due when: one heap of names, planned anew at no cost to those already in it.

A name has one deadline; planning it again replaces that. Old entries stay in the heap until their
time or until they are more than the living ones, then it is rebuilt, so it never holds more than
twice the names plus a constant.
"""

from heapq import heapify, heappop, heappush
from typing import Final, Generic, TypeVar

SLACK: Final = 64
Name = TypeVar("Name", bound=str)


class Deadlines(Generic[Name]):
    """See the module."""

    def __init__(self) -> None:
        self._planned: dict[Name, int] = {}
        self._heap: list[tuple[int, Name]] = []

    def __len__(self) -> int:
        """Return how many names have a deadline."""
        return len(self._planned)

    def plan(self, name: Name, due_ms: int) -> None:
        """Set the deadline of a name."""
        if self._planned.get(name) == due_ms:
            return
        self._planned[name] = due_ms
        heappush(self._heap, (due_ms, name))
        if len(self._heap) > 2 * len(self._planned) + SLACK:
            self._heap = [(due, named) for named, due in self._planned.items()]
            heapify(self._heap)

    def forget(self, name: Name) -> None:
        """Take the deadline of a name away."""
        self._planned.pop(name, None)

    def pop_due(self, now_ms: int) -> list[Name]:
        """Take out what is due, soonest first."""
        due: list[Name] = []
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, name = heappop(self._heap)
            if self._planned.get(name) == due_ms:
                del self._planned[name]
                due.append(name)
        return due
