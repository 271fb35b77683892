"""Rule files load unchanged or are refused with the place of what is wrong."""

from pathlib import Path
from typing import Final

import pytest

from analytics.alerts.documents import BadFile
from analytics.alerts.rules import files
from analytics.alerts.rules.rules import AlertRule, NoData, RuleFile
from analytics.alerts.template.templates import Data
from tests.support import public_rules

NOTHING: Final = Data(labels={}, value=1.0)
RULES: Final = Path(__file__).resolve().parents[2] / "data/alerts/rules"
REFUSED: Final = {
    "cmd_promtool_testdata_rules-bad.yml": ":12:30: template: undefined variable '$label'",
    "model_rulefmt_testdata_bad_field.bad.yaml": ":8:9: unknown field 'annotation'",
    "model_rulefmt_testdata_duplicate_grp.bad.yaml": ":3:11: group 'yolo' is there twice",
    "model_rulefmt_testdata_noexpr.bad.yaml": ":4:9: a rule needs an expr",
    "rules_fixtures_invalid_rules.yaml": ":6:9: unknown field 'unexpected_field'",
}
TESTS: Final = {"failing.yml", "long-period.yml", "rules_run.yml", "unittest.yml"}
GOOD: Final = sorted(
    path.name
    for path in RULES.glob("*.y*ml")
    if path.name not in REFUSED and not path.name.endswith(tuple(f"_{name}" for name in TESTS))
)


def _load(body: str) -> RuleFile:
    return files.load("r.yml", "groups:\n- name: g\n  rules:\n" + body)


def _refusal(body: str) -> str:
    with pytest.raises(BadFile) as refused:
        _load(body)
    return str(refused.value)


def _alert(file: RuleFile, position: int = 0) -> AlertRule:
    rule = file.groups[0].rules[position]
    assert isinstance(rule, AlertRule)
    return rule


@pytest.mark.requirement("alert-rule-files")
@pytest.mark.parametrize("name", GOOD)
def test_every_good_file_of_prometheus_loads(name: str) -> None:
    found = files.load(name, (RULES / name).read_text())

    assert found.groups
    assert all(group.rules for group in found.groups)


def test_there_are_sixteen_good_files() -> None:
    assert len(GOOD) == 16


@pytest.mark.requirement("alert-rule-files")
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_bad_file_of_prometheus_is_refused_at_its_place(name: str) -> None:
    with pytest.raises(BadFile) as refused:
        files.load(name, (RULES / name).read_text())

    assert str(refused.value).startswith(name + REFUSED[name])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("  - {alert: A, record: b, expr: up}", "r.yml:4:5: a rule has either record or alert"),
        ("  - {expr: up}", "r.yml:4:5: a rule needs alert or record"),
        ("  - {alert: '', expr: up}", "r.yml:4:5: a rule needs alert or record"),
        ("  - {record: a, expr: up, for: 5m}", "r.yml:4:32: a recording rule has no 'for'"),
        ("  - {record: a, expr: up, keep_firing_for: 5m}", "has no 'keep_firing_for'"),
        ("  - {record: a, expr: up, annotations: {a: b}}", "has no 'annotations'"),
        ("  - {record: a-b, expr: up}", "r.yml:4:14: 'a-b' is no name of a series"),
        ("  - {alert: A, expr: up, labels: {a-b: c}}", "'a-b' is no label name"),
        ("  - {alert: A, expr: up, labels: {__name__: c}}", "'__name__' cannot be set"),
        ("  - {alert: A, expr: up, annotations: {a-b: c}}", "'a-b' is no label name"),
        ("  - {alert: A, expr: 'sum by ('}", "r.yml:4:31: could not read the expression: unclosed"),
        ("  - {alert: A, expr: up, for: 5}", "r.yml:4:31: '5' is no duration"),
        ("  - {alert: A, expr: up, for: 5m1h}", "'5m1h' is no duration"),
        ("  - {alert: A, expr: up, expr: up}", "r.yml:4:26: field 'expr' is there twice"),
        ("  - {alert: A, expr: up, labels: {v: '{{ $value }}'}}", "label 'v' holds $value"),
        ("  - {alert: A, expr: up, no_data: perhaps}", "no_data is one of ok, keep, alert"),
        ("  - {alert: A, expr: up, threshold: {}}", "a rule has one condition"),
        ("  - {alert: A, expr: up, annotations: {a: '{{ if true }}'}}", "no {{end}}"),
        ("  - {alert: A, expr: up, labels: {a: '{{ lookup 1 }}'}}", "'lookup' is not defined"),
        ("  - 5", "r.yml:4:5: expected fields"),
        ("    x", "r.yml:4:5: expected a list"),
        ("  - {alert: A", "no YAML"),
    ],
)
def test_what_prometheus_refuses_is_refused_with_its_place(body: str, said: str) -> None:
    assert said in _refusal(body)


