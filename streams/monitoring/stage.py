"""The stage behind closed windows: minute by minute, what was odd, what is to come, whom to tell.

A worker leases shards of tenants (`leases`) and takes them through event time, as far as the store
says that minutes are whole (`reached`). In one transaction the shard's time moves under its lease,
readings are learnt, scores and anomalies are kept, and what others are to hear of is left in the
outbox. Then each tenant's rules are evaluated, with limits and without a transaction, and what came
of them is kept in one of their own, under the same lease; a tenant for whom that did not happen is
evaluated for that moment by whoever takes over. So all happens once, whoever is killed when; and
because what it decides depends on what the store held and on event time alone, a worker that comes
after goes on as if nothing had happened. It needs no broker: while that is away, rules about
silence still fire.

It is work for a thread of its own: it blocks, and it computes.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar
from uuid import uuid4

import psycopg
from msgspec import Struct
from psycopg import Connection

from analytics.contracts.errors import Fenced, Unavailable
from analytics.monitoring.catalogue import STEP_MS, Key, shard_of
from analytics.monitoring.monitor import SeriesMonitor, WatchRules
from analytics.monitoring.turns import next_turn
from streams import metrics
from streams.clients.errors import checked_url, mapped
from streams.monitoring import leases, state
from streams.monitoring import readings as minutes
from streams.monitoring.alerts import Alerting, EvaluationLimits
from streams.monitoring.forecasts import SHORT, Forecasting
from streams.monitoring.leases import Db, ShardLease
from streams.monitoring.progress import STALLED_MS, Reached
from streams.store.pool import SILENCE_S

log = logging.getLogger(__name__)

LOOK_S: Final = 0.25
"""How long after a look the next one is at least, however often it is asked for."""
TICK_S: Final = 2.0
"""How long after a look the next one is if nobody asks: other workers close windows too."""
RETRY_S: Final = 2.0
STILL_S: Final = 180.0
"""How long the stage may stand still, in one statement or one evaluation, before it is stuck."""
CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 60
HISTORY_MS: Final = 86_400_000
"""How far back a shard that nobody watched yet begins, and the most that is caught up with."""
SILENT_BEHIND_MS: Final = 3_600_000
"""Of what is longer ago than this nobody is told: it is learnt only."""

_OLDEST: Final = """
select (extract(epoch from min(start_at)) * 1000)::bigint
  from window_1m where start_at >= to_timestamp(%s / 1000.0)
"""
_TENANTS: Final = """
select tenant from situations where substr(md5(tenant), 1, 1) = any(%(digits)s)
union select tenant from alert_files where substr(md5(tenant), 1, 1) = any(%(digits)s)
"""
_FILES: Final = """
select tenant, count(*), max(changed_at) from alert_files
 where substr(md5(tenant), 1, 1) = any(%(digits)s) group by tenant
