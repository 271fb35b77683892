"""What is kept of watched series: snapshots, readings and anomalies; and how they are taken up.

A series goes on from its last snapshot and the readings that were told of since, up to the time of
its shard: what was written later belongs to no commit and is not there.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from psycopg.types.json import Jsonb

from analytics.anomaly.detector import BadSnapshot
from analytics.contracts import cloudevents
from analytics.contracts.cloudevents import Record
from analytics.contracts.events import Event
from analytics.contracts.facts import Source
from analytics.contracts.ids import TenantId, derived
from analytics.contracts.result_events import AnomalyFound, Contributor
from analytics.monitoring.catalogue import BY_NAME, Key
from analytics.monitoring.monitor import (
    DetectedAnomaly,
    Minute,
    MonitoredSeries,
    SeriesMonitor,
    WatchRules,
)
from streams.clients.times import instant
from streams.monitoring.leases import Db

log = logging.getLogger(__name__)

_SERIES: Final = """
select tenant, measure, dimension, part, since_ms, active_ms, snapshot_ms, snapshot
  from watched where substr(md5(tenant), 1, 1) = any(%s) and snapshot is not null
"""
_TOLD: Final = """
select s.watch_id, (extract(epoch from s.at) * 1000)::bigint, s.value
  from watched w join scores s on s.watch_id = w.watch_id
   and s.at > to_timestamp(w.snapshot_ms / 1000.0) and s.at <= to_timestamp(%s / 1000.0)
 where substr(md5(w.tenant), 1, 1) = any(%s)
"""
_PUT: Final = """
insert into watched (watch_id, tenant, measure, dimension, part, since_ms, active_ms, snapshot_ms,
                     snapshot)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (watch_id) do update
   set since_ms = excluded.since_ms, active_ms = excluded.active_ms,
       snapshot_ms = excluded.snapshot_ms, snapshot = excluded.snapshot
"""
_REMOVE: Final = "delete from watched where watch_id = any(%s)"
_ADD_SCORES: Final = (
    "copy scores (at, watch_id, value, low, high, score) from stdin (format binary)"
)
_SCORE_TYPES: Final = ("timestamptz", "int8", "float8", "float8", "float8", "float4")
_ADD_ANOMALY: Final = """
insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part, value,
                       expected_low, expected_high, score, rarity, ingredient, reason, contributors)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (anomaly_id) do nothing
"""
_ADD_OUTBOX: Final = "insert into outbox (topic, key, value, headers) values (%s, %s, %s, %s)"
_WORDS: Final = """
select watch_id, count(*) filter (where feedback = 'useful'),
       count(*) filter (where feedback = 'noise')
  from anomalies where tenant = %s and feedback <> '' group by watch_id
"""


def take_up(
    db: Db, digits: Sequence[str], *, at_ms: int, rules: WatchRules
) -> dict[str, SeriesMonitor]:
    """Return the watches of all tenants of some shards as they were at `at_ms`."""
    told: dict[int, dict[int, float]] = {}
    with db.cursor(binary=True) as cursor:
        for watched_id, when_ms, value in cursor.execute(_TOLD, [at_ms, list(digits)]):
            told.setdefault(watched_id, {})[when_ms] = value
        rows = cursor.execute(_SERIES, [list(digits)]).fetchall()
    series: dict[str, list[MonitoredSeries]] = {}
    for tenant, measure, dimension, part, since_ms, active_ms, snapshot_ms, snapshot in rows:
        if measure not in BY_NAME:
            continue
        watched = MonitoredSeries(tenant, Key(measure, dimension, part), since_ms)
        watched.active_ms = active_ms
        try:
            watched.restore(bytes(snapshot), snapshot_ms)
        except BadSnapshot as error:
            log.warning("a series is watched anew", extra={"reason": str(error)})
            continue
        watched.resume(told.get(watched.id, {}), until_ms=at_ms)
        series.setdefault(tenant, []).append(watched)
    return {tenant: SeriesMonitor(tenant, rules, some) for tenant, some in series.items()}


def words(db: Db, tenant: str) -> dict[int, tuple[int, int]]:
    """Return what people said of a tenant's anomalies, by series: useful, noise."""
    return {row[0]: (row[1], row[2]) for row in db.execute(_WORDS, [tenant])}


def put(db: Db, tenant: str, minute: Minute, changed: Iterable[MonitoredSeries]) -> None:
    """Keep what came of a minute, within the caller's transaction."""
    kept = {one.id: one for one in (*minute.snapshots, *changed)}
    _put_snapshots(db, tenant, kept.values(), minute.at_ms)
    at = instant(minute.at_ms)
    with db.cursor(binary=True) as cursor:
        if minute.gone:
            cursor.execute(_REMOVE, [[one.id for one in minute.gone]])
        if minute.scores:
            with cursor.copy(_ADD_SCORES) as copy:
                copy.set_types(_SCORE_TYPES)
                for one in minute.scores:
                    copy.write_row((at, one.watch_id, one.value, one.low, one.high, one.score))
    for anomaly in minute.anomalies:
        event = event_of(tenant, anomaly)
        _add_anomaly(db, anomaly, event)
        send(db, [event])


def put_all(db: Db, watch: SeriesMonitor, at_ms: int) -> None:
    """Keep snapshots of all series of a tenant, as of a time that their readings do not reach."""
    _put_snapshots(db, watch.tenant, watch.series, at_ms)


def send(db: Db, told: Iterable[Event]) -> None:
    """Leave events to be sent, within the caller's transaction."""
    for one in told:
        db.execute(_ADD_OUTBOX, _outgoing(cloudevents.record(one)))


def event_of(tenant: str, anomaly: DetectedAnomaly) -> AnomalyFound:
    """Return an anomaly as an event."""
    verdict, key = anomaly.verdict, anomaly.key
    return AnomalyFound(
        id=derived("anomaly.found", tenant, anomaly.watch_id, verdict.at_ms),
        tenant=TenantId(tenant),
        at_ms=verdict.at_ms,
        source=Source.STREAM,
        measure=key.measure,
        dimension=key.dimension,
        part=key.part,
        value=verdict.value,
        expected_low=verdict.expected_low,
        expected_high=verdict.expected_high,
        score=verdict.score,
        rarity=verdict.rarities.get(verdict.ingredient, 0.0),
        ingredient=verdict.ingredient,
        reason=verdict.reason,
        contributors=tuple(
            Contributor(dimension=one.dimension, part=one.part, change=one.change, share=one.share)
            for one in anomaly.contributors
        ),
    )


def _put_snapshots(db: Db, tenant: str, series: Iterable[MonitoredSeries], at_ms: int) -> None:
    rows = [
        (one.id, tenant, one.key.measure, one.key.dimension, one.key.part, one.since_ms,
         one.active_ms, at_ms, one.snapshot())
        for one in series
    ]  # fmt: skip
    if rows:
        with db.cursor(binary=True) as cursor:
            cursor.executemany(_PUT, rows)


def _add_anomaly(db: Db, anomaly: DetectedAnomaly, event: AnomalyFound) -> None:
    db.execute(
        _ADD_ANOMALY,
        [event.id, event.tenant, instant(event.at_ms), anomaly.watch_id, event.measure,
         event.dimension, event.part, event.value, event.expected_low, event.expected_high,
         event.score, event.rarity, event.ingredient, event.reason,
         Jsonb(msgspec.to_builtins(event.contributors))],
    )  # fmt: skip


def _outgoing(record: Record) -> list[object]:
    headers: Mapping[str, str] | list[list[str]] = msgspec.to_builtins(record.headers)
    return [record.topic, record.key, record.value, Jsonb(headers)]
