"""One rule, one tick: state and what its expression returned in, state and transitions out.

Beside the rule's own alerts there are two health alerts a rule: `NoData` lists the series that are
missing, `RuleError` says why it could not be evaluated, after `no_data_for`; over a limit at once.
While a rule fails its alerts keep their state. Over the limit of its group its alerts are dropped,
as in Prometheus, with the reason `limit`, and `RuleError` fires: it is no quiet recovery.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, structs

from analytics.alerts import labels as label_sets
from analytics.alerts.labels import Frozen, Labels
from analytics.alerts.rules import states
from analytics.alerts.rules.rules import NO_DATA_FOR_MIN_MS, NO_DATA_INTERVALS, AlertRule, NoData
from analytics.alerts.rules.states import ALERTS_MAX, Alert, AlertState, Clocks, Reading, Transition
from analytics.alerts.template.execution import Around, Ask, Work
from analytics.alerts.template.templates import Data

KNOWN_MAX: Final = 10_000
"""How many series a rule remembers; the longest unseen are forgotten first."""
KNOWN_FOR_MS: Final = 86_400_000
"""How long a series that is gone counts as missing; afterwards it is over."""
LISTED_MAX: Final = 10
"""How many missing series an alert lists; the others are counted."""
NO_DATA: Final = "NoData"
RULE_ERROR: Final = "RuleError"


class Row(Struct, frozen=True):
    """One series that an expression returned."""

    labels: Labels
    value: float


class Returned(Struct, frozen=True):
    """What an expression returned, and of which series there was data at all."""

    rows: Sequence[Row]
    present: Sequence[Labels] | None = None
    """What the condition's subject returned; None takes the rows themselves."""


class Failed(Struct, frozen=True):
    """Why an expression could not be evaluated."""

    reason: str


Outcome = Returned | Failed


class Surroundings(Struct, frozen=True, kw_only=True):
    """What holds for all rules of a group."""

    limit: int = 0
    external_labels: Mapping[str, str] = {}
    external_url: str = ""
    ask: Ask | None = None
    """Answers the queries of templates."""
    work: Work | None = None
    """What the templates of the group may cost together; None is a rule alone."""


PLAIN: Final = Surroundings()
"""No limit, and nothing from outside."""


class KnownSeries(Struct, frozen=True):
    """A series that was there: when last, and how often it usually is."""

    seen_at_ms: int
    usual_ms: int = 0


class RuleState(Struct, frozen=True, kw_only=True):
    """All that is known of one rule; encode it, keep it, and go on from it."""

    alerts: dict[str, Alert] = {}
    """By fingerprint."""
    health: dict[str, Alert] = {}
    """`NoData` and `RuleError`, by name."""
    known: dict[str, KnownSeries] = {}
    """By the series' labels, as they are written."""
    failing_since_ms: int | None = None
    error: str = ""
    has_seen: bool = False
    """Whether there ever was data."""
    at_ms: int = -1
    """The last tick that was taken."""


def tick(
    rule: AlertRule,
    state: RuleState,
    outcome: Outcome,
    now_ms: int,
    around: Surroundings = PLAIN,
) -> tuple[RuleState, tuple[Transition, ...]]:
    """Take one evaluation; return the state after it and what changed."""
    if now_ms <= state.at_ms:
        return state, ()
    step = _Step(rule, state, now_ms, around)
    after = step.failed(outcome.reason) if isinstance(outcome, Failed) else step.returned(outcome)
    changed = states.transitions(state.alerts, after.alerts, now_ms)
    changed += states.transitions(state.health, after.health, now_ms)
    return after, tuple(changed)


