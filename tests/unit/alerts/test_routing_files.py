"""Routing files load as in Alertmanager or are refused with the place of what is wrong."""

from pathlib import Path
from typing import Final

import pytest

from analytics.alerts.dispatch import routes, routing_files
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.documents import BadFile

FILES: Final = Path(__file__).resolve().parents[2] / "data/alerts/routing"
GOOD: Final = sorted(path.name for path in FILES.iterdir() if ".nil-" not in path.name)
NIL: Final = {
    "config_testdata_conf.nil-match_re-route.yml": ":5:23: the pattern for 'invalid_label'",
    "config_testdata_conf.nil-source_match_re-inhibition.yml": ":7:28: the pattern for",
    "config_testdata_conf.nil-target_match_re-inhibition.yml": ":9:28: the pattern for",
}
HOOK: Final = "receivers:\n- name: a\n- name: b\n"


def _load(body: str) -> Routing:
    return routing_files.load("m.yml", body)


def _landed(routing: Routing, **labels: str) -> list[str]:
    return [route.receiver for route in routes.landing(routing.root, labels)]


@pytest.mark.requirement("alert-routing")
@pytest.mark.parametrize("name", GOOD)
def test_every_good_file_of_alertmanager_loads(name: str) -> None:
    found = routing_files.load(name, (FILES / name).read_text())

    assert found.root.receiver
    assert len(GOOD) == 4


