"""The pack for fleets of agents: every alert has its test, its advice and its view."""

import re
from typing import Final

import pytest

from analytics.alerts import presets
from analytics.alerts.rules import exposed, test_runs, tests
from analytics.alerts.rules.memory_series import MemorySeries
from analytics.alerts.rules.rules import AlertRule

TESTS: Final = ("burn.test.yml", "fleet.test.yml", "platform.test.yml", "slow.test.yml")
ALERTS: Final = [
    rule
    for file in presets.rules()
    for group in file.groups
    for rule in group.rules
    if isinstance(rule, AlertRule)
]
WANTED: Final = {
    "CostSpike", "BudgetWillRunOut", "TokenBurn", "ErrorRate", "RetriesExhausted", "RateLimited",
    "Refusals", "WaitingForPerson", "Looping", "Stuck", "CompactionStorm", "McpServerDown",
    "PermissionsBypassed", "SlowRequests", "IngestLag", "DeadLettersGrowing", "EventsArrive",
    "ReviewAcceptanceLow",
}  # fmt: skip


@pytest.mark.requirement("alert-presets")
@pytest.mark.parametrize("name", TESTS)
def test_the_tests_of_the_pack_pass(name: str) -> None:
    file = tests.read(name, presets.text(name))
    rules = [one for one in presets.rules() if one.path.split("/")[1] in file.rule_files]

    assert [line for one in test_runs.run(file, rules, MemorySeries) for line in one.lines()] == []


@pytest.mark.requirement("alert-presets")
def test_every_alert_of_the_pack_is_expected_to_fire_by_a_test() -> None:
    fired = {
        case.alertname
        for name in TESTS
        for test in tests.read(name, presets.text(name)).tests
        for case in test.alerts
        if case.firing
    }

    assert {rule.name for rule in ALERTS} == WANTED
    assert fired == WANTED - {"EventsArrive"} | {"NoData"}


@pytest.mark.requirement("alert-presets")
@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule.name}-{rule.place.line}")
def test_every_alert_says_what_happens_what_to_do_and_where_to_look(rule: AlertRule) -> None:
    assert {"summary", "action", "view"} <= rule.annotations.keys()
    assert "severity" in rule.labels


@pytest.mark.requirement("alert-presets")
def test_every_series_and_label_that_the_pack_names_is_exposed() -> None:
    selectors = [
        (found[1], re.findall(r"(\w+)[=!]", found[2] or ""))
        for rule in ALERTS
        for found in re.finditer(r"\b([a-z_]+_[a-z_]+)(?:\{([^}]*)\})?(?=[\[\s)]|$)", rule.expr)
        if found[1] not in {"histogram_quantile", "session_id", "mcp_server", "group_left"}
    ]

    assert selectors
    for name, labels in selectors:
        assert name in exposed.BY_NAME, name
        assert set(labels) <= set(exposed.BY_NAME[name].labels), name


def test_nothing_in_the_pack_is_odd_or_beyond_what_is_evaluated() -> None:
    files = presets.rules()

    assert [one for file in files for one in (*file.cautions, *file.beyond)] == []
    assert presets.routing().cautions == ()
