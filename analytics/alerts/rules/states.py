"""The life of an alert: one table of states, driven by event time.

`TRANSITIONS` is total: every state has an answer to every signal. What an evaluation returned is
turned into one signal an alert; clocks (`for`, `keep_firing_for`, `no_data_for`) decide which. All
times come from the caller and are event time, so a replay gives the same alerts with the same
fingerprints and the same starts, and a tick that was already taken changes nothing.

Source: `rules/alerting.go` of Prometheus for the table and `for`; no data and failed evaluations
have modes of their own (`rules.NoData`): one health alert a rule, never one a series.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, structs

from analytics.alerts import labels as label_sets
from analytics.alerts.labels import Labels

RESOLVED_KEPT_MS: Final = 900_000
"""How long a resolved alert is kept for those who tell of it."""
ALERTS_MAX: Final = 10_000
"""How many alerts one rule may have at a time."""


class AlertState(StrEnum):
    """Where an alert is in its life."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class AlertSignal(StrEnum):
    """What one evaluation says of one alert."""

    SEEN = "seen"
    """Its series was returned, for less than `for`."""
    HELD = "held"
    """Its series was returned, for at least `for`."""
    MISSED = "missed"
    """Its series was not returned, and nothing keeps it."""
    KEPT = "kept"
    """Its series was not returned, but `keep_firing_for` or a mode of no data keeps it."""
    FAILED = "failed"
    """The evaluation failed: nothing is known."""
    EXPIRED = "expired"
    """It is over, by a limit or for longer than the resolved are kept."""


TRANSITIONS: Final[Mapping[AlertState, Mapping[AlertSignal, AlertState]]] = {
    AlertState.INACTIVE: {
        AlertSignal.SEEN: AlertState.PENDING,
        AlertSignal.HELD: AlertState.FIRING,
        AlertSignal.MISSED: AlertState.INACTIVE,
        AlertSignal.KEPT: AlertState.INACTIVE,
        AlertSignal.FAILED: AlertState.INACTIVE,
        AlertSignal.EXPIRED: AlertState.INACTIVE,
    },
    AlertState.PENDING: {
        AlertSignal.SEEN: AlertState.PENDING,
        AlertSignal.HELD: AlertState.FIRING,
        AlertSignal.MISSED: AlertState.INACTIVE,
        AlertSignal.KEPT: AlertState.PENDING,
        AlertSignal.FAILED: AlertState.PENDING,
        AlertSignal.EXPIRED: AlertState.INACTIVE,
    },
    AlertState.FIRING: {
        AlertSignal.SEEN: AlertState.FIRING,
        AlertSignal.HELD: AlertState.FIRING,
        AlertSignal.MISSED: AlertState.RESOLVED,
        AlertSignal.KEPT: AlertState.FIRING,
        AlertSignal.FAILED: AlertState.FIRING,
        AlertSignal.EXPIRED: AlertState.RESOLVED,
    },
    AlertState.RESOLVED: {
        AlertSignal.SEEN: AlertState.PENDING,
        AlertSignal.HELD: AlertState.FIRING,
        AlertSignal.MISSED: AlertState.RESOLVED,
        AlertSignal.KEPT: AlertState.RESOLVED,
        AlertSignal.FAILED: AlertState.RESOLVED,
        AlertSignal.EXPIRED: AlertState.INACTIVE,
    },
}
"""What becomes of an alert: total over every state and signal."""


class Alert(Struct, frozen=True, kw_only=True):
    """One alert; its labels are its identity."""

    labels: Mapping[str, str]
    source: label_sets.Frozen
    """The labels of the series that it stands for, without the metric's name."""
    annotations: Mapping[str, str] = {}
    value: float = 0.0
    state: AlertState = AlertState.INACTIVE
    active_at_ms: int = 0
    """Since when its condition holds."""
    starts_at_ms: int = 0
    """When it began to fire; 0 before."""
    ends_at_ms: int | None = None
    kept_since_ms: int | None = None
    """Since when it fires only because of `keep_firing_for`."""
    seen_at_ms: int = 0
    is_stale: bool = False
    """Whether it is as it was only for want of data."""
    reason: str = ""
    """Why it ended, where that is not plainly that its condition ended: stale, limit."""

    @property
    def fingerprint(self) -> str:
        """The 16 hex digits by which Alertmanager would know it."""
        return label_sets.fingerprint(self.labels)


