"""Aliases in a file of rules or routes cost no more than what they stand for, which has a limit."""

import pytest

from analytics.alerts.dispatch import routing_files
from analytics.alerts.documents import ALIASED_MAX, BadFile
from analytics.alerts.rules import files

RULE = "{record: a, expr: '1'}"


def _routes(depth: int) -> str:
    """Return a route that holds the route below it twice, `depth` times over."""
    below = f"&r{depth} {_routes(depth - 1)}, *r{depth}" if depth else ""
    return f"{{receiver: a, routes: [{below}]}}"


def _merged(depth: int) -> str:
    """Return fields that take the fields below them over twice, `depth` times over."""
    return f"{{<<: [&m{depth} {_merged(depth - 1)}, *m{depth}]}}" if depth else "{a: b}"


def _routing(route: str) -> str:
    return f"receivers: [{{name: a}}]\nroute: {route}\n"


def _rules(rules: str, labels: str = "{}") -> str:
    return f"groups: [{{name: x, labels: {labels}, rules: [{rules}]}}]\n"


@pytest.mark.requirement("alert-rule-files")
@pytest.mark.parametrize(
    "body", [_rules(f"&r {RULE}" + ", *r" * ALIASED_MAX), _rules(RULE, _merged(40))]
)
def test_rules_whose_aliases_stand_for_too_much_are_refused_before_they_are_read(body: str) -> None:
    with pytest.raises(BadFile, match=r"rules.yml:1:\d+: its aliases stand for more than"):
        files.load("rules.yml", body)


@pytest.mark.requirement("alert-routing")
def test_routes_whose_aliases_double_at_each_level_are_refused_before_they_are_read() -> None:
    with pytest.raises(BadFile, match=r"routing.yml:2:\d+: its aliases stand for more than"):
        routing_files.load("routing.yml", _routing(_routes(31)))


@pytest.mark.requirement("alert-routing")
def test_an_alias_inside_what_it_names_is_refused_at_its_place() -> None:
    with pytest.raises(BadFile, match=r"routing.yml:2:8: an alias stands inside what it names"):
        routing_files.load("routing.yml", _routing("&r {receiver: a, routes: [*r]}"))


@pytest.mark.requirement("alert-rule-files")
def test_aliases_as_people_use_them_are_read() -> None:
    labels = "&l {team: core, <<: {severity: page}}"
    found = files.load("rules.yml", _rules(f"&r {RULE}" + ", *r" * 99, labels))

    assert len(found.groups[0].rules) == 100
    assert found.groups[0].rules[99].labels == {"team": "core", "severity": "page"}


@pytest.mark.requirement("alert-rule-files")
def test_a_long_file_without_aliases_is_no_matter_of_aliases() -> None:
    found = files.load("rules.yml", _rules(", ".join([RULE] * 9_000)))

    assert len(found.groups[0].rules) == 9_000
