"""Alerts of tenants at one moment: rules over the store, then what is to be told to whom.

All that alerting decides is in `analytics.alerts`; here its inputs are read, without a transaction
that would stay open while rules are evaluated, and its outputs kept, in one, so that a moment that
was not committed never happened. An expression that takes longer than `EvaluationLimits` has
failed. Notices are rows with a key of their own: whoever sends them finds each once.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from analytics.alerts import matchers, presets
from analytics.alerts.dispatch import engine, routing_files
from analytics.alerts.dispatch.engine import Events, Setup, Situation
from analytics.alerts.dispatch.groups import Acknowledgement, Notice
from analytics.alerts.documents import BadFile
from analytics.alerts.rules import files
from analytics.alerts.rules.states import Alert, AlertState, Transition
from analytics.alerts.silence.silences import Silence
from analytics.contracts.facts import Source
from analytics.contracts.ids import DEFAULT_TENANT, TenantId, derived
from analytics.contracts.result_events import AlertChanged
from analytics.promql.series import Labels
from streams.clients.times import instant
from streams.monitoring import state as keeping
from streams.monitoring.evaluation import shared
from streams.monitoring.leases import Db
from streams.series.promql_series import follow
from streams.series.recent import Recent
from streams.series.recorded import Recorded, RuleSeries
from streams.series.store_series import EverySeries

log = logging.getLogger(__name__)

GRID_MS: Final = 10_000
"""Passes lie on this grid of event time, so a late worker takes the same ones as a timely one."""
ACKNOWLEDGED_DAYS: Final = 30

_SITUATION: Final = "select state, at_ms from situations where tenant = %s"
_PUT_SITUATION: Final = """
insert into situations (tenant, at_ms, state) values (%s, %s, %s)
on conflict (tenant) do update set at_ms = excluded.at_ms, state = excluded.state
"""
_FILES_CHANGED: Final = """
select count(*), max(changed_at) from alert_files where tenant = %s
"""
_FILES: Final = "select kind, name, body from alert_files where tenant = %s order by kind, name"
_SILENCES: Final = """
select silence_id, matchers, (extract(epoch from starts_at) * 1000)::bigint,
       (extract(epoch from ends_at) * 1000)::bigint, created_by, comment, replaces
  from silences where tenant = %s and ends_at > %s
"""
_ACKNOWLEDGED: Final = """
select fingerprint, acknowledged_by, (extract(epoch from at) * 1000)::bigint
  from acknowledgements where tenant = %s and at > %s - %s * interval '1 day' order by at
"""
_GONE: Final = "delete from alerts where tenant = %s and fingerprint <> all(%s)"
_PUT_ALERT: Final = """
insert into alerts (tenant, fingerprint, rule, labels, annotations, state, value, active_at,
                    starts_at, ends_at, silenced_by, inhibited_by, acknowledged_by)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (tenant, fingerprint) do update
   set labels = excluded.labels, annotations = excluded.annotations, state = excluded.state,
       value = excluded.value, active_at = excluded.active_at, starts_at = excluded.starts_at,
       ends_at = excluded.ends_at, silenced_by = excluded.silenced_by,
       inhibited_by = excluded.inhibited_by, acknowledged_by = excluded.acknowledged_by
