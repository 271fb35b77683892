"""Forecasts of tenants: what watched series will do, and when budgets run out.

Every five minutes the whole tenant's series learn what came since, and say the next hour; every
hour they and the cost of the busiest projects learn the hour, and say the next day and week. A
forecaster is kept whole in the transaction in which it learnt, so a worker that takes over goes on
as if nothing had happened.
"""

import logging
import math
from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg.types.json import Jsonb

from analytics.contracts.facts import Source
from analytics.contracts.ids import TenantId, derived
from analytics.contracts.result_events import ForecastMade, ForecastPoint
from analytics.forecast.budgets import FIVE_HOURS_MS, WEEK_MS, Every, exhaustion, period_of
from analytics.forecast.forecaster import BadForecast, Forecaster
from analytics.forecast.specs import HOUR_MS, ForecastSpec, ForecastStep
from analytics.monitoring.catalogue import STEP_MS, Key, watch_id
from streams.clients.times import instant
from streams.monitoring import state
from streams.monitoring.leases import Db

log = logging.getLogger(__name__)

SHORT: Final = ForecastSpec(step_ms=300_000, horizon=12, season=288, long_season=2_016, lower=0.0)
LONG: Final = ForecastSpec(step_ms=HOUR_MS, horizon=168, season=24, long_season=168, lower=0.0)
WHOLE: Final = tuple(
    Key(name) for name in ("cost_usd", "tokens", "requests", "request_errors", "sessions", "events")
)
"""The series of a whole tenant that are forecast."""
PROJECTS_MAX: Final = 20
"""Projects whose cost is forecast: those that cost most within the last day."""
HORIZONS: Final = {SHORT.step_ms: (("hour", 12),), LONG.step_ms: (("day", 24), ("week", 168))}
LOAD: Final = Key("events")

_SUMS: Final = """
select watch_id, sum(value::numeric)::float8 from scores
 where at > %s and at <= %s and watch_id = any(%s) group by watch_id
"""
_BUSIEST: Final = """
select w.part from watched w join scores s on s.watch_id = w.watch_id
 where w.tenant = %s and w.measure = 'cost_usd' and w.dimension = 'project'
   and s.at > %s and s.at <= %s
 group by w.part order by sum(s.value) desc, w.part limit %s
"""
_SNAPSHOTS: Final = """
select measure, dimension, part, snapshot from forecasters where tenant = %s and step_ms = %s
"""
_PUT_SNAPSHOT: Final = """
insert into forecasters (tenant, measure, dimension, part, step_ms, snapshot)
values (%s, %s, %s, %s, %s, %s)
on conflict (tenant, measure, dimension, part, step_ms) do update set snapshot = excluded.snapshot
"""
_PUT: Final = """
insert into forecasts (tenant, measure, dimension, part, horizon, made_at, step_ms, points)
values (%s, %s, %s, %s, %s, %s, %s, %s)
on conflict (tenant, measure, dimension, part, horizon) do update
   set made_at = excluded.made_at, step_ms = excluded.step_ms, points = excluded.points
"""
_BUDGETS: Final = "select name, period, limit_usd, project from budgets where tenant = %s"
_COSTS: Final = """
select (extract(epoch from at) * 1000)::bigint, value from scores
 where watch_id = %s and at > %s and at <= %s and value > 0 order by at
"""
_PUT_BUDGET: Final = """
update budgets set at = %s, spent_usd = %s, resets_at = %s, exhausts_at = %s, probability = %s
 where tenant = %s and name = %s
"""