"""

T = TypeVar("T")


class StageOptions(Struct, frozen=True, kw_only=True):
    """How the stage works."""

    watch: WatchRules = WatchRules()
    stalled_ms: int = STALLED_MS
    lease_s: int = leases.LEASE_S
    external_url: str = ""
    limits: EvaluationLimits = EvaluationLimits()
    tick_s: float = TICK_S


class Passed(Struct, frozen=True, kw_only=True):
    """What one pass amounted to, for whoever counts."""

    at_ms: int
    readings: int
    anomalies: int
    notices: int
    refused: int
    seconds: float


class Stage:
    """Watches the tenants of one store until told to stop."""

    def __init__(
        self,
        url: str,
        rules: StageOptions,
        *,
        now_ms: Callable[[], int],
        told: Callable[[Passed], None] | None = None,
        woken: threading.Event | None = None,
    ) -> None:
        self._url = url
        self._rules = rules
        self._now_ms = now_ms
        self._told = told or counted
        self._woken = woken or threading.Event()
        """Set by whoever closed windows, and by whoever sets `stop`."""
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._reached = Reached(stalled_ms=rules.stalled_ms)
        self._held: dict[int, ShardLease] = {}
        self._watches: dict[str, SeriesMonitor] = {}
        self._alerting: dict[str, Alerting] = {}
        self._forecasting: dict[str, Forecasting] = {}
        self._owed: set[str] = set()
        """Tenants of shards that were taken over, whose last moment may not be decided yet."""
        self._beaten_s = 0.0
        self.moved_s = time.monotonic()
        """When the stage last moved on, by the monotonic clock."""

    def run(self, stop: threading.Event) -> None:
        """Watch; whatever goes wrong is tried again after a while."""
        while not stop.is_set():
            self.moved_s = time.monotonic()
            try:
                with mapped("watching"), self.connected() as db:
                    self._watch(db, stop)
                    self.leave(db)
            except Unavailable as error:
                log.info("watching waits", extra={"reason": str(error)})
            except Fenced as error:
                log.info("watching begins again", extra={"reason": str(error)})
            except Exception:
                log.exception("watching failed; it begins again from what is stored")
                metrics.WATCH_FAILURES.inc()
            self._forget()
            if not stop.is_set():
                stop.wait(RETRY_S)

    def connected(self) -> Db:
        """Open a connection of the stage's own; it ends when its context does."""
        return Connection.connect(
            checked_url(self._url),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            options=f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c timezone=UTC -c jit=off",
            application_name="mainstem watching",
            keepalives_idle=SILENCE_S,
            tcp_user_timeout=SILENCE_S * 1_000,
        )

    def _watch(self, db: Db, stop: threading.Event) -> None:
        while not stop.is_set():
            self._beat(db)
            reached_ms = self._reached.look(db, now_ms=self._now_ms())
            self.catch_up(db, reached_ms, stop)
            stop.wait(LOOK_S)
            self._woken.wait(self._rules.tick_s)
            self._woken.clear()

    def catch_up(self, db: Db, reached_ms: int, stop: threading.Event) -> None:
        """Take all shards as far as `reached_ms`, the ones that are furthest behind first."""
        self._begin(db, reached_ms)
        self._make_up(db, reached_ms)
        while not stop.is_set() and (due := self._due(reached_ms)) is not None:
            at_ms, group = due
            self._pass(db, group, at_ms, reached_ms=reached_ms)
            self._beat(db)
            self._make_up(db, reached_ms)

    def lease(self, db: Db) -> None:
        """Say that we are there, and take up what we hold from here on."""
        held = leases.beat(db, self._owner, lease_s=self._rules.lease_s)
        fresh = [one for one in held.values() if self._held.get(one.shard) != one]
        gone = self._held.keys() - held.keys() | {one.shard for one in fresh}
        for tenant in [one for one in self._tenants(self._held.values()) if shard_of(one) in gone]:
            for known in (self._watches, self._alerting, self._forecasting):
                known.pop(tenant, None)
        self._held = held
        for at_ms in sorted({one.at_ms for one in fresh if one.at_ms}):
            self._take_up(db, [one for one in fresh if one.at_ms == at_ms], at_ms)
        self._learn_feedback(db)
        metrics.WATCH_SHARDS.set(len(held))

    def _learn_feedback(self, db: Db) -> None:
        """Note which tenants changed files of alerts, so that their next pass is soon."""
        for tenant, count, changed_at in db.execute(_FILES, {"digits": leases.digits(self._held)}):
            self._alerts_of(db, tenant).learn_feedback((count, changed_at))

    def leave(self, db: Db) -> None:
        """Give all shards back."""
        leases.leave(db, self._owner)

    def _beat(self, db: Db) -> None:
        self.moved_s = time.monotonic()
        if time.monotonic() - self._beaten_s >= leases.BEAT_S or not self._held:
            self.lease(db)
            self._beaten_s = time.monotonic()

    def _take_up(self, db: Db, fresh: Sequence[ShardLease], at_ms: int) -> None:
        digits = leases.digits(fresh)
        self._watches |= state.take_up(db, digits, at_ms=at_ms, rules=self._rules.watch)
        for (tenant,) in db.execute(_TENANTS, {"digits": digits}).fetchall():
            self._alerts_of(db, tenant)
        self._owed |= set(self._tenants(fresh))

    def _make_up(self, db: Db, reached_ms: int) -> None:
        """Decide what a worker that we took over from did not, after it learnt of a moment."""
        while self._owed:
            tenant = self._owed.pop()
            lease = self._held.get(shard_of(tenant))
            if lease is None or reached_ms - lease.at_ms > SILENT_BEHIND_MS:
                continue
            if self._alerts_of(db, tenant).kept_ms < lease.at_ms:
                self._step(db, tenant, lease.at_ms)

    def _begin(self, db: Db, reached_ms: int) -> None:
        """Set where shards begin that nobody has watched yet, or not for too long."""
        behind_ms = reached_ms - HISTORY_MS
        late = [one for one in self._held.values() if one.at_ms < behind_ms]
        if not reached_ms or not late:
            return
        row = db.execute(_OLDEST, [behind_ms]).fetchone()
        oldest_ms = reached_ms if row is None or row[0] is None else min(int(row[0]), reached_ms)
        at_ms = oldest_ms // STEP_MS * STEP_MS
        with db.transaction():
            moved = leases.move(db, self._owner, late, at_ms, lease_s=self._rules.lease_s)
            for watch in self._of(self._watches, late):
                state.put_all(db, watch, at_ms)
        self._held |= {one.shard: one for one in moved}

    def _due(self, reached_ms: int) -> tuple[int, list[ShardLease]] | None:
        """Return the next pass that may be made, and for which shards: the lightest ones first."""
        due: dict[int, list[ShardLease]] = {}
        for lease in self._held.values():
            if lease.at_ms:
                due.setdefault(self._next_ms(lease), []).append(lease)
        first = min(due, default=None)
        if first is None or first > reached_ms:
            return None
        held = {lease.shard: lease for lease in due[first]}
        return first, [held[one] for one in next_turn(self._weights(held))]

    def _weights(self, shards: Iterable[int]) -> dict[int, int]:
        """Return how many series each shard holds."""
        weights = dict.fromkeys(shards, 0)
        for tenant, watch in self._watches.items():
            if (shard := shard_of(tenant)) in weights:
                weights[shard] += len(watch)
        return weights

    def _next_ms(self, lease: ShardLease) -> int:
        minute = lease.at_ms // STEP_MS * STEP_MS + STEP_MS
        asked = [one.next_ms(lease.at_ms) for one in self._of(self._alerting, [lease])]
        return min([minute, *(at_ms for at_ms in asked if at_ms is not None)])

    def _pass(self, db: Db, group: Sequence[ShardLease], at_ms: int, *, reached_ms: int) -> None:
        begun_s = time.perf_counter()
        with db.transaction():
            moved = leases.move(db, self._owner, group, at_ms, lease_s=self._rules.lease_s)
            learnt = self._learn(db, group, at_ms) if at_ms % STEP_MS == 0 else (0, 0, 0)
        self._held |= {one.shard: one for one in moved}
        notices = 0
        if reached_ms - at_ms <= SILENT_BEHIND_MS:
            notices = sum(self._step(db, tenant, at_ms) for tenant in self._tenants(group))
        readings, anomalies, refused = learnt
        metrics.WATCHED_SERIES.set(sum(map(len, self._watches.values())))
        metrics.WATCH_LAG.set((self._now_ms() - at_ms) / 1_000)
        self._told(
            Passed(
                at_ms=at_ms,
                readings=readings,
                anomalies=anomalies,
                notices=notices,
                refused=refused,
                seconds=time.perf_counter() - begun_s,
            )
        )

    def _learn(self, db: Db, group: Sequence[ShardLease], at_ms: int) -> tuple[int, int, int]:
        found = minutes.read(db, leases.digits(group), at_ms)
        readings = anomalies = refused = 0
        for tenant in {*found, *self._tenants(group)}:
            watch = self._watches.setdefault(tenant, SeriesMonitor(tenant, self._rules.watch))
            changed = watch.learn_feedback(state.words(db, tenant))
            here: Mapping[Key, float] = found.get(tenant, {})
            minute = watch.learn(at_ms, here)
            state.put(db, tenant, minute, changed)
            self._forecast(db, tenant, at_ms)
            self._alerts_of(db, tenant)
            readings += len(watch)
            anomalies += len(minute.anomalies)
            refused += minute.refused
        return readings, anomalies, refused

    def _forecast(self, db: Db, tenant: str, at_ms: int) -> None:
        if at_ms % SHORT.step_ms:
            return
        if tenant not in self._forecasting:
            self._forecasting[tenant] = Forecasting(db, tenant)
        self._forecasting[tenant].step(db, at_ms)
        metrics.FORECAST_LOAD.set(sum(one.load_per_s for one in self._forecasting.values()))

    def _step(self, db: Db, tenant: str, at_ms: int) -> int:
        """Take a tenant's alerts on; one whose rules cannot be taken keeps nobody else from it."""
        alerting = self._alerts_of(db, tenant)
        try:
            decided = alerting.decide(db, at_ms, self._rules.limits)
            self._beat(db)
            with db.transaction():
                held = [self._lease_of(tenant, at_ms)]
                leases.move(db, self._owner, held, at_ms, lease_s=self._rules.lease_s)
                return alerting.keep(db, decided, at_ms)
        except (psycopg.Error, Fenced):
            raise
        except Exception:
            log.exception("the alerts of a tenant failed", extra={"tenant": tenant})
            metrics.WATCH_FAILURES.inc()
            del self._alerting[tenant]
            return 0

    def _lease_of(self, tenant: str, at_ms: int) -> ShardLease:
        lease = self._held.get(shard_of(tenant))
        if lease is None or lease.at_ms != at_ms or tenant not in self._alerting:
            raise Fenced("the shard of a tenant is another worker's by now")
        return lease

    def _alerts_of(self, db: Db, tenant: str) -> Alerting:
        if tenant not in self._alerting:
            self._alerting[tenant] = Alerting(db, tenant, external_url=self._rules.external_url)
        return self._alerting[tenant]

    def _tenants(self, group: Iterable[ShardLease]) -> list[str]:
        """Return the tenants of some shards, those of few series first."""
        shards = {one.shard for one in group}
        found = [one for one in {*self._watches, *self._alerting} if shard_of(one) in shards]
        return sorted(found, key=lambda one: (len(self._watches.get(one, ())), one))

    def _of(self, by_tenant: Mapping[str, T], held: Iterable[ShardLease]) -> list[T]:
        shards = {one.shard for one in held}
        return [one for tenant, one in by_tenant.items() if shard_of(tenant) in shards]

    def _forget(self) -> None:
        self._held, self._watches, self._alerting, self._forecasting = {}, {}, {}, {}
        self._owed = set()


def counted(passed: Passed) -> None:
    """Count a pass in the worker's metrics."""
    metrics.WATCH_SECONDS.observe(passed.seconds)
    metrics.READINGS.inc(passed.readings)
    metrics.ANOMALIES.inc(passed.anomalies)
    metrics.NOTICES.inc(passed.notices)
    metrics.WATCH_REFUSED.inc(passed.refused)
