"""The series that rules write, recorded rules and `ALERTS`, and expressions over all series.

What a rule wrote is in the store, in the transaction of the pass that evaluated it, so it is there
for later rules, after a restart and for queries. A sample without a value says that its series
ended.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from analytics import promql
from analytics.alerts.rules.evaluation import Row
from analytics.alerts.rules.exposed import BY_NAME
from analytics.alerts.rules.expressions import Unreadable
from analytics.promql.series import (
    NAME,
    STALE,
    Labels,
    MatchOperator,
    Series,
    SeriesMatcher,
    Sketches,
    SketchStorage,
    Storage,
    labelled,
)
from streams.clients.reader import Db
from streams.clients.times import instant

SAMPLES_MAX: Final = 100_000
"""Samples that one selector reads of what rules wrote."""
EXPRESSIONS_MAX: Final = 1_000
WRITTEN: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
"""The exposed families that rules write themselves."""

_ADD: Final = """
insert into recordings (tenant, at, labels, value)
select %s, %s, labels, value from unnest(%s::jsonb[], %s::float8[]) as row (labels, value)
"""
_READ: Final = """
select labels, (extract(epoch from at) * 1000)::bigint, value
  from recordings
 where tenant = %s and at >= %s and at <= %s and labels @> %s
 order by at limit %s
"""

Written = dict[str, set[Labels]]
"""By writer, the series of its last evaluation."""


class Recorded:
    """What the rules of a tenant wrote, as a storage."""

    def __init__(self, db: Db, tenant: str) -> None:
        self._db = db
        self._tenant = tenant
        self._added: list[tuple[int, Labels, float | None]] = []

    def add(self, rows: Sequence[tuple[Labels, float | None]], at_ms: int) -> None:
        """Take samples of a moment, to be kept; None ends a series."""
        self._added += [
            (at_ms, labels, None if value is None else float(value)) for labels, value in rows
        ]

    def keep(self) -> None:
        """Have the store keep what was added, in the transaction that is open."""
        by_moment: dict[int, list[tuple[Labels, float | None]]] = {}
        for at_ms, labels, value in self._added:
            by_moment.setdefault(at_ms, []).append((labels, value))
        for at_ms, rows in by_moment.items():
            names = [Jsonb(dict(one)) for one, _ in rows]
            values = [value for _, value in rows]
            self._db.execute(_ADD, [self._tenant, instant(at_ms), names, values])
        self._added = []

    def select(self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """Return the series that match, between two times."""
        named = {
            one.name: one.value for one in matchers if one.sign is MatchOperator.EQUAL and one.value
        }
        rows = self._db.execute(
            _READ, [self._tenant, instant(from_ms), instant(to_ms), Jsonb(named), SAMPLES_MAX]
        )
        lines: dict[Labels, list[tuple[int, float]]] = {}
        for labels, at_ms, value in rows:
            if all(one.holds(labels.get(one.name, "")) for one in matchers):
                samples = lines.setdefault(labelled(labels), [])
                samples.append((at_ms, STALE if value is None else value))
        for at_ms, own, value in self._added:
            names = dict(own)
            if from_ms <= at_ms <= to_ms and all(
                one.holds(names.get(one.name, "")) for one in matchers
            ):
                lines.setdefault(own, []).append((at_ms, STALE if value is None else value))
        return [_series(labels, sorted(samples, key=_at)) for labels, samples in lines.items()]


class RuleSeries:
    """What rules read and write at a moment: see `analytics.alerts.dispatch.engine.Series`."""

    def __init__(
        self,
        storage: Storage,
        recorded: Recorded,
        written: Written,
        *,
        budget: Callable[[], promql.Budget],
        is_live: Callable[[Mapping[str, str]], bool],
    ) -> None:
        """Read `storage` and what was recorded; each expression may take a `budget`."""
        self._budget = budget
        self.is_live = is_live
        """Say whether what has some labels is told of as it happens."""
        self._storage = Together(storage, recorded)
        self._recorded = recorded
        self._written = written

    def rows(self, expr: str, at_ms: int) -> list[Row]:
        """Return what `expr` gives; raise `Unreadable`."""
        try:
            found = promql.instant(
                _parsed(expr),
                self._storage,
                at_ms,
                dialect=promql.Dialect.THREE,
                budget=self._budget(),
            )
        except promql.BadExpression as error:
            raise Unreadable(error.reason, error.line, error.column) from None
        except (promql.BadEvaluation, OverflowError) as error:
            raise Unreadable(str(error)) from None
        except psycopg.errors.QueryCanceled:
            raise Unreadable("the store took longer than a rule may; select fewer series") from None
        if isinstance(found, float):
            return [Row({}, found)]
        points = [one for one in found if isinstance(one, promql.InstantPoint)]
        if isinstance(found, str) or len(points) < len(found):
            raise Unreadable("a rule's expression gives rows or a number, not a text or a range")
        return [Row(dict(point.labels), point.value) for point in points]

    def write(self, writer: str, rows: Sequence[Row], at_ms: int) -> None:
        """Keep a rule's results; series that it wrote before and did not now are over."""
        now: dict[Labels, float | None] = {labelled(row.labels): row.value for row in rows}
        ended = self._written.get(writer, set()) - now.keys()
        self._recorded.add([*now.items(), *((labels, None) for labels in sorted(ended))], at_ms)
        if now:
            self._written[writer] = set(now)
        else:
            self._written.pop(writer, None)


class Together:
    """The store's series and those that rules wrote; the store is asked once in a pass."""

    def __init__(self, storage: Storage, recorded: Recorded) -> None:
        self._storage = storage
        self._recorded = recorded
        self._known: dict[object, Sequence[Series]] = {}
        self._sketches: dict[object, Sequence[Sketches]] = {}

    def select(self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """Return the series that match, between two times."""
        asked = (_plain(matchers), from_ms, to_ms)
        if asked not in self._known:
            self._known[asked] = self._storage.select(matchers, from_ms, to_ms)
        own = self._recorded.select(matchers, from_ms, to_ms) if may_be_written(matchers) else []
        return [*self._known[asked], *own]

    def select_sketches(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Sequence[Sketches]:
        """Return the sketches that match, between two times."""
        asked = (_plain(matchers), from_ms, to_ms)
        if asked not in self._sketches and isinstance(self._storage, SketchStorage):
            self._sketches[asked] = self._storage.select_sketches(matchers, from_ms, to_ms)
        return self._sketches.get(asked, ())


def _plain(matchers: Sequence[SeriesMatcher]) -> tuple[tuple[str, MatchOperator, str], ...]:
    return tuple((one.name, one.sign, one.value) for one in matchers)


def may_be_written(matchers: Sequence[SeriesMatcher]) -> bool:
    """Say whether a rule may have written what is asked for."""
    named = [one.value for one in matchers if one.name == NAME and one.sign is MatchOperator.EQUAL]
    return not named or named[0] not in BY_NAME or named[0] in WRITTEN


def _at(sample: tuple[int, float]) -> int:
    return sample[0]


def _series(labels: Labels, samples: Sequence[tuple[int, float]]) -> Series:
    times = np.array([at_ms for at_ms, _ in samples], dtype=np.int64)
    return Series(labels, times, np.array([value for _, value in samples], dtype=np.float64))


@lru_cache(EXPRESSIONS_MAX)
def _parsed(text: str) -> promql.Expression:
    return promql.parse(text)