class Transition(Struct, frozen=True, kw_only=True):
    """An alert that went from one state to another."""

    alert: Alert
    was: AlertState
    at_ms: int

    @property
    def state(self) -> AlertState:
        """Where it went."""
        return self.alert.state


class Reading(Struct, frozen=True, kw_only=True):
    """What one evaluation says of one alert, before clocks are asked."""

    labels: Labels
    source: label_sets.Frozen
    value: float
    annotations: Labels


class Clocks(Struct, frozen=True, kw_only=True):
    """How long things must hold."""

    for_ms: int = 0
    keep_firing_for_ms: int = 0


def seen(alert: Alert | None, reading: Reading, clocks: Clocks, now_ms: int) -> Alert:
    """Return an alert whose series was returned."""
    is_new = alert is None or alert.state in {AlertState.INACTIVE, AlertState.RESOLVED}
    began_ms = now_ms if alert is None or is_new else alert.active_at_ms
    was = AlertState.INACTIVE if alert is None else alert.state
    signal = AlertSignal.HELD if now_ms - began_ms >= clocks.for_ms else AlertSignal.SEEN
    state = TRANSITIONS[was][signal]
    started_ms = 0 if alert is None or is_new else alert.starts_at_ms
    if state is AlertState.FIRING and was is not AlertState.FIRING:
        started_ms = now_ms
    return Alert(
        labels=reading.labels,
        source=reading.source,
        annotations=reading.annotations,
        value=reading.value,
        state=state,
        active_at_ms=began_ms,
        starts_at_ms=started_ms,
        seen_at_ms=now_ms,
    )


def missed(alert: Alert, clocks: Clocks, now_ms: int) -> Alert:
    """Return an alert whose condition does not hold."""
    if alert.state is AlertState.FIRING and clocks.keep_firing_for_ms:
        since_ms = now_ms if alert.kept_since_ms is None else alert.kept_since_ms
        if now_ms - since_ms < clocks.keep_firing_for_ms:
            return _moved(structs.replace(alert, kept_since_ms=since_ms), AlertSignal.KEPT, now_ms)
    return over(alert, now_ms)


def kept(alert: Alert, now_ms: int) -> Alert:
    """Return an alert of whose series there is no data, left as it was."""
    is_open = alert.state in {AlertState.PENDING, AlertState.FIRING}
    return _moved(structs.replace(alert, is_stale=is_open), AlertSignal.KEPT, now_ms)


def failed(alert: Alert, now_ms: int) -> Alert:
    """Return an alert whose rule could not be evaluated."""
    return (
        over(alert, now_ms)
        if _is_past(alert, now_ms)
        else _moved(alert, AlertSignal.FAILED, now_ms)
    )


def over(alert: Alert, now_ms: int, reason: str = "") -> Alert:
    """Return an alert that nothing keeps; a resolved one is forgotten in time."""
    signal = AlertSignal.EXPIRED if reason or _is_past(alert, now_ms) else AlertSignal.MISSED
    if reason and alert.state is AlertState.RESOLVED and not _is_past(alert, now_ms):
        signal = AlertSignal.MISSED
    moved = _moved(alert, signal, now_ms)
    return structs.replace(moved, reason=reason) if moved.state is not alert.state else moved


def transitions(
    was: Mapping[str, Alert], alerts: Mapping[str, Alert], now_ms: int
) -> list[Transition]:
    """Return how `alerts` differ from what they were, in the order of their fingerprints."""
    found = []
    for key in sorted(alerts.keys() | was.keys()):
        before, after = was.get(key), alerts.get(key)
        state = AlertState.INACTIVE if before is None else before.state
        if after is None:
            assert before is not None, key
            if state is not AlertState.INACTIVE:
                gone = structs.replace(before, state=AlertState.INACTIVE)
                found.append(Transition(alert=gone, was=state, at_ms=now_ms))
        elif after.state is not state:
            found.append(Transition(alert=after, was=state, at_ms=now_ms))
    return found


def _is_past(alert: Alert, now_ms: int) -> bool:
    return alert.ends_at_ms is not None and now_ms - alert.ends_at_ms >= RESOLVED_KEPT_MS


def _moved(alert: Alert, signal: AlertSignal, now_ms: int) -> Alert:
    state = TRANSITIONS[alert.state][signal]
    if state is alert.state:
        return alert
    ends_at_ms = now_ms if state is AlertState.RESOLVED else alert.ends_at_ms
    return structs.replace(
        alert, state=state, ends_at_ms=ends_at_ms, kept_since_ms=None, is_stale=False
    )
