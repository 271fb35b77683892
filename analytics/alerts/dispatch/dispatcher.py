"""The decision to notify: one pass over all alerts, after every rule of a tick.

In this order: inhibition and silences over all alerts; each alert into the groups of the routes it
lands at; each group that is due says to each integration what it was not told. A group is due
`group_wait` after its first alert arrived (not after it began), then every `group_interval`; only
then `repeat_interval` is looked at. A receiver is told once that an alert fires and once that it
ended; an alert that ended before anybody was told is never told. What is mute is neither told nor
forgotten: it is told, if it still is so, at the first due time after.

The pass depends on the set of alerts alone, not on their order, and on no clock. A notice's `key`
is a hash of whom, what and the how-many-eth time; state and notices are saved together, so a
restart at any point says the same thing under the same key. Source: `dispatch/dispatch.go` and
`DedupStage` of `notify/notify.go` of Alertmanager; arrival, escalation and episodes are ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct, structs

from analytics.alerts import labels as label_sets
from analytics.alerts.dispatch import routes
from analytics.alerts.dispatch.groups import (
    Acknowledgement,
    Dispatch,
    GroupState,
    Log,
    Mute,
    Notice,
    NotifyReason,
    SentAlert,
)  # fmt: skip
from analytics.alerts.dispatch.routes import Route, Routing
from analytics.alerts.inhibit import inhibition
from analytics.alerts.notify.receivers import Integration
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import Silence

GROUPS_MAX: Final = 100_000
"""How many groups are kept; more alerts land in the group of what is too much of its route."""
KEY_CHARACTERS: Final = 32
_OVERFLOW: Final = (("mainstem_overflow", "true"),)


class Arrivals(Struct, frozen=True, kw_only=True):
    """What a pass looks at beside the groups it knows."""

    alerts: Sequence[SentAlert] = ()
    """Every alert that fires, and those that ended of late."""
    silences: Sequence[Silence] = ()
    acknowledgements: Sequence[Acknowledgement] = ()


def dispatch(
    routing: Routing, state: Dispatch, arrivals: Arrivals, now_ms: int
) -> tuple[Dispatch, tuple[Notice, ...]]:
    """Take all alerts of a tick; return the groups after it and the notices to send."""
    now_ms = max(now_ms, state.at_ms)
    alerts = _newest(arrivals.alerts)
    nodes = {route.id: route for route in routes.every(routing.root)}
    held = {name: one for name, one in state.groups.items() if one.route in nodes}
    remembered = {key: one for group in held.values() for key, one in group.alerts.items()}
    mutes = _mutes(routing, alerts, remembered | alerts, arrivals, now_ms=now_ms)
    groups = _grouped(routing, held, alerts, now_ms)
    kept: dict[str, GroupState] = {}
    notices: list[Notice] = []
    for name in sorted(groups):
        group = _acknowledged(groups[name], arrivals.acknowledgements)
        flush = _Flush(routing, nodes[group.route], name, now_ms)
        after, said = flush.run(group, mutes)
        notices.extend(said)
        if after is not None:
            kept[name] = after
    return Dispatch(groups=kept, mutes=mutes, at_ms=now_ms), tuple(notices)


def due_at_ms(state: Dispatch) -> int | None:
    """Return when a pass is needed next if no alert changes; None is never."""
    return min((group.due_at_ms for group in state.groups.values()), default=None)


def _newest(alerts: Iterable[SentAlert]) -> dict[str, SentAlert]:
    """Return one alert a fingerprint: of its latest episode, and ended if that is known."""
    found: dict[str, SentAlert] = {}
    for alert in alerts:
        other = found.get(alert.fingerprint)
        if other is None or _age(other) < _age(alert):
            found[alert.fingerprint] = alert
    return found


def _age(alert: SentAlert) -> tuple[int, int, bytes]:
    ended_ms = -1 if alert.ends_at_ms is None else alert.ends_at_ms
    return alert.starts_at_ms, ended_ms, msgspec.msgpack.encode(alert, order="deterministic")


def _mutes(
    routing: Routing,
    alerts: Mapping[str, SentAlert],
    asked: Mapping[str, SentAlert],
    arrivals: Arrivals,
    *,
    now_ms: int,
) -> dict[str, Mute]:
    every = {name: alert.labels for name, alert in asked.items()}
    firing = {name: alert.labels for name, alert in alerts.items() if alert.is_firing}
    by_alert = inhibition.inhibited(routing.inhibitions, firing, every)
    in_force = [one for one in arrivals.silences if one.holds(now_ms)]
    found = {}
    for name, labels in every.items():
        ids = silences.muting(in_force, labels, now_ms) if in_force else ()
        if ids or name in by_alert:
            found[name] = Mute(silences=ids, inhibited_by=by_alert.get(name, ""))
    return found


def _grouped(
    routing: Routing, held: Mapping[str, GroupState], alerts: Mapping[str, SentAlert], now_ms: int
) -> dict[str, GroupState]:
    members: dict[str, dict[str, SentAlert]] = {}
    begun: dict[str, GroupState] = {}
    for fingerprint in sorted(alerts):
        alert = alerts[fingerprint]
        for route in routes.landing(routing.root, alert.labels):
            labels = route.group_labels(alert.labels)
            name = _name(route, labels)
            if name not in held and name not in begun and len(held) + len(begun) >= GROUPS_MAX:
                labels, name = _OVERFLOW, _name(route, _OVERFLOW)
            if name not in held and name not in begun:
                if not alert.is_firing:
                    continue
                begun[name] = GroupState(
                    route=route.id,
                    labels=labels,
                    began_at_ms=now_ms,
                    due_at_ms=now_ms + route.group_wait_ms,
                )
            members.setdefault(name, {})[fingerprint] = alert
    return {
        name: structs.replace(group, alerts=_kept(group, members.get(name, {}), now_ms))
        for name, group in {**held, **begun}.items()
    }


def _kept(group: GroupState, here: Mapping[str, SentAlert], now_ms: int) -> dict[str, SentAlert]:
    """Return a group's alerts; one that is gone without a word has ended."""
    found = dict(here)
    for fingerprint, alert in group.alerts.items():
        if fingerprint not in here:
            ended_ms = now_ms if alert.ends_at_ms is None else alert.ends_at_ms
            found[fingerprint] = structs.replace(alert, ends_at_ms=ended_ms)
    return found


