"""Laws of notification: once per group and state change, in every order, over restarts."""

from collections.abc import Sequence
from itertools import permutations
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.alerts import dispatch as deciding
from analytics.alerts import matchers, routing_files
from analytics.alerts.dispatch import Arrivals
from analytics.alerts.groups import Acknowledgement, Dispatch, Notice, Told, Why
from analytics.alerts.routes import Routing
from analytics.alerts.silences import Silence

SECOND: Final = 1_000
ROUTING: Final = routing_files.load(
    "m.yml",
    """
route:
  receiver: ops
  group_by: [agent]
  group_wait: 10s
  group_interval: 20s
  repeat_interval: 10m
receivers:
- name: ops
  webhook_configs: [{url: 'http://h'}]
  slack_configs: [{api_url: 'http://s'}]
inhibit_rules:
- {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [agent]}
""",
)
HOOK: Final = "ops/webhook/0"
CHAT: Final = "ops/slack/0"


class _World:
    """Alerts over time, told of by passes at every tick."""

    def __init__(self, routing: Routing = ROUTING, *, restarts: bool = False) -> None:
        self._routing = routing
        self._restarts = restarts
        self.state = Dispatch()
        self.alerts: dict[tuple[str, str], Told] = {}
        self.silences: list[Silence] = []
        self.acknowledged: list[Acknowledgement] = []
        self.now_ms = 0
        self.notices: list[Notice] = []

    def fire(self, name: str, severity: str = "critical", agent: str = "a1") -> None:
        labels = {"alertname": name, "severity": severity, "agent": agent}
        self.alerts[name, agent] = Told(labels=labels, starts_at_ms=self.now_ms)

    def end(self, name: str, agent: str = "a1") -> None:
        alert = self.alerts.get((name, agent))
        if alert is not None and alert.is_firing:
            self.alerts[name, agent] = msgspec.structs.replace(alert, ends_at_ms=self.now_ms)

    def fires(self, name: str, agent: str = "a1") -> bool:
        alert = self.alerts.get((name, agent))
        return alert is not None and alert.is_firing

    def tick(self, seconds: int = 0, order: Sequence[int] | None = None) -> list[Notice]:
        self.now_ms += seconds * SECOND
        alerts = list(self.alerts.values())
        given_alerts = alerts if order is None else [alerts[place] for place in order]
        arrivals = Arrivals(
            alerts=given_alerts, silences=self.silences, acknowledgements=self.acknowledged
        )
        was = self.state
        if self._restarts:
            was = msgspec.msgpack.decode(msgspec.msgpack.encode(was), type=Dispatch)
        self.state, notices = deciding.dispatch(self._routing, was, arrivals, self.now_ms)
        if self._restarts:
            again = deciding.dispatch(self._routing, was, arrivals, self.now_ms)
            assert again == (self.state, notices), "a restart says the same under the same keys"
        self.acknowledged = []
        self.notices += notices
        return list(notices)

    def run(self, seconds: int) -> list[Notice]:
        return [one for _ in range(seconds // 5) for one in self.tick(5)]

    def silence(self, text: str, seconds: int) -> None:
        self.silences.append(
            Silence(
                id=f"s{len(self.silences)}", matchers=matchers.parse(text),
                starts_at_ms=self.now_ms, ends_at_ms=self.now_ms + seconds * SECOND,
                created_by="ada", comment="known",
            )
        )  # fmt: skip


def _said(notices: Sequence[Notice], integration: str = HOOK) -> list[str]:
    return [one.why.value for one in notices if one.integration == integration]


steps = st.lists(
    st.tuples(
        st.sampled_from(["fire", "end", "tick", "tick", "silence"]),
        st.sampled_from(["A", "B"]),
        st.sampled_from(["critical", "warning"]),
        st.sampled_from(["a1", "a2"]),
    ),
    max_size=40,
)


def _played(script: list[tuple[str, str, str, str]], *, restarts: bool) -> _World:
    world = _World(restarts=restarts)
    for verb, name, severity, agent in script:
        if verb == "fire" and not world.fires(name, agent):
            world.fire(name, severity, agent)
        elif verb == "end":
            world.end(name, agent)
        elif verb == "silence":
            world.silence(f"alertname={name}", 15)
        else:
            world.tick(5)
    return world


@pytest.mark.requirement("alert-notified-once")
@given(script=steps)
def test_no_receiver_hears_twice_that_an_alert_began_or_ended(
    script: list[tuple[str, str, str, str]],
) -> None:
    world = _played(script, restarts=True)
    world.run(60)

    for integration in (HOOK, CHAT):
        news: set[tuple[str, int]] = set()
        over: set[tuple[str, int]] = set()
        for notice in (one for one in world.notices if one.integration == integration):
            episodes = {(one.fingerprint, one.starts_at_ms) for one in notice.alerts}
            ended = {
                (one.fingerprint, one.starts_at_ms) for one in notice.alerts if not one.is_firing
            }
            assert notice.why is not Why.FIRING or episodes - ended - news, "nothing is news"
            assert not ended & over, "an end is told once"
            assert ended <= news, "only what was told to fire ends"
            assert notice.why is not Why.RESOLVED or ended
            news |= episodes - ended
            over |= ended
    keys = [one.key for one in world.notices]
    assert len(keys) == len(set(keys))


@pytest.mark.requirement("alert-notified-once")
@given(script=steps)
def test_a_restart_between_evaluation_and_notification_changes_nothing(
    script: list[tuple[str, str, str, str]],
) -> None:
    through, restarted = _played(script, restarts=False), _played(script, restarts=True)

    assert restarted.notices == through.notices
    assert restarted.state == through.state


@pytest.mark.requirement("alert-notified-once")
@given(script=steps)
def test_what_fires_and_is_not_mute_is_known_to_its_receivers_in_the_end(
    script: list[tuple[str, str, str, str]],
) -> None:
    world = _played(script, restarts=False)
    world.run(60)

    for alert in world.alerts.values():
        if not alert.is_firing or alert.fingerprint in world.state.mutes:
            continue
        (group,) = [one for one in world.state.groups.values() if alert.fingerprint in one.alerts]
        assert group.logs[HOOK].firing[alert.fingerprint] == alert.starts_at_ms


@pytest.mark.requirement("alert-inhibition-race")
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("old", [False, True], ids=["began just now", "began long ago"])
def test_a_warning_that_comes_with_its_critical_is_never_told(
    order: tuple[int, ...], old: bool
) -> None:
    world = _World()
    began_ms = world.now_ms
    world.fire("Slow", "warning")
    world.fire("Down", "critical")
    world.fire("Slow", "warning", "a2")
    world.now_ms = began_ms + (3_600 * SECOND if old else 0)

    world.tick(0, order)
    said = world.run(60)

    told = {(one.labels["alertname"], one.labels["agent"]) for n in said for one in n.alerts}
    assert told == {("Down", "a1"), ("Slow", "a2")}


@pytest.mark.requirement("alert-inhibition-race")
def test_a_warning_is_told_once_its_critical_is_over() -> None:
    world = _World()
    world.fire("Slow", "warning")
    world.fire("Down", "critical")
    world.run(20)
    world.end("Down")

    said = [one for one in world.run(40) if one.integration == HOOK]

    names = [{(a.labels["alertname"], a.is_firing) for a in one.alerts} for one in said]
    assert names == [{("Slow", True), ("Down", False)}]


def test_waiting_counts_from_arrival_even_for_an_alert_that_began_long_ago() -> None:
    world = _World()
    world.fire("A")
    world.now_ms = 3_600 * SECOND

    assert world.tick() == []
    assert world.tick(9) == []
    assert _said(world.tick(1)) == ["firing"]


def test_alerts_of_a_group_are_told_together_and_later_ones_at_the_next_interval() -> None:
    world = _World()
    world.fire("A")
    world.tick()
    world.fire("B")
    first = world.run(10)
    world.fire("C")
    second = world.run(20)

    assert [len(one.alerts) for one in first if one.integration == HOOK] == [2]
    assert [len(one.alerts) for one in second if one.integration == HOOK] == [3]


def test_an_alert_that_ended_before_the_group_waited_is_never_told() -> None:
    world = _World()
    world.fire("A")
    world.tick()
    world.end("A")

    assert world.run(120) == []
    assert world.state.groups == {}


def test_only_receivers_that_ask_for_it_hear_of_the_end() -> None:
    world = _World()
    world.fire("A")
    world.run(20)
    world.end("A")
    world.run(40)

    assert _said(world.notices) == ["firing", "resolved"]
    assert _said(world.notices, CHAT) == ["firing"]
    assert world.state.groups == {}


def test_the_same_is_said_again_at_the_first_interval_after_repeating_is_due() -> None:
    world = _World()
    world.fire("A")
    world.tick()

    times = [one.at_ms for one in world.run(1_400) if one.integration == HOOK]

    assert times == [10_000, 610_000, 1_210_000]


def test_an_alert_that_begins_anew_between_two_notices_is_told_as_new() -> None:
    world = _World()
    world.fire("A")
    world.run(20)
    world.end("A")
    world.tick(1)
    world.fire("A")
    world.run(40)

    assert _said(world.notices) == ["firing", "firing"]


def test_a_silenced_alert_is_told_when_the_silence_is_over_if_it_still_fires() -> None:
    world = _World()
    world.silence("alertname=A", 100)
    world.fire("A")

    assert world.run(95) == []
    assert _said(world.run(40)) == ["firing"]


def test_an_end_under_a_silence_is_told_after_it_to_those_who_knew() -> None:
    world = _World()
    world.fire("A")
    world.run(20)
    world.silence("alertname=A", 100)
    world.end("A")
    quiet = world.run(95)

    assert (quiet, _said(world.run(40))) == ([], ["resolved"])


def test_an_alert_that_is_gone_without_a_word_has_ended() -> None:
    world = _World()
    world.fire("A")
    world.run(20)
    world.alerts.clear()

    assert _said(world.run(40)) == ["resolved"]


def test_a_pass_that_comes_late_stays_on_the_grid_of_the_group() -> None:
    world = _World()
    world.fire("A")
    world.tick()
    world.tick(55)
    (group,) = world.state.groups.values()

    assert group.due_at_ms == 70_000
    assert deciding.due_at_ms(world.state) == 70_000


ESCALATING: Final = routing_files.load(
    "m.yml",
    """
route: {receiver: ops, group_wait: 0s, group_interval: 1m, escalate_after: 5m,
        escalate_to: [lead, boss]}
receivers:
- {name: ops, webhook_configs: [{url: 'http://o'}]}
- {name: lead, webhook_configs: [{url: 'http://l'}]}
- {name: boss, webhook_configs: [{url: 'http://b'}]}
""",
)


def test_the_next_receivers_are_told_in_turn_while_nobody_acknowledges() -> None:
    world = _World(ESCALATING)
    world.fire("A")
    world.tick()
    told = world.run(660)
    world.end("A")
    over = world.run(60)

    escalated = [(one.receiver, one.why.value, one.at_ms // 60_000) for one in told]
    assert escalated == [("lead", "escalated", 5), ("boss", "escalated", 10)]
    assert sorted((one.receiver, one.why.value) for one in over) == [
        ("boss", "resolved"), ("lead", "resolved"), ("ops", "resolved"),
    ]  # fmt: skip


def test_an_acknowledged_alert_is_not_escalated_but_one_that_comes_later_is() -> None:
    world = _World(ESCALATING)
    world.fire("A")
    world.tick()
    key = world.alerts["A", "a1"].fingerprint
    world.acknowledged = [Acknowledgement(fingerprint=key, by="ada", at_ms=1)]
    quiet = world.run(600)
    world.fire("B")
    world.run(480)

    assert quiet == []
    assert [one.receiver for one in world.notices if one.why is Why.ESCALATED] == ["lead"]


MUTED: Final = routing_files.load(
    "m.yml",
    """
route: {receiver: ops, routes: [{group_wait: 0s, mute_time_intervals: [early]}]}
receivers: [{name: ops, webhook_configs: [{url: 'http://o'}]}]
time_intervals:
- {name: early, time_intervals: [{times: [{start_time: '00:00', end_time: '00:10'}]}]}
""",
)


def test_a_mute_route_still_takes_the_alert_and_tells_when_its_time_is_over() -> None:
    world = _World(MUTED)
    world.fire("A")
    quiet = world.run(595)
    told = world.run(300)

    assert quiet == []
    assert [(one.receiver, one.group_key) for one in told] == [("ops", "{}/{}:{}")]


def test_who_was_told_by_escalation_hears_of_an_end_that_was_mute_at_its_time() -> None:
    world = _World(ESCALATING)
    world.fire("A")
    world.run(360)
    world.silence("alertname=A", 300)
    world.end("A")
    quiet = world.run(290)

    over = [(one.receiver, one.why.value) for one in world.run(120)]

    assert quiet == []
    assert sorted(over) == [("lead", "resolved"), ("ops", "resolved")]


def test_an_alert_that_begins_anew_is_escalated_from_then_on_only() -> None:
    world = _World(ESCALATING)
    world.fire("A")
    world.run(230)
    world.end("A")
    world.tick(1)
    world.fire("A")
    began_anew_ms = world.now_ms

    escalated = [one for one in world.run(900) if one.why is Why.ESCALATED]

    assert escalated[0].at_ms - began_anew_ms >= 300_000
