"""All series of a tenant as PromQL sees them: windows, and what watching and sessions say.

Beside the counters and sketches of `exposing`: how odd each watched series was, what was forecast
of it, when budgets run out, what sessions do, and how many records could not be read. A gauge has a
sample at each minute at which something was known. What sessions do is known of now alone: it is
one sample, at the end of the range.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from analytics.alerts.rules.exposed import SESSION_PREFIX
from analytics.monitoring.catalogue import MEASURES, STEP_MS
from analytics.promql.errors import BadEvaluation
from analytics.promql.series import (
    NAME,
    Labels,
    MatchOperator,
    Series,
    SeriesMatcher,
    Sketches,
    labelled,
)
from streams.series import public_names
from streams.series.measures import Db
from streams.series.promql_series import FAMILIES, StoreSeries
from streams.series.recent import Recent

ROWS_MAX: Final = 200_000
"""Samples that one selector may read of what watching said."""
SESSIONS_MAX: Final = 10_000
SESSION: Final = "session"
SESSION_LABEL: Final = "session_id"
ALIVE_MS: Final = 86_400_000
"""Sessions whose last event is longer ago are not told of."""

_SCORES: Final = """
select w.measure, w.dimension, w.part, (extract(epoch from s.at) * 1000)::bigint, s.score::float8
  from scores s join watched w on w.watch_id = s.watch_id
 where w.tenant = %(tenant)s and s.at >= to_timestamp(%(from_ms)s / 1000.0)
   and s.at <= to_timestamp(%(to_ms)s / 1000.0)
   and (w.measure, w.dimension = 'session') in (
       select * from unnest(%(measures)s::text[], %(sessions)s::bool[]))
   and (%(session)s = '' or (w.dimension = 'session' and w.part = %(session)s))
 order by 1, 2, 3, 4 limit %(limit)s
"""
_FORECASTS: Final = """
select f.measure, f.dimension, f.part, (extract(epoch from f.made_at) * 1000)::bigint, f.points -> 0
  from forecasts f
 where f.tenant = %(tenant)s and f.horizon = 'hour'
   and f.made_at >= to_timestamp(%(from_ms)s / 1000.0)
   and f.made_at <= to_timestamp(%(to_ms)s / 1000.0)
"""
_BUDGETS: Final = """
select name, project, (extract(epoch from at) * 1000)::bigint,
       extract(epoch from exhausts_at - at)::float8
  from budgets
 where tenant = %(tenant)s and exhausts_at is not null
   and at >= to_timestamp(%(from_ms)s / 1000.0) and at <= to_timestamp(%(to_ms)s / 1000.0)
"""
_SESSIONS: Final = """
select project, agent, session_id, user_name, team, state,
       extract(epoch from to_timestamp(%(to_ms)s / 1000.0)
                          - greatest(state_since, started_at))::float8,
       extract(epoch from to_timestamp(%(to_ms)s / 1000.0) - last_at)::float8
  from sessions
 where tenant = %(tenant)s and ended_at is null
   and last_at > to_timestamp((%(to_ms)s - %(alive)s) / 1000.0)
   and last_period >= date_bin('10 minutes', to_timestamp((%(to_ms)s - %(alive)s) / 1000.0),
                               '2000-01-01 00:00:00+00')
   and started_at <= to_timestamp(%(to_ms)s / 1000.0)
 order by last_at desc limit %(limit)s
"""
_DEAD_LETTERS: Final = """
select topic, (extract(epoch from date_bin('1 minute', at, 'epoch'::timestamptz)) * 1000)::bigint,
       count(*)
  from dead_letters
 where (tenant = %(tenant)s or (tenant = '' and %(operator)s))
   and at <= to_timestamp(%(to_ms)s / 1000.0)
 group by 1, 2 order by 1, 2