"""
_ADD_CHANGE: Final = """
insert into alert_changes (tenant, at, fingerprint, labels, was, state, value)
values (%s, %s, %s, %s, %s, %s, %s)
"""
_ADD_NOTICE: Final = """
insert into notices (key, tenant, at, receiver, integration, why, thread, body)
values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict (key) do nothing
"""
_WAS_TIMEOUT: Final = "select setting::int from pg_settings where name = 'statement_timeout'"
_SET_TIMEOUT: Final = "select set_config('statement_timeout', %s, false)"
_SHOWN: Final = frozenset({AlertState.PENDING, AlertState.FIRING, AlertState.RESOLVED})


class _Known(Struct):
    """What alerting knows of a tenant, as it is kept."""

    situation: Situation
    written: dict[str, list[Labels]]


class _Files(Struct, frozen=True):
    version: object
    setup: Setup


class EvaluationLimits(Struct, frozen=True, kw_only=True):
    """How long evaluating may take, in the worker and in the store."""

    rule_ms: int = 2_000
    """One expression."""
    rules_ms: int = 5_000
    """All that are due of a tenant at one moment; what comes after has failed."""


class Decided(Struct, frozen=True, eq=False):
    """What came of one moment, to be kept."""

    came: engine.Evaluated
    events: Events
    recorded: Recorded


class Alerting:
    """The alerts of one tenant; forget it when a pass was not committed."""

    def __init__(self, db: Db, tenant: str, *, external_url: str) -> None:
        """Take up what the store knows."""
        self._tenant = tenant
        self._external_url = external_url
        self._files: _Files | None = None
        self._is_changed = False
        row = db.execute(_SITUATION, [tenant]).fetchone()
        known = _decoded(tenant, b"" if row is None else bytes(row[0]))
        self.kept_ms = 0 if row is None else int(row[1])
        """Of which moment the last decision is that was kept."""
        self._situation = known.situation
        self._written = {writer: set(labels) for writer, labels in known.written.items()}
        self._recent = Recent(tenant)
        self._kept = b""
        self._shown: dict[str, tuple[object, ...]] = {}

    def learn_feedback(self, version: object) -> None:
        """Have the next pass be soon where files are not those that the last one read."""
        self._is_changed = self._files is None or self._files.version != version

    def next_ms(self, at_ms: int) -> int | None:
        """Return when a pass is needed after `at_ms`, on the grid; None if only a change asks."""
        due = [self._situation.dispatch.groups[name].due_at_ms for name in self._groups()]
        if self._files is not None:
            setup = self._files.setup
            for name, group in engine.named_groups(setup.files):
                every = group.interval_ms or setup.interval_ms
                due.append(self._situation.ticks.get(name, at_ms) // every * every + every)
        if self._is_changed:
            due.append(at_ms + 1)
        first = min(due, default=None)
        return None if first is None else max(-(-first // GRID_MS) * GRID_MS, at_ms + GRID_MS)

    def decide(self, db: Db, at_ms: int, limits: EvaluationLimits) -> Decided:
        """Evaluate what is due at a moment, outside of any transaction; nothing is written."""
        setup = self._setup(db)
        recorded = Recorded(db, self._tenant)
        follow(self._recent, db, self._tenant, at_ms)
        storage = EverySeries(
            db, self._tenant, until_ms=at_ms, recent=self._recent,
            operator=self._tenant == DEFAULT_TENANT,
        )  # fmt: skip
        budget = shared(limits.rule_ms, limits.rules_ms)
        series = RuleSeries(
            storage, recorded, self._written, budget=budget, is_live=self._recent.is_live
        )
        events = self._events(db, at_ms)
        was_ms = _statements_end_after(db, limits.rule_ms)
        try:
            came = engine.step(setup, self._situation, series, at_ms, events)
        finally:
            _statements_end_after(db, was_ms)
        return Decided(came, events, recorded)

    def keep(self, db: Db, decided: Decided, at_ms: int) -> int:
        """Keep what was decided, in the caller's transaction; return how many notices it has."""
        came = decided.came
        decided.recorded.keep()
        self._situation = came.situation
        self.kept_ms = at_ms
        self._keep(db, at_ms)
        self._tell(db, came.transitions, at_ms)
        self._show(db, decided.events)
        for notice in came.notices:
            db.execute(_ADD_NOTICE, self._notice_row(notice))
        return len(came.notices)

    def _groups(self) -> Iterable[str]:
        return self._situation.dispatch.groups

    def _setup(self, db: Db) -> Setup:
        version = db.execute(_FILES_CHANGED, [self._tenant]).fetchone()
        if self._files is None or self._files.version != version:
            self._files = _Files(version, self._read(db))
            self._is_changed = False
        return self._files.setup

    def _read(self, db: Db) -> Setup:
        rules, routing = list(presets.rules()), presets.routing()
        for kind, name, body in db.execute(_FILES, [self._tenant]):
            try:
                if kind == "rules":
                    rules.append(files.load(name, body))
                else:
                    routing = routing_files.load(name, body)
            except BadFile as error:
                log.warning("a file of alerts is left out", extra={"reason": str(error)})
        return Setup(files=tuple(rules), routing=routing, external_url=self._external_url)

    def _events(self, db: Db, at_ms: int) -> Events:
        asked = [self._tenant, instant(at_ms)]
        silences = [_silence(row) for row in db.execute(_SILENCES, asked)]
        words = db.execute(_ACKNOWLEDGED, [*asked, ACKNOWLEDGED_DAYS])
        said = [Acknowledgement(fingerprint=one, by=by, at_ms=when) for one, by, when in words]
        return Events(silences=silences, acknowledgements=said)

    def _keep(self, db: Db, at_ms: int) -> None:
        written = {writer: sorted(labels) for writer, labels in self._written.items()}
        state = _ENCODER.encode(_Known(self._situation, written))
        if state != self._kept:
            db.execute(_PUT_SITUATION, [self._tenant, at_ms, state])
            self._kept = state

    def _tell(self, db: Db, changed: Iterable[Transition], at_ms: int) -> None:
        for one in changed:
            alert = one.alert
            db.execute(
                _ADD_CHANGE,
                [self._tenant, instant(at_ms), alert.fingerprint, Jsonb(dict(alert.labels)),
                 one.was.value, one.state.value, alert.value],
            )  # fmt: skip
            keeping.send(db, [self._event(one, at_ms)])

    def _event(self, one: Transition, at_ms: int) -> AlertChanged:
        alert = one.alert
        return AlertChanged(
            id=derived("alert.changed", self._tenant, alert.fingerprint, at_ms, one.state.value),
            tenant=TenantId(self._tenant),
            at_ms=at_ms,
            source=Source.STREAM,
            fingerprint=alert.fingerprint,
            labels=dict(alert.labels),
            annotations=dict(alert.annotations),
            state=one.state.value,
            was=one.was.value,
            value=alert.value,
            starts_at_ms=alert.starts_at_ms,
            ends_at_ms=alert.ends_at_ms or 0,
        )

    def _show(self, db: Db, events: Events) -> None:
        """Have the table of alerts say what there is now."""
        by = {one.fingerprint: one for one in events.acknowledgements}
        shown = {one.fingerprint: self._row(one, by) for one in self._alerts()}
        if shown.keys() != self._shown.keys() or not self._shown:
            db.execute(_GONE, [self._tenant, list(shown)])
        for fingerprint, row in shown.items():
            if self._shown.get(fingerprint) != row:
                labels, annotations = map(Jsonb, row[3:5])
                db.execute(_PUT_ALERT, [*row[:3], labels, annotations, *row[5:]])
        self._shown = shown

    def _alerts(self) -> Iterator[Alert]:
        for state in self._situation.rules.values():
            for alert in (*state.alerts.values(), *state.health.values()):
                if alert.state in _SHOWN:
                    yield alert

    def _row(self, alert: Alert, acknowledged: dict[str, Acknowledgement]) -> tuple[object, ...]:
        fingerprint = alert.fingerprint
        mute = self._situation.dispatch.mutes.get(fingerprint)
        firing = alert.state is not AlertState.PENDING
        word = acknowledged.get(fingerprint)
        taken = word is not None and word.at_ms >= alert.starts_at_ms
        return (
            self._tenant, fingerprint, alert.labels.get("alertname", ""), dict(alert.labels),
            dict(alert.annotations), alert.state.value, alert.value, instant(alert.active_at_ms),
            instant(alert.starts_at_ms) if firing else None,
            None if alert.ends_at_ms is None else instant(alert.ends_at_ms),
            [] if mute is None else list(mute.silences), "" if mute is None else mute.inhibited_by,
            word.by if word is not None and taken else "",
        )  # fmt: skip

    def _notice_row(self, notice: Notice) -> list[object]:
        return [
            f"{self._tenant}/{notice.key}", self._tenant, instant(notice.at_ms), notice.receiver,
            notice.integration, notice.why.value, notice.group, _ENCODER.encode(notice),
        ]  # fmt: skip


def _statements_end_after(db: Db, limit_ms: int) -> int:
    """Set how long a statement may take; return what it was."""
    row = db.execute(_WAS_TIMEOUT).fetchone()
    assert row is not None, "every setting has a value"
    db.execute(_SET_TIMEOUT, [f"{limit_ms}ms"])
    return int(row[0])


def _silence(row: tuple[str, str, int, int, str, str, str]) -> Silence:
    silence_id, text, starts_at_ms, ends_at_ms, created_by, comment, replaces = row
    return Silence(
        id=silence_id,
        matchers=matchers.parse(text),
        starts_at_ms=starts_at_ms,
        ends_at_ms=ends_at_ms,
        created_by=created_by,
        comment=comment,
        replaces=replaces,
    )


def _decoded(tenant: str, state: bytes) -> _Known:
    if not state:
        return _Known(Situation(), {})
    try:
        return _DECODER.decode(state)
    except msgspec.MsgspecError as error:
        log.warning("alerts begin anew", extra={"tenant": tenant, "reason": str(error)})
        return _Known(Situation(), {})


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Known)
