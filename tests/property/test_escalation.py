"""Escalation while nobody acknowledges, and routes that are mute for a time."""

from typing import Final

from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.groups import Acknowledgement, NotifyReason
from tests.support.alerted import World

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
    world = World(ESCALATING)
    world.fire("A")
    world.tick()
    told = world.run(660)
    world.end("A")
    over = world.run(60)

    assert [(one.receiver, one.why.value, one.at_ms // 60_000) for one in told] == [
        ("lead", "escalated", 5),
        ("boss", "escalated", 10),
    ]
    assert sorted((one.receiver, one.why.value) for one in over) == [
        ("boss", "resolved"), ("lead", "resolved"), ("ops", "resolved"),
    ]  # fmt: skip


def test_an_acknowledged_alert_is_not_escalated_but_one_that_comes_later_is() -> None:
    world = World(ESCALATING)
    world.fire("A")
    world.tick()
    key = world.alerts["A", "a1"].fingerprint
    world.acknowledged = [Acknowledgement(fingerprint=key, by="ada", at_ms=1)]
    quiet = world.run(600)
    world.fire("B")
    world.run(480)

    assert quiet == []
    assert [one.receiver for one in world.notices if one.why is NotifyReason.ESCALATED] == ["lead"]


def test_an_acknowledgement_holds_for_no_alert_that_began_after_it() -> None:
    world = World(ESCALATING)
    world.fire("A")
    world.tick()
    old = Acknowledgement(fingerprint=world.alerts["A", "a1"].fingerprint, by="ada", at_ms=1)
    world.acknowledged = [old]
    world.run(60)
    world.end("A")
    world.run(60)
    world.fire("A")
    world.acknowledged = [old]
    world.run(480)

    assert [one.receiver for one in world.notices if one.why is NotifyReason.ESCALATED] == ["lead"]


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
    world = World(MUTED)
    world.fire("A")
    quiet = world.run(595)
    told = world.run(300)

    assert quiet == []
    assert [(one.receiver, one.group_key) for one in told] == [("ops", "{}/{}:{}")]


def test_who_was_told_by_escalation_hears_of_an_end_that_was_mute_at_its_time() -> None:
    world = World(ESCALATING)
    world.fire("A")
    world.run(360)
    world.silence("alertname=A", 300)
    world.end("A")
    quiet = world.run(290)

    over = [(one.receiver, one.why.value) for one in world.run(120)]

    assert quiet == []
    assert sorted(over) == [("lead", "resolved"), ("ops", "resolved")]


def test_an_alert_that_begins_anew_is_escalated_from_then_on_only() -> None:
    world = World(ESCALATING)
    world.fire("A")
    world.run(230)
    world.end("A")
    world.tick(1)
    world.fire("A")
    began_anew_ms = world.now_ms

    escalated = [one for one in world.run(900) if one.why is NotifyReason.ESCALATED]

    assert escalated[0].at_ms - began_anew_ms >= 300_000