"""
Sample = tuple[Mapping[str, str], int, float]
"""Labels, when and what."""
_EXPOSED: Final = {
    (one.name, dimension == SESSION): (SESSION_PREFIX if dimension == SESSION else "") + one.exposed
    for one in MEASURES
    for dimension in ("", *one.dimensions)
}
"""What a watched series is called by measure, and whether it is of a session."""


class EverySeries:
    """See the module: `analytics.promql.Storage` over all that a tenant has in the store."""

    def __init__(
        self, db: Db, tenant: str, *, until_ms: int, recent: Recent | None = None,
        operator: bool = False,
    ) -> None:  # fmt: skip
        """Know nothing that is later than `until_ms`; what is `recent` is not read again.

        Only an `operator` sees what no tenant could be told of, such as records without any.
        """
        self._operator = operator
        self._db = db
        self._tenant = tenant
        self._until_ms = until_ms
        self._windows = StoreSeries(db, tenant, until_ms=until_ms, recent=recent)

    def select(self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int) -> list[Series]:
        """Return the series for which all of `matchers` hold."""
        to_ms = min(to_ms, self._until_ms)
        found = list(self._windows.select(matchers, from_ms, to_ms))
        found += public_names.select(self._windows, matchers, from_ms, to_ms)
        for names, read in _GAUGES:
            asked = [name for name in names if _is_named(matchers, name)]
            if asked and from_ms <= to_ms:
                samples = read(self, matchers, from_ms, to_ms)
                found += _series(matchers, samples, frozenset(asked))
        return found

    def select_sketches(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> list[Sketches]:
        """Return the sketches for which all of `matchers` hold."""
        return self._windows.select_sketches(matchers, from_ms, to_ms)

    def scores(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Iterator[Sample]:
        """Yield how odd the readings of watched series were."""
        kinds = [
            kind for kind, exposed in _EXPOSED.items()
            if all(one.holds(exposed) for one in matchers if one.name == "series")
        ]  # fmt: skip
        session = _equal(matchers, SESSION_LABEL)
        rows = self._db.execute(
            _SCORES,
            {
                **self._bound(from_ms, to_ms), "measures": [name for name, _ in kinds],
                "sessions": [is_session for _, is_session in kinds], "session": session,
                "limit": ROWS_MAX + 1,
            },
        ).fetchall()  # fmt: skip
        if len(rows) > ROWS_MAX:
            raise BadEvaluation(f"more than {ROWS_MAX} scores; name a series or a shorter range")
        for measure, dimension, part, at_ms, score in rows:
            yield _watched("anomaly_score", measure, dimension, part), at_ms, score

    def forecasts(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Iterator[Sample]:
        """Yield the ends of what is expected of the next step."""
        del matchers
        rows = self._db.execute(_FORECASTS, self._bound(from_ms, to_ms))
        for measure, dimension, part, at_ms, point in rows:
            for level in ("80", "95"):
                for end in ("low", "high"):
                    labels = _watched(f"forecast_{end}", measure, dimension, part)
                    yield {**labels, "level": level}, at_ms, float(point[f"{end}{level}"])

    def budgets(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Iterator[Sample]:
        """Yield in how many seconds budgets run out that do before their reset."""
        del matchers
        for name, project, at_ms, left_s in self._db.execute(_BUDGETS, self._bound(from_ms, to_ms)):
            labels = {NAME: "forecast_exhaustion_seconds", "budget": name, "project": project}
            yield labels, at_ms, left_s

    def sessions(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Iterator[Sample]:
        """Yield what sessions do now, and for how long."""
        del matchers, from_ms
        bound = {**self._bound(0, to_ms), "alive": ALIVE_MS, "limit": SESSIONS_MAX}
        for project, agent, session_id, user, team, state, since_s, silent_s in self._db.execute(
            _SESSIONS, bound
        ):
            of = {"project": project, "agent": agent, "session_id": session_id, "user": user}
            labels = {**of, "team": team}
            yield {**labels, NAME: "session_state", "state": state}, to_ms, 1.0
            yield {**labels, NAME: "session_state_seconds", "state": state}, to_ms, since_s
            if state == "running":
                yield {**labels, NAME: "session_silent_seconds"}, to_ms, silent_s

    def dead_letters(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Iterator[Sample]:
        """Yield how many records could not be read so far, at every minute."""
        del matchers
        counts: dict[str, list[tuple[int, int]]] = {}
        bound = {**self._bound(0, to_ms), "operator": self._operator}
        for topic, at_ms, count in self._db.execute(_DEAD_LETTERS, bound):
            counts.setdefault(topic, []).append((at_ms + STEP_MS, count))
        for topic, rows in counts.items():
            labels = {NAME: "dead_letters_total", "topic": topic}
            times = np.array([at_ms for at_ms, _ in rows], dtype=np.int64)
            sums = np.cumsum([count for _, count in rows])
            first = max(-(-from_ms // STEP_MS) * STEP_MS, int(times[0]) - STEP_MS)
            for at_ms in range(first, to_ms + 1, STEP_MS):
                place = int(np.searchsorted(times, at_ms, side="right"))
                yield labels, at_ms, float(sums[place - 1]) if place else 0.0

    def _bound(self, from_ms: int, to_ms: int) -> dict[str, object]:
        return {"tenant": self._tenant, "from_ms": from_ms, "to_ms": to_ms}


_Read = Callable[[EverySeries, Sequence[SeriesMatcher], int, int], Iterable[Sample]]
_GAUGES: Final[tuple[tuple[tuple[str, ...], _Read], ...]] = (
    (("anomaly_score",), EverySeries.scores),
    (("forecast_low", "forecast_high"), EverySeries.forecasts),
    (("forecast_exhaustion_seconds",), EverySeries.budgets),
    (
        ("session_state", "session_state_seconds", "session_silent_seconds"),
        EverySeries.sessions,
    ),
    (("dead_letters_total",), EverySeries.dead_letters),
)
GAUGES: Final = tuple(name for names, _ in _GAUGES for name in names)
"""The families that are answered here; those of windows are in `exposing.FAMILIES`."""
NAMES: Final = tuple(sorted({*FAMILIES, *GAUGES, *public_names.NAMES}))
"""Every name that has series, as far as there is data."""


def _watched(name: str, measure: str, dimension: str, part: str) -> dict[str, str]:
    labels = {NAME: name, "series": _EXPOSED[measure, dimension == SESSION]}
    if dimension:
        labels[SESSION_LABEL if dimension == SESSION else dimension] = part
    return labels


def _is_named(matchers: Sequence[SeriesMatcher], name: str) -> bool:
    return all(one.holds(name) for one in matchers if one.name == NAME)


def _equal(matchers: Sequence[SeriesMatcher], label: str) -> str:
    """Return the one value that a label must have, if it must have one."""
    found = [one.value for one in matchers if one.name == label and one.sign is MatchOperator.EQUAL]
    return found[0] if found else ""


def _series(
    matchers: Sequence[SeriesMatcher], samples: Iterable[Sample], names: frozenset[str]
) -> list[Series]:
    lines: dict[Labels, list[tuple[int, float]]] = {}
    for labels, at_ms, value in samples:
        if labels[NAME] in names and all(one.holds(labels.get(one.name, "")) for one in matchers):
            lines.setdefault(labelled(labels), []).append((at_ms, value))
    return [
        Series(
            labels,
            np.array([at_ms for at_ms, _ in line], dtype=np.int64),
            np.array([value for _, value in line], dtype=np.float64),
        )
        for labels, line in lines.items()
    ]