@pytest.mark.requirement("alert-routing")
@pytest.mark.parametrize("name", sorted(NIL))
def test_a_pattern_that_is_nothing_is_refused_and_no_crash(name: str) -> None:
    with pytest.raises(BadFile) as refused:
        routing_files.load(name, (FILES / name).read_text())

    assert str(refused.value).startswith(name + NIL[name])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "m.yml:1:1: empty"),
        ("receivers: [{name: a}]", "needs a route"),
        (HOOK + "route: {receiver: c}", "m.yml:4:19: receiver 'c' does not exist"),
        (HOOK + "route: {}", "m.yml:4:8: the root route needs a receiver"),
        (HOOK + "route: {receiver: a, matchers: [x=y]}", "it has no matchers"),
        (HOOK + "route: {receiver: a, match: {x: y}}", "it has no matchers"),
        (HOOK + "route: {receiver: a, continue: true}", "nothing to continue to"),
        (HOOK + "route: {receiver: a, mute_time_intervals: [t]}", "root route has no mute_time"),
        (HOOK + "route: {receiver: a, routes: [{mute_time_intervals: [t]}]}", "'t' does not exist"),
        (HOOK + "route: {receiver: a, group_by: [x, x]}", "group_by has 'x' twice"),
        (HOOK + "route: {receiver: a, group_by: [x, ...]}", "it stands alone"),
        (HOOK + "route: {receiver: a, group_by: ['-']}", "'-' is no label name"),
        (HOOK + "route: {receiver: a, group_interval: 0s}", "group_interval must be longer than 0"),
        (HOOK + "route: {receiver: a, repeat_interval: 0s}", "repeat_interval must be longer"),
        (HOOK + "route: {receiver: a, routes: [{matchers: ['x=~(']}]}", "missing closing )"),
        (HOOK + "route: {receiver: a, routes: [{matchers: ['x']}]}", "'x' is no matcher"),
        (HOOK + "route: {receiver: a, colour: red}", "unknown field 'colour'"),
        (HOOK + "route: {receiver: a, escalate_after: 5m}", "escalate_after needs escalate_to"),
        (HOOK + "route: {receiver: a, escalate_to: c}", "receiver 'c' does not exist"),
        ("receivers: [{name: a}, {name: a}]\nroute: {receiver: a}", "'a' is there twice"),
        ("receivers: [{}]\nroute: {receiver: a}", "a receiver needs a name"),
        ("receivers: [{name: a, webhook_configs: [{}]}]", "webhook needs url or url_file"),
        ("receivers: [{name: a, webhook_configs: [{url: 'file:///x'}]}]", "begins with http"),
        ("receivers: [{name: a, webhook_configs: [{url: 'http://x', url_file: y}]}]", "not both"),
        ("receivers: [{name: a, email_configs: [{to: x}]}]", "email needs smarthost"),
        ("receivers: [{name: a, slack_configs: [{channel: x}]}]", "slack needs api_url"),
        ("receivers: [{name: a, pagerduty_configs: [{}]}]", "pagerduty needs routing_key"),
        ("receivers: [{name: a, pigeon_configs: [{}]}]", "unknown field 'pigeon_configs'"),
        (HOOK + "time_intervals: [{name: t}, {name: t}]\nroute: {receiver: a}", "'t' is there"),
        (HOOK + "time_intervals: [{name: t, time_intervals: [{location: Mars}]}]", "no time zone"),
        (HOOK + "time_intervals: [{name: t, time_intervals: [{weekdays: [funday]}]}]", "'funday'"),
        (HOOK + "time_intervals: [{name: t, time_intervals: [{days_of_month: ['0']}]}]", "0 is no"),
        (HOOK + "time_intervals: [{name: t, time_intervals: [{months: ['5:2']}]}]", "ends before"),
        (HOOK + "inhibit_rules: [{equal: ['-']}]\nroute: {receiver: a}", "'-' is no label name"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_with_its_place(body: str, said: str) -> None:
    with pytest.raises(BadFile) as refused:
        _load(body)

    assert said in str(refused.value)
    assert str(refused.value).startswith("m.yml:")


@pytest.mark.requirement("alert-routing")
@pytest.mark.parametrize(
    ("labels", "landed"),
    [
        ({}, ["team-X-mails"]),
        ({"service": "foo1"}, ["team-X-mails"]),
        ({"service": "foo12"}, ["team-X-mails"]),
        ({"service": "foo1", "severity": "critical"}, ["team-X-pager"]),
        ({"service": "files", "severity": "critical"}, ["team-Y-pager"]),
        ({"service": "database"}, ["team-DB-pager"]),
        ({"service": "database", "owner": "team-X"}, ["team-X-pager"]),
        ({"service": "database", "owner": "team-Y"}, ["team-Y-pager"]),
    ],
)
def test_a_label_set_lands_where_alertmanager_lands_it(
    labels: dict[str, str], landed: list[str]
) -> None:
    routing = _load((FILES / "doc_examples_simple.yml").read_text())

    assert _landed(routing, **labels) == landed


def test_a_route_that_continues_lets_later_siblings_take_it_too() -> None:
    routing = _load((FILES / "cli_testdata_conf.routing.yml").read_text())

    assert _landed(routing, test="2") == ["test1", "test2"]
    assert _landed(routing, test="1") == ["test1"]


def test_children_inherit_all_but_matchers_continuing_and_times() -> None:
    routing = _load(
        HOOK + "time_intervals: [{name: t, time_intervals: [{weekdays: [sunday]}]}]\n"
        "route:\n  receiver: a\n  group_by: [x]\n  group_wait: 1s\n  repeat_interval: 1h\n"
        "  escalate_after: 30m\n  escalate_to: b\n  routes:\n"
        "  - matchers: [x=y]\n    continue: true\n    mute_time_intervals: [t]\n"
        "    routes: [{group_interval: 1m}]\n"
    )
    child = routing.root.routes[0].routes[0]

    assert (child.receiver, child.group_by, child.group_wait_ms) == ("a", ("x",), 1_000)
    assert (child.repeat_interval_ms, child.group_interval_ms) == (3_600_000, 60_000)
    assert (child.escalate_after_ms, child.escalate_to) == (1_800_000, ("b",))
    assert (child.matchers, child.goes_on, child.mute) == ((), False, ())


@pytest.mark.parametrize(
    ("at", "mute"),
    [
        (1_767_603_600_000, True),  # Monday 2026-01-05 10:00 in Berlin
        (1_767_596_400_000, False),  # 08:00
        (1_767_632_400_000, False),  # 18:00: the end is excluded
        (1_768_035_600_000, False),  # Saturday
        (1_783_324_800_000, True),  # Monday 2026-07-06 10:00 in summer time
    ],
)
def test_a_time_interval_is_in_its_own_time_zone(at: int, mute: bool) -> None:
    routing = _load(
        HOOK + "time_intervals:\n- name: work\n  time_intervals:\n"
        "  - {weekdays: ['monday:friday'], location: Europe/Berlin,\n"
        "     times: [{start_time: '09:00', end_time: '18:00'}]}\n"
        "route: {receiver: a, routes: [{mute_time_intervals: [work]},"
        " {active_time_intervals: [work]}]}\n"
    )
    muted, active = routing.root.routes

    assert routing.is_mute(muted, at) is mute
    assert routing.is_mute(active, at) is not mute


@pytest.mark.parametrize(
    ("days", "day", "holds"),
    [
        ("1", 1, True), ("-1", 28, True), ("-3:-1", 25, False), ("29:31", 28, False),
        ("5:-2", 27, True),
    ],
)  # fmt: skip
def test_days_of_a_month_count_from_its_end_too(days: str, day: int, holds: bool) -> None:
    routing = _load(
        HOOK + f"time_intervals: [{{name: t, time_intervals: [{{days_of_month: ['{days}']}}]}}]\n"
        "route: {receiver: a, routes: [{mute_time_intervals: [t]}]}"
    )

    at_ms = 1_769_904_000_000 + (day - 1) * 86_400_000  # February 2026

    assert routing.is_mute(routing.root.routes[0], at_ms) is holds


def test_secrets_of_receivers_show_in_no_text() -> None:
    routing = _load(
        "receivers: [{name: a, webhook_configs: [{url: 'http://h/s3cret'}],"
        " slack_configs: [{api_url: 'http://s/s3cret', channel: c}]}]\nroute: {receiver: a}"
    )
    hook, slack = sorted(routing.receivers["a"].integrations, key=lambda one: one.id, reverse=True)

    assert "s3cret" not in repr(routing)
    assert (hook.secrets["url"], hook.sends_resolved) == ("http://h/s3cret", True)
    assert (slack.settings["channel"], slack.sends_resolved) == ("c", False)


def test_a_label_of_equal_that_no_rule_carries_is_said() -> None:
    routing = _load(
        HOOK + "inhibit_rules: [{source_matchers: [x=a], target_matchers: [x=b],"
        " equal: [x, y]}]\nroute: {receiver: a}"
    )

    said = routing_files.unused_equals(routing, frozenset({"x"}))

    assert ["'y'" in one.reason for one in said] == [True]
    assert [one.reason for one in routing_files.unreached(routing)] == [
        "no route leads to receiver 'b'"
    ]
