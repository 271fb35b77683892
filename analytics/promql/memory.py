"""Series held in memory: for rule tests, previews and what a worker has just closed.

Series of one metric are found by name first, so that a rule looks at its own metric only.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from analytics.promql.series import (
    NAME,
    MatchOperator,
    Series,
    SeriesMatcher,
    Sketches,
    Times,
    value_of,
)

Held = TypeVar("Held", Series, Sketches)


class MemoryStorage:
    """A fixed set of series and sketches."""

    def __init__(self, series: Iterable[Series], sketches: Iterable[Sketches] = ()) -> None:
        self._by_name: dict[str, list[Series]] = {}
        for one in series:
            self._by_name.setdefault(value_of(one.labels, NAME), []).append(one)
        self._sketches = tuple(sketches)

    def select(self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """See `Storage`."""
        found = []
        for one in _matching(self._named(matchers), matchers):
            low, high = _between(one.times, from_ms, to_ms)
            if low < high:
                found.append(Series(one.labels, one.times[low:high], one.values[low:high]))
        return found

    def select_sketches(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> list[Sketches]:
        """See `SketchStorage`."""
        found = []
        for one in _matching(self._sketches, matchers):
            low, high = _between(one.times, from_ms, to_ms)
            if low < high:
                found.append(Sketches(one.labels, one.times[low:high], one.counts[low:high]))
        return found

    def _named(self, matchers: Sequence[SeriesMatcher]) -> Iterable[Series]:
        for matcher in matchers:
            if matcher.name == NAME and matcher.sign is MatchOperator.EQUAL:
                return self._by_name.get(matcher.value, [])
        return [one for named in self._by_name.values() for one in named]


def _matching(held: Iterable[Held], matchers: Sequence[SeriesMatcher]) -> list[Held]:
    known: list[dict[str, bool]] = [{} for _ in matchers]
    return [one for one in held if _hold(matchers, known, dict(one.labels))]


def _hold(
    matchers: Sequence[SeriesMatcher], known: Sequence[dict[str, bool]], labels: dict[str, str]
) -> bool:
    """Say whether all hold; each value of a label is compared once."""
    for matcher, answers in zip(matchers, known, strict=True):
        value = labels.get(matcher.name, "")
        answer = answers.get(value)
        if answer is None:
            answer = answers[value] = matcher.holds(value)
        if not answer:
            return False
    return True


def _between(times: Times, from_ms: int, to_ms: int) -> tuple[int, int]:
    low, high = np.searchsorted(times, (from_ms, to_ms + 1))
    return int(low), int(high)
