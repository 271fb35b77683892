"""All of alerting at one moment: rules of several groups, then one decision, over restarts."""

from typing import Final

import msgspec
import pytest

from analytics.alerts import matchers
from analytics.alerts.dispatch import engine, routing_files
from analytics.alerts.dispatch.engine import Evaluated, Events, Setup, Situation
from analytics.alerts.dispatch.groups import Notice
from analytics.alerts.rules import files
from analytics.alerts.rules.memory_series import MemorySeries
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import Silence

MINUTE: Final = 60_000
RULES: Final = """
groups:
- name: warn
  rules:
  - {alert: Slow, expr: delay > 1, labels: {severity: warning}}
  - {record: doubled, expr: delay * 2}
  - {alert: Doubled, expr: doubled > 9, labels: {severity: info}}
- name: crit
  interval: 2m
  rules:
  - alert: Slow
    expr: delay > 3
    labels: {severity: critical}
    annotations: {summary: "{{ $value }}"}
"""
ROUTING: Final = """
route: {receiver: ops, group_wait: 0s, group_interval: 1m, group_by: [alertname]}
receivers: [{name: ops, webhook_configs: [{url: 'http://h'}]}]
inhibit_rules:
- {source_matchers: [severity=critical], target_matchers: [severity=warning], equal: [alertname]}
"""
SETUP: Final = Setup(
    files=(files.load("r.yml", RULES),),
    routing=routing_files.load("m.yml", ROUTING),
    external_url="https://m",
)


def _world(values: list[float]) -> MemorySeries:
    world = MemorySeries()
    world.load({"__name__": "delay", "agent": "a"}, values, MINUTE)
    return world


def _run(values: list[float], *, restarts: bool, minutes: int) -> tuple[Situation, list[Notice]]:
    world, situation, notices = _world(values), Situation(), list[Notice]()
    for minute in range(minutes):
        if restarts:
            kept = msgspec.msgpack.encode(situation)
            situation = msgspec.msgpack.decode(kept, type=Situation)
            assert _step(situation, world, minute) == _step(situation, _world(values), minute)
        step = _step(situation, world, minute)
        situation = step.situation
        notices += step.notices
    return situation, notices


def _step(situation: Situation, world: MemorySeries, minute: int) -> Evaluated:
    return engine.step(SETUP, situation, world, minute * MINUTE)


@pytest.mark.requirement("alert-inhibition-race")
def test_rules_of_two_groups_that_fire_in_one_step_do_not_race() -> None:
    _, notices = _run([4.0, 4.0, 4.0], restarts=False, minutes=3)

    told = [(a.labels["severity"], n.why.value) for n in notices for a in n.alerts]
    assert told == [("critical", "firing")]


@pytest.mark.requirement("alert-notified-once")
def test_a_step_after_each_of_which_everything_restarts_says_the_same() -> None:
    values = [0.0, 2.0, 2.0, 4.0, 4.0, 2.0, 0.0, 0.0]

    through = _run(values, restarts=False, minutes=8)
    restarted = _run(values, restarts=True, minutes=8)

    assert restarted == through
    assert [one.why.value for one in through[1]] == ["firing", "firing", "resolved"]


def test_a_recorded_series_is_there_for_the_next_rule() -> None:
    _, notices = _run([5.0, 5.0], restarts=False, minutes=2)

    assert {a.labels["alertname"] for n in notices for a in n.alerts} == {"Slow", "Doubled"}


def test_ticks_that_were_passed_over_are_counted_and_a_late_step_is_on_the_grid() -> None:
    world = _world([4.0] * 20)

    first = engine.step(SETUP, Situation(), world, 0)
    late = engine.step(SETUP, first.situation, world, 5 * MINUTE + 30_000)

    assert late.situation.skipped == {"r.yml;warn": 4, "r.yml;crit": 1}
    assert late.situation.ticks == {"r.yml;warn": 5 * MINUTE, "r.yml;crit": 4 * MINUTE}


@pytest.mark.requirement("alert-silence-link")
def test_what_is_told_links_to_its_view_and_to_a_silence_that_mutes_it() -> None:
    world = _world([4.0] * 20)
    first = engine.step(SETUP, Situation(), world, 0)
    (alert,) = first.notices[0].alerts
    found = silences.from_link(alert.annotations["silence"])
    silence = Silence(
        id="s", matchers=found, starts_at_ms=0, ends_at_ms=10**9, created_by="a", comment="c"
    )

    again = engine.step(SETUP, Situation(), world, 0, Events(silences=[silence]))

    assert alert.generator_url.startswith(
        "https://m/alerts?agent=a&range=custom&from=1970-01-01T00"
    )
    assert alert.annotations["summary"] == "4"
    assert matchers.all_hold(found, alert.labels)
    assert again.notices == ()


def test_a_rule_that_is_no_more_has_ended_for_its_receivers() -> None:
    world = _world([4.0] * 20)
    first = engine.step(SETUP, Situation(), world, 0)
    bare = msgspec.structs.replace(SETUP, files=())

    after = engine.step(bare, first.situation, world, MINUTE)

    assert after.situation.rules == {}
    assert [(one.why.value, one.is_firing) for one in after.notices] == [("resolved", False)]