def test_an_error_inside_a_block_of_text_has_the_line_of_the_text() -> None:
    body = (
        "  - alert: A\n    expr: up\n    annotations:\n      a: |\n        fine\n        {{ $x }}\n"
    )

    assert _refusal(body).startswith("r.yml:9:9: template: undefined variable '$x'")


@pytest.mark.requirement("alert-annotation-costs-a-warning")
@pytest.mark.parametrize(
    "text",
    [
        "{{ lookup $value }}", "{{ $labels.job | default `none` }}", "{{ sprintf `%d` 1 }}",
        "{{ if lookup 1 }}x{{ end }}", "a\\nb {{ (lookup 1).x }}",
    ],
)  # fmt: skip
def test_a_function_that_nobody_has_costs_its_annotation_and_not_the_file(text: str) -> None:
    found = _load(
        f'  - {{alert: A, expr: up > 1, annotations: {{a: "{text}", b: fine}}}}\n'
        "  - {alert: B, expr: up > 2}\n"
    )

    [caution] = found.cautions
    shown = {name: one.render(NOTHING) for name, one in _alert(found).annotations.items()}
    assert "is not defined" in caution.reason
    assert (caution.place.path, caution.place.line) == ("r.yml", 4)
    assert shown["a"].startswith("<error expanding template: function")
    assert shown["b"] == "fine"
    assert _alert(found, 1).name == "B"


def test_an_annotation_that_fails_with_the_rules_own_labels_is_a_caution() -> None:
    found = _load("  - {alert: A, expr: up > 1, annotations: {a: '{{ if gt $value 5 }}{{ end }}'}}")

    assert ["incompatible types" in one.reason for one in found.cautions] == [True]


@pytest.mark.requirement("alert-annotation-costs-a-warning")
def test_files_as_people_publish_them_load() -> None:
    names = {name: files.load(name, text) for name, text in public_rules.files()}

    assert len(names) >= 120
    assert {len(one.groups[0].rules) for one in names.values()} == {2}
    odd = [str(caution) for one in names.values() for caution in one.cautions]
    assert [one for one in odd if "template:" in one] == []


def test_a_second_document_is_left_out_with_a_caution() -> None:
    name = "rules_fixtures_rules_multi_doc.yaml"

    found = files.load(name, (RULES / name).read_text())

    assert len(found.groups) == 1
    assert [str(one) for one in found.cautions] == [
        f"{name}:8:1: only the first document of a file is read; this one is left out"
    ]


def test_rules_alike_in_a_group_are_a_caution_and_no_error() -> None:
    found = _load("  - {alert: A, expr: up}\n  - {alert: A, expr: down}\n")

    assert ["alike the one in line 4" in one.reason for one in found.cautions] == [True]


def test_a_label_that_the_result_cannot_have_is_a_caution() -> None:
    found = _load(
        "  - {alert: A, expr: sum by (job) (up) > 0, annotations: {a: '{{ $labels.pod }}'}}"
    )

    assert "the result has no label 'pod' (it has: job)" in str(found.cautions[0])


