"""Inhibition as Alertmanager decides it, traps included."""

import pytest

from analytics.alerts import matchers
from analytics.alerts.dispatch.routes import Inhibition
from analytics.alerts.documents import Position
from analytics.alerts.inhibit.inhibition import inhibited


def _rule(source: str, target: str, *equal: str) -> Inhibition:
    return Inhibition(
        source=matchers.parse(source),
        target=matchers.parse(target),
        place=Position("m.yml"),
        equal=equal,
    )


RULE = _rule("severity=critical", "severity=warning", "cluster")


@pytest.mark.parametrize(
    ("source", "target", "mute"),
    [
        ({"cluster": "a"}, {"cluster": "a"}, True),
        ({"cluster": "a"}, {"cluster": "b"}, False),
        ({"cluster": "a"}, {}, False),
        ({}, {}, True),
        ({"cluster": ""}, {}, True),
    ],
)
def test_equal_labels_are_alike_when_both_are_missing_or_empty(
    source: dict[str, str], target: dict[str, str], mute: bool
) -> None:
    every = {"s": {"severity": "critical", **source}, "t": {"severity": "warning", **target}}

    found = inhibited([RULE], every, every)

    assert found == ({"t": "s"} if mute else {})


def test_an_alert_on_both_sides_is_inhibited_by_a_plain_source_only() -> None:
    rule = _rule('severity=~"critical|major"', 'severity=~"major|minor"')
    both = {"one": {"severity": "major"}, "two": {"severity": "major", "x": "y"}}
    minor = {"minor": {"severity": "minor"}}
    plain = {"plain": {"severity": "critical"}}

    assert inhibited([rule], both, both) == {}
    assert inhibited([rule], both, both | minor) == {"minor": "one"}
    assert inhibited([rule], both | plain, both | plain) == {"one": "plain", "two": "plain"}


def test_an_alert_that_is_over_inhibits_nothing() -> None:
    target = {"t": {"severity": "warning"}}

    assert inhibited([RULE], {}, target) == {}