def _name(route: Route, labels: label_sets.Frozen) -> str:
    return f"{route.id}:{label_sets.written(dict(labels))}"


def _acknowledged(group: GroupState, events: Iterable[Acknowledgement]) -> GroupState:
    taken = dict(group.acknowledged)
    for event in events:
        alert = group.alerts.get(event.fingerprint)
        if alert is not None and alert.is_firing and event.at_ms >= alert.starts_at_ms:
            taken[event.fingerprint] = alert.starts_at_ms
    return structs.replace(group, acknowledged=taken)


class _Target(Struct, frozen=True):
    """An integration that is told, and whether only by escalation."""

    receiver: str
    integration: Integration
    is_next: bool


class _Flush:
    """One group at one time."""

    def __init__(self, routing: Routing, route: Route, name: str, now_ms: int) -> None:
        self._routing = routing
        self._route = route
        self._name = name
        self._now_ms = now_ms

    def run(
        self, group: GroupState, mutes: Mapping[str, Mute]
    ) -> tuple[GroupState | None, list[Notice]]:
        """Return the group afterwards, None if it is over, and what is said."""
        if self._now_ms < group.due_at_ms:
            return group, []
        group = structs.replace(group, due_at_ms=self._next(group.due_at_ms))
        if self._routing.is_mute(self._route, self._now_ms):
            return self._tidy(group), []
        heard = {name: one for name, one in group.alerts.items() if name not in mutes}
        escalated = self._escalated(group, heard)
        said: list[Notice] = []
        logs: dict[str, Log] = {}
        for target in self._targets(escalated):
            log = group.logs.get(target.integration.id, Log())
            notice, logs[target.integration.id] = self._say(escalated, heard, target, log)
            said.extend(notice)
        first = _first_told(group, logs, self._now_ms)
        return self._tidy(structs.replace(escalated, logs=logs, first_told=first)), said

    def _next(self, due_at_ms: int) -> int:
        interval_ms = self._route.group_interval_ms
        return due_at_ms + ((self._now_ms - due_at_ms) // interval_ms + 1) * interval_ms

    def _escalated(self, group: GroupState, heard: Mapping[str, SentAlert]) -> GroupState:
        after_ms = self._route.escalate_after_ms
        open_since = [
            since_ms
            for name, since_ms in group.first_told.items()
            if name in heard
            and heard[name].is_firing
            and group.acknowledged.get(name) != heard[name].starts_at_ms
        ]
        if not after_ms or not open_since:
            return group
        level = min((self._now_ms - min(open_since)) // after_ms, len(self._route.escalate_to))
        return structs.replace(group, level=max(group.level, level))

    def _targets(self, group: GroupState) -> list[_Target]:
        """Return who is told: the route's receiver, those escalated to, and those still owed."""
        found: dict[str, _Target] = {}
        for position, name in enumerate((self._route.receiver, *self._route.escalate_to)):
            for integration in self._routing.receivers[name].integrations:
                log = group.logs.get(integration.id)
                if position <= group.level or (log is not None and log.firing):
                    found.setdefault(integration.id, _Target(name, integration, position > 0))
        return list(found.values())

    def _say(
        self, group: GroupState, heard: Mapping[str, SentAlert], target: _Target, log: Log
    ) -> tuple[list[Notice], Log]:
        firing = {name: one for name, one in heard.items() if one.is_firing}
        over = {
            name: one for name, one in heard.items() if name in log.firing and not one.is_firing
        }
        still = {name: since for name, since in log.firing.items() if name not in over}
        if not target.integration.sends_resolved:
            over = {}
        why = self._why(log, firing, over)
        if why is None:
            return [], structs.replace(log, firing=still)
        if target.is_next and not log.count:
            why = NotifyReason.ESCALATED
        count = log.count + 1
        notice = self._notice(group, {**firing, **over}, target, why=why, count=count)
        starts = {name: one.starts_at_ms for name, one in firing.items()}
        return [notice], Log(firing={**still, **starts}, told_at_ms=self._now_ms, count=count)

    def _why(
        self, log: Log, firing: Mapping[str, SentAlert], over: Mapping[str, SentAlert]
    ) -> NotifyReason | None:
        if any(log.firing.get(name) != one.starts_at_ms for name, one in firing.items()):
            return NotifyReason.FIRING
        if over:
            return NotifyReason.RESOLVED
        if firing and self._now_ms - log.told_at_ms >= self._route.repeat_interval_ms:
            return NotifyReason.REPEAT
        return None

    def _notice(
        self,
        group: GroupState,
        told: Mapping[str, SentAlert],
        target: _Target,
        *,
        why: NotifyReason,
        count: int,
    ) -> Notice:
        alerts = tuple(sorted(told.values(), key=lambda one: label_sets.frozen(one.labels)))
        content = [(one.fingerprint, one.starts_at_ms, one.ends_at_ms) for one in alerts]
        identity = (self._name, group.began_at_ms, target.integration.id, count, content)
        digest = sha256(msgspec.msgpack.encode(identity)).hexdigest()
        labels = dict(group.labels)
        return Notice(
            key=digest[:KEY_CHARACTERS],
            group=self._name,
            group_key=f"{self._route.key}:{label_sets.written(labels)}",
            group_labels=labels,
            receiver=target.receiver,
            integration=target.integration.id,
            why=why,
            alerts=alerts,
            at_ms=self._now_ms,
        )

    def _tidy(self, group: GroupState) -> GroupState | None:
        """Return the group without what is over; None if nothing is left."""
        owed = {name for log in group.logs.values() for name in log.firing}
        alerts = {name: one for name, one in group.alerts.items() if one.is_firing or name in owed}
        if not alerts:
            return None
        live = alerts.keys()
        return structs.replace(
            group,
            alerts=alerts,
            first_told={name: at for name, at in group.first_told.items() if name in live},
            acknowledged={name: at for name, at in group.acknowledged.items() if name in live},
            level=group.level if any(one.is_firing for one in alerts.values()) else 0,
        )


def _first_told(group: GroupState, logs: Mapping[str, Log], now_ms: int) -> dict[str, int]:
    """Return since when somebody knows of each alert, anew for an alert that began again."""
    known = {pair for log in group.logs.values() for pair in log.firing.items()}
    return {
        name: group.first_told.get(name, now_ms) if (name, since) in known else now_ms
        for log in logs.values()
        for name, since in log.firing.items()
    }