def test_every_field_of_a_rule_is_read() -> None:
    found = files.load(
        "r.yml",
        "groups:\n- name: g\n  interval: 30s\n  limit: 5\n  query_offset: 1m\n"
        "  labels: {team: a, tier: b}\n  rules:\n  - alert: A\n    expr: 1\n    for: 1h30m\n"
        "    keep_firing_for: 10m\n    labels: {team: c}\n    no_data: keep\n    no_data_for: 7m\n",
    )
    group, rule = found.groups[0], _alert(found)

    assert (group.interval_ms, group.limit, group.query_offset_ms) == (30_000, 5, 60_000)
    assert (rule.expr, rule.for_ms, rule.keep_firing_for_ms) == ("1", 5_400_000, 600_000)
    assert (rule.no_data, rule.no_data_for_ms) == (NoData.KEEP, 420_000)
    assert {name: one.text for name, one in rule.labels.items()} == {"team": "c", "tier": "b"}


@pytest.mark.requirement("alert-short-conditions")
def test_a_threshold_with_two_bounds_is_two_rules_that_differ_in_severity() -> None:
    found = _load(
        "  - alert: ToolErrors\n    threshold: {metric: tool_errors_total, window: 10m, by: [tool],"
        " where: 'agent=\"a\"', warn: 0.2, critical: 0.5}\n    for: 5m\n"
    )

    rules = [_alert(found, position) for position in (0, 1)]

    measured = 'sum by (tool) (rate(tool_errors_total{agent="a"}[10m]))'
    assert [rule.expr for rule in rules] == [f"{measured} > 0.2", f"{measured} > 0.5"]
    assert [rule.labels["severity"].text for rule in rules] == ["warning", "critical"]
    assert [rule.for_ms for rule in rules] == [300_000, 300_000]


@pytest.mark.requirement("alert-short-conditions")
@pytest.mark.parametrize(
    ("short", "expr"),
    [
        ("anomaly: {series: cost_usd, by: [team]}",
         'max by (team) (anomaly_score{series="cost_usd"}) > 0.99'),
        ("forecast: {budget: weekly, within: 24h}",
         'min (forecast_exhaustion_seconds{budget="weekly"}) < 86400'),
        ("threshold: {metric: m, aggregation: p95, window: 1h, operator: '<', warn: 2}",
         "max (quantile_over_time(0.95, m[1h])) < 2"),
        ("threshold: {metric: m, aggregation: last, critical: 2}", "max (m) > 2"),
        ("threshold: {metric: m, aggregation: count, window: 5m, warn: 2}",
         "sum (count_over_time(m[5m])) > 2"),
    ],
)  # fmt: skip
def test_a_short_condition_compiles_to_an_expression(short: str, expr: str) -> None:
    assert _alert(_load(f"  - alert: A\n    {short}\n")).expr == expr


@pytest.mark.parametrize(
    ("short", "said"),
    [
        ("threshold: {metric: m, window: 5m}", "needs warn, critical or both"),
        ("threshold: {window: 5m, warn: 1}", "field 'metric' is missing"),
        ("threshold: {metric: m, warn: 1}", "field 'window' is missing"),
        ("threshold: {metric: m, warn: 1, window: 0}", "longer than 0"),
        ("threshold: {metric: m, warn: 1, window: 5m, aggregation: mode}", "unknown aggregation"),
        ("threshold: {metric: m, warn: 1, window: 5m, operator: '~'}", "no comparison"),
        ("threshold: {metric: m, warn: 1, window: 5m, by: [a-b]}", "no label name"),
        ("threshold: {metric: m, warn: 1, window: 5m, where: '!'}", "is no matcher"),
        ("threshold: {metric: m, warn: x, window: 5m}", "'x' is no number"),
        ("anomaly: {series: m, score: 2}", "between 0 and 1"),
    ],
)
def test_a_short_condition_without_meaning_is_refused(short: str, said: str) -> None:
    assert said in _refusal(f"  - alert: A\n    {short}\n")


@pytest.mark.parametrize(
    "text", ["", "# nothing yet", "groups:", "groups: []", "groups:\n- name: g"]
)
def test_a_file_without_rules_loads_with_a_word_about_it(text: str) -> None:
    file = files.load("empty.yml", text)

    assert [one.reason for one in file.cautions] == [
        "the file holds no rules, so nothing is evaluated by it; rules stand under `groups:`"
    ]


def test_a_file_with_a_rule_loads_without_that() -> None:
    text = "groups: [{name: g, rules: [{record: a, expr: up}]}]"

    assert files.load("one.yml", text).cautions == ()
