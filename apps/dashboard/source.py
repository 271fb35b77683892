"""Answers from the store, shared by all viewers: one query at a time, however many look.

An answer is kept under its tenant, its name and what was asked, for a little while; then the next
viewer's question goes to the store. A slow answer is kept longer in proportion, so that a page
never keeps the store busy for more than a tenth of the time. While the store is away the last good
answer is given, with its age and one sentence. At most `answers_max` are kept; the one unused for
longest goes first.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Final, Generic, TypeVar

from analytics.contracts.errors import StoreAway
from streams.series.measures import Db

T = TypeVar("T")

Key = tuple[Hashable, ...]
Connect = Callable[[], AbstractContextManager[Db]]

SLOW_FACTOR: Final = 10
"""An answer is kept for this many times as long as it took."""

PAUSE_S: Final = 2.0
"""How long the store is left alone after it did not answer."""


class CachedAnswer(Generic[T]):
    """What the store said, when, and why it is not newer."""

    __slots__ = ("asked_s", "problem", "value")

    def __init__(self, value: T, asked_s: float, problem: str = "") -> None:
        self.value = value
        self.asked_s = asked_s
        self.problem = problem


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answer: CachedAnswer[object] | None = None
        self.good_until_s = 0.0


class Answers:
    """A bounded, shared memory of what the store answered."""

    def __init__(
        self, connect: Connect, *, clock: Callable[[], float], keep_s: float, answers_max: int
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._keep_s = keep_s
        self._answers_max = answers_max
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._away_until_s = 0.0
        self._away = ""

    def ask(self, tenant: str, asked: Key, query: Callable[[Db], T]) -> CachedAnswer[T]:
        """Return the answer to `asked` for `tenant`; raise `StoreAway` if there never was one.

        Everything that `query` depends on but time must be part of `asked`.
        """
        entry = self._entry((tenant, *asked))
        with entry.lock:
            if entry.answer is None or self._clock() >= entry.good_until_s:
                self._renew(entry, query)
            # The key names the query, so what it holds is what the query returns.
            return entry.answer  # type: ignore[return-value]  # see the line above

    def _entry(self, key: Key) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            while len(self._entries) > self._answers_max:
                self._entries.popitem(last=False)
            return entry

    def _renew(self, entry: _Entry, query: Callable[[Db], object]) -> None:
        begun_s = self._clock()
        if begun_s < self._away_until_s:
            self._fall_back(entry, self._away)
            return
        try:
            with self._connect() as db:
                value = query(db)
        except StoreAway as error:
            self._away, self._away_until_s = str(error), self._clock() + PAUSE_S
            self._fall_back(entry, self._away)
            return
        ended_s = self._clock()
        entry.answer = CachedAnswer(value, begun_s)
        entry.good_until_s = ended_s + max(self._keep_s, SLOW_FACTOR * (ended_s - begun_s))

    def _fall_back(self, entry: _Entry, problem: str) -> None:
        """Give the last good answer again, or say that the store is away."""
        if entry.answer is None:
            raise StoreAway(problem)
        entry.answer = CachedAnswer(entry.answer.value, entry.answer.asked_s, problem)
        entry.good_until_s = self._away_until_s