class _Step:
    def __init__(
        self, rule: AlertRule, state: RuleState, now_ms: int, around: Surroundings
    ) -> None:
        self._rule = rule
        self._was = state
        self._now_ms = now_ms
        self._around = around
        self._clocks = Clocks(for_ms=rule.for_ms, keep_firing_for_ms=rule.keep_firing_for_ms)
        self._templates = Around(
            external_url=around.external_url,
            seconds=now_ms / 1_000,
            ask=around.ask,
            work=around.work,
        )

    def failed(self, reason: str) -> RuleState:
        """Return the state after an evaluation that failed."""
        since_ms = self._was.failing_since_ms
        since_ms = self._now_ms if since_ms is None else since_ms
        alerts = {key: states.failed(one, self._now_ms) for key, one in self._was.alerts.items()}
        lasts = self._now_ms - since_ms >= self._no_data_for(0)
        error = self._health(RULE_ERROR, self._error_text(reason) if lasts else "")
        missing = self._was.health.get(NO_DATA)
        if missing is not None:
            error[NO_DATA] = states.failed(missing, self._now_ms)
        return structs.replace(
            self._was,
            alerts=_alive(alerts),
            health=_alive(error),
            failing_since_ms=since_ms,
            error=reason,
            at_ms=self._now_ms,
        )

    def returned(self, outcome: Returned) -> RuleState:
        """Return the state after an evaluation that worked."""
        readings, doubled = self._readings(outcome.rows)
        if doubled:
            return self.failed(f"two series have the same labels after the rule's: {doubled}")
        present = outcome.present
        if present is None:
            present = [row.labels for row in outcome.rows]
        known, missing = self._known({_source(one) for one in present})
        alerts = self._alerts(readings, {_source(one) for one in present}, missing)
        state = structs.replace(
            self._was,
            known=known,
            failing_since_ms=None,
            error="",
            has_seen=self._was.has_seen or bool(present),
            at_ms=self._now_ms,
        )
        over = self._over_limit(alerts)
        if over:
            return self._dropped(state, over)
        health = self._health(NO_DATA, self._missing_text(missing))
        health |= self._health(RULE_ERROR, "")
        return structs.replace(state, alerts=_alive(alerts), health=_alive(health))

    def _readings(self, rows: Sequence[Row]) -> tuple[dict[str, Reading], str]:
        found: dict[str, Reading] = {}
        for row in rows:
            reading = self._reading(row)
            key = label_sets.fingerprint(reading.labels)
            if key in found:
                return found, label_sets.written(reading.labels)
            found[key] = reading
        return found, ""

    def _reading(self, row: Row) -> Reading:
        data = Data(
            labels=row.labels,
            value=row.value,
            external_labels=self._around.external_labels,
            external_url=self._around.external_url,
        )
        named = {name: text for name, text in row.labels.items() if name != "__name__"}
        named |= {
            name: one.render(data, self._templates) for name, one in self._rule.labels.items()
        }
        named["alertname"] = self._rule.name
        return Reading(
            labels=dict(label_sets.frozen(named)),
            source=_source(row.labels),
            value=row.value,
            annotations={
                name: one.render(data, self._templates)
                for name, one in self._rule.annotations.items()
            },
        )

    def _alerts(
        self, readings: Mapping[str, Reading], present: set[Frozen], missing: Sequence[str]
    ) -> dict[str, Alert]:
        alerts = {}
        gone = set(missing)
        for key, alert in self._was.alerts.items():
            if key not in readings:
                alerts[key] = self._unseen(alert, present, gone)
        for key, reading in readings.items():
            before = self._was.alerts.get(key)
            alerts[key] = states.seen(before, reading, self._clocks, self._now_ms)
        return alerts

    def _unseen(self, alert: Alert, present: set[Frozen], gone: set[str]) -> Alert:
        if self._rule.no_data is NoData.OK or alert.source in present:
            return states.missed(alert, self._clocks, self._now_ms)
        written = _written(alert.source)
        if written in gone or written not in self._was.known:
            return states.over(alert, self._now_ms, "stale")
        return states.kept(alert, self._now_ms)

    def _known(self, present: set[Frozen]) -> tuple[dict[str, KnownSeries], list[str]]:
        """Return the series that are remembered, and those that are missing for too long."""
        if self._rule.no_data is NoData.OK:
            return {}, []
        now_ms, known, missing = self._now_ms, dict[str, KnownSeries](), []
        here = {_written(one) for one in present}
        for written, one in self._was.known.items():
            away_ms = now_ms - one.seen_at_ms
            if written in here:
                usual = away_ms if not one.usual_ms else (7 * one.usual_ms + away_ms) // 8
                known[written] = KnownSeries(now_ms, usual)
            elif away_ms < max(KNOWN_FOR_MS, self._no_data_for(one.usual_ms)):
                known[written] = one
                if away_ms >= self._no_data_for(one.usual_ms):
                    missing.append(written)
        known |= {written: KnownSeries(now_ms) for written in here - known.keys()}
        if len(known) > KNOWN_MAX:
            newest = sorted(known.items(), key=lambda item: (-item[1].seen_at_ms, item[0]))
            known = dict(newest[:KNOWN_MAX])
        return known, sorted(missing)

    def _no_data_for(self, usual_ms: int) -> int:
        if self._rule.no_data_for_ms is not None:
            return self._rule.no_data_for_ms
        return max(NO_DATA_FOR_MIN_MS, NO_DATA_INTERVALS * usual_ms)

    def _over_limit(self, alerts: Mapping[str, Alert]) -> str:
        count = sum(one.state in {AlertState.PENDING, AlertState.FIRING} for one in alerts.values())
        limit = min(self._around.limit or ALERTS_MAX, ALERTS_MAX)
        return f"exceeded limit of {limit} with {count} alerts" if count > limit else ""

    def _dropped(self, state: RuleState, reason: str) -> RuleState:
        alerts = {
            key: states.over(one, self._now_ms, "limit") for key, one in self._was.alerts.items()
        }
        health = self._health(RULE_ERROR, self._error_text(reason)) | self._health(NO_DATA, "")
        return structs.replace(state, alerts=_alive(alerts), health=_alive(health), error=reason)

    def _error_text(self, reason: str) -> str:
        return f"rule {self._rule.name!r} could not be evaluated: {reason}"

    def _missing_text(self, missing: Sequence[str]) -> str:
        if self._rule.no_data is not NoData.ALERT or not missing:
            return ""
        more = len(missing) - LISTED_MAX
        listed = ", ".join(missing[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")
        return f'no data for rule "{self._rule.name}" from {len(missing)} series: {listed}'

    def _health(self, name: str, summary: str) -> dict[str, Alert]:
        """Return the rule's health alert of a kind, firing if there is something to say."""
        before = self._was.health.get(name)
        if not summary:
            return {} if before is None else {name: states.over(before, self._now_ms)}
        data = Data(labels={}, value=0.0, external_labels=self._around.external_labels)
        own = {key: one.render(data, self._templates) for key, one in self._rule.labels.items()}
        reading = Reading(
            labels=dict(label_sets.frozen({**own, "alertname": name, "rule": self._rule.name})),
            source=(),
            value=1.0,
            annotations={"summary": summary},
        )
        return {name: states.seen(before, reading, Clocks(), self._now_ms)}


def _source(labels: Labels) -> Frozen:
    return tuple(pair for pair in label_sets.frozen(labels) if pair[0] != "__name__")


def _written(source: Frozen) -> str:
    return label_sets.written(dict(source))


def _alive(alerts: Mapping[str, Alert]) -> dict[str, Alert]:
    return {key: one for key, one in alerts.items() if one.state is not AlertState.INACTIVE}