class Forecasting:
    """The forecasts of one tenant; forget it when a pass was not committed."""

    def __init__(self, db: Db, tenant: str) -> None:
        """Take up what the store knows."""
        self._tenant = tenant
        self._known = {spec.step_ms: self._taken_up(db, spec) for spec in (SHORT, LONG)}
        self._said: dict[tuple[int, Key], tuple[ForecastStep, ...]] = {}

    def step(self, db: Db, at_ms: int) -> int:
        """Learn what is over and say what is to come; return how many forecasts were made."""
        made = 0
        if at_ms % SHORT.step_ms == 0:
            made += self._learn(db, SHORT, WHOLE, at_ms)
        if at_ms % LONG.step_ms == 0:
            made += self._learn(db, LONG, (*WHOLE, *self._projects(db, at_ms)), at_ms)
        if made:
            self._budget(db, at_ms)
        return made

    @property
    def load_per_s(self) -> float:
        """How many events a second may come within the hour, with 97.5 % certainty."""
        points = self._said.get((SHORT.step_ms, LOAD), ())
        return max((one.high95 for one in points), default=0.0) * 1_000 / SHORT.step_ms

    def _taken_up(self, db: Db, spec: ForecastSpec) -> dict[Key, Forecaster]:
        found = {}
        for measure, dimension, part, snapshot in db.execute(
            _SNAPSHOTS, [self._tenant, spec.step_ms]
        ):
            try:
                found[Key(measure, dimension, part)] = Forecaster.restore(bytes(snapshot))
            except BadForecast as error:
                log.warning("a series is forecast anew", extra={"reason": str(error)})
        return found

    def _projects(self, db: Db, at_ms: int) -> list[Key]:
        asked = [self._tenant, instant(at_ms - 24 * HOUR_MS), instant(at_ms), PROJECTS_MAX]
        return [Key("cost_usd", "project", part) for (part,) in db.execute(_BUSIEST, asked)]

    def _learn(self, db: Db, spec: ForecastSpec, keys: Sequence[Key], at_ms: int) -> int:
        ids = {watch_id(self._tenant, key): key for key in keys}
        asked = [instant(at_ms - spec.step_ms), instant(at_ms), list(ids)]
        sums = {ids[row[0]]: float(row[1]) for row in db.execute(_SUMS, asked)}
        known, made = self._known[spec.step_ms], 0
        for key in keys:
            if key not in known and not sums.get(key):
                continue
            forecaster = known.setdefault(key, Forecaster(spec))
            forecaster.learn(at_ms, sums.get(key, 0.0))
            points = self._said[spec.step_ms, key] = forecaster.forecast()
            self._keep(db, key, spec, forecaster.snapshot())
            for horizon, steps in HORIZONS[spec.step_ms]:
                self._tell(db, key, horizon, points[:steps], at_ms=at_ms, step_ms=spec.step_ms)
                made += 1
        return made

    def _keep(self, db: Db, key: Key, spec: ForecastSpec, snapshot: bytes) -> None:
        row = [self._tenant, key.measure, key.dimension, key.part, spec.step_ms, snapshot]
        db.execute(_PUT_SNAPSHOT, row)

    def _tell(
        self,
        db: Db,
        key: Key,
        horizon: str,
        points: Sequence[ForecastStep],
        *,
        at_ms: int,
        step_ms: int,
    ) -> None:
        event = ForecastMade(
            id=derived(
                "forecast.made", self._tenant, key.measure, key.dimension, key.part, horizon, at_ms
            ),
            tenant=TenantId(self._tenant),
            at_ms=at_ms,
            source=Source.STREAM,
            measure=key.measure,
            dimension=key.dimension,
            part=key.part,
            horizon=horizon,
            step_ms=step_ms,
            points=tuple(
                ForecastPoint(
                    at_ms=one.at_ms, mean=one.mean, low80=one.low80, high80=one.high80,
                    low95=one.low95, high95=one.high95,
                )
                for one in points
            ),
        )  # fmt: skip
        db.execute(
            _PUT,
            [self._tenant, key.measure, key.dimension, key.part, horizon, instant(at_ms), step_ms,
             Jsonb(msgspec.to_builtins(event.points))],
        )  # fmt: skip
        state.send(db, [event])

    def _budget(self, db: Db, at_ms: int) -> None:
        """Say of every budget what is spent and when it runs out."""
        for name, period, limit_usd, project in db.execute(_BUDGETS, [self._tenant]).fetchall():
            key = Key("cost_usd", "project", project) if project else Key("cost_usd")
            every = Every(period)
            back_ms = WEEK_MS if every is not Every.FIVE_HOURS else 4 * FIVE_HOURS_MS
            series = watch_id(self._tenant, key)
            asked = [series, instant(at_ms - back_ms), instant(at_ms)]
            costs = [(end_ms - STEP_MS, float(usd)) for end_ms, usd in db.execute(_COSTS, asked)]
            within = period_of(every, costs, at_ms)
            spent = math.fsum(usd for when_ms, usd in costs if when_ms >= within.starts_ms)
            points = self._ahead(key, within.ends_ms - at_ms)
            found = exhaustion(points, spent=spent, limit=limit_usd, resets_ms=within.ends_ms)
            out = None if found.at_ms is None else instant(found.at_ms)
            row = [instant(at_ms), spent, instant(within.ends_ms), out, found.probability]
            db.execute(_PUT_BUDGET, [*row, self._tenant, name])

    def _ahead(self, key: Key, left_ms: int) -> tuple[ForecastStep, ...]:
        """Return the forecast that reaches the end of a period, the finer one if it does."""
        short = self._said.get((SHORT.step_ms, key), ())
        is_short = left_ms <= SHORT.step_ms * SHORT.horizon
        long = self._said.get((LONG.step_ms, key)) or self._asked(LONG, key)
        return short if short and (is_short or not long) else long

    def _asked(self, spec: ForecastSpec, key: Key) -> tuple[ForecastStep, ...]:
        forecaster = self._known[spec.step_ms].get(key)
        points = () if forecaster is None else forecaster.forecast()
        self._said[spec.step_ms, key] = points
        return points
