"""Series in memory that rules read and write: what tests of rules and previews run on.

Expressions are evaluated by `analytics.promql`. What a rule wrote before and does not write now
is marked as ended, as Prometheus does, so that it is gone at once. Ranges are those of Prometheus 3
(open at their left end), as everywhere, unless the older dialect is asked for: see
docs/reference/promql.md.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from analytics import promql
from analytics.alerts.rules.evaluation import Row
from analytics.alerts.rules.expressions import Unreadable
from analytics.alerts.rules.series_notation import Mark, Value
from analytics.promql.series import STALE, Labels, Series, SeriesMatcher, labelled


class _Line(Struct):
    times: list[int]
    values: list[float]


class MemorySeries:
    """Series that begin at `start_ms`; see `rule_tests.World` for what it answers."""

    def __init__(
        self,
        start_ms: int = 0,
        dialect: promql.Dialect = promql.Dialect.THREE,
        budget: Callable[[], promql.Budget] = promql.Budget,
    ) -> None:
        """Begin empty; each expression may take a `budget`."""
        self._budget = budget
        self._start_ms = start_ms
        self._dialect = dialect
        self._lines: dict[Labels, _Line] = {}
        self._written: dict[str, set[Labels]] = {}
        self._read: dict[str, promql.Expression] = {}

    def load(self, labels: Mapping[str, str], values: Sequence[Value], step_ms: int) -> None:
        """Take the values of a series, one every `step_ms` from the start on."""
        line = self._lines.setdefault(labelled(labels), _Line([], []))
        for position, value in enumerate(values):
            if value is Mark.MISSING:
                continue
            line.times.append(self._start_ms + position * step_ms)
            line.values.append(value if isinstance(value, float) else STALE)

    def rows(self, expr: str, at_ms: int) -> list[Row]:
        """Return what `expr` gives at a time; raise `Unreadable`."""
        try:
            if expr not in self._read:
                self._read[expr] = promql.parse(expr)
            result = promql.instant(
                self._read[expr], self, at_ms, dialect=self._dialect, budget=self._budget()
            )
        except promql.BadExpression as error:
            raise Unreadable(error.reason, error.line, error.column) from None
        except promql.BadEvaluation as error:
            raise Unreadable(str(error)) from None
        if isinstance(result, float):
            return [Row({}, result)]
        points = [one for one in result if isinstance(one, promql.InstantPoint)]
        if isinstance(result, str) or len(points) < len(result):
            raise Unreadable("a rule's expression gives rows or a number, not a text or a range")
        return [Row(dict(point.labels), point.value) for point in points]

    def write(self, writer: str, rows: Sequence[Row], at_ms: int) -> None:
        """Keep a rule's results; series that it wrote before and did not now are over."""
        now = {labelled(row.labels): row.value for row in rows}
        for labels in self._written.get(writer, set()) - now.keys():
            self._add(labels, at_ms, STALE)
        for labels, value in now.items():
            self._add(labels, at_ms, value)
        self._written[writer] = set(now)

    def is_live(self, labels: Mapping[str, str]) -> bool:  # all of a test's are
        """Say that any series may be missed."""
        return True

    def select(self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """Return the series that match, between two times; see `promql.Storage`."""
        found = []
        for labels, line in self._lines.items():
            named = dict(labels)
            if not all(one.holds(named.get(one.name, "")) for one in matchers):
                continue
            low, high = bisect_left(line.times, from_ms), bisect_right(line.times, to_ms)
            if low < high:
                times = np.array(line.times[low:high], dtype=np.int64)
                values = np.array(line.values[low:high], dtype=np.float64)
                found.append(Series(labels, times, values))
        return found

    def _add(self, labels: Labels, at_ms: int, value: float) -> None:
        line = self._lines.setdefault(labels, _Line([], []))
        if not line.times or line.times[-1] < at_ms:
            line.times.append(at_ms)
            line.values.append(value)
