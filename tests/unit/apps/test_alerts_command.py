"""`mainstem alerts`: what it prints and with which code it leaves."""

import json
from pathlib import Path

import pytest

from apps.cli.main import run

RULES = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: up > 0, for: 5m}\n"
ROUTING = """
route:
  receiver: all
  routes: [{matchers: [severity=critical], receiver: page}]
receivers: [{name: all}, {name: page}]
"""
TEST = """
rule_files: [r*.yml]
tests:
- interval: 1m
  input_series: [{series: up, values: 1x10}]
  alert_rule_test:
  - {eval_time: 3m, alertname: A, exp_alerts: [], exp_pending: [{}]}
  - {eval_time: 5m, alertname: A, exp_alerts: [{}]}
  promql_expr_test:
  - {expr: up + 1, eval_time: 2m, exp_samples: [{value: 2}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with rules, routing and a test of the rules."""
    for name, text in (("r.yml", RULES), ("m.yml", ROUTING), ("t.yml", TEST)):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_checking_prints_rules_the_tree_and_where_a_label_set_lands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(folder / "r.yml"), str(folder / "m.yml")]

    code = run(["alerts", "check", *files, "--labels", "severity=critical"])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert "  g: alert A: up > 0" in lines
    assert lines[-4:] == [
        f"{folder}/m.yml: routing",
        "  default -> all",
        '    {severity="critical"} -> page',
        "  lands at: page",
    ]


def test_a_refused_file_is_said_with_its_place_and_fails(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = folder / "bad.yml"
    bad.write_text(RULES.replace("up > 0", "'up >'"))

    code = run(["alerts", "check", str(bad), str(folder / "missing.yml")])

    said = capsys.readouterr().err
    assert code == 1
    assert f"refused: {bad}:4:" in said
    assert f"refused: {folder}/missing.yml:1:1: cannot be opened" in said


def test_what_is_not_evaluated_is_a_warning_and_fails_only_when_strict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "r.yml").write_text(RULES.replace("up > 0", "'max_over_time(up[5m:])'"))
    path = str(folder / "r.yml")

    codes = run(["alerts", "check", path]), run(["alerts", "check", path, "--strict"])

    assert codes == (0, 1)
    assert f"warning: {path}:4:" in capsys.readouterr().err


def test_the_verdict_is_one_object_a_file_for_scripts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["alerts", "check", str(folder / "m.yml"), "--json", "--labels", "a=b"])

    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["refused"], found["lands_at"]) == ("routing", "", ["all"])


def test_tests_of_rules_that_pass_leave_with_zero(folder: Path) -> None:
    assert run(["alerts", "test", str(folder / "t.yml")]) == 0


def test_tests_that_fail_leave_with_one_and_show_what_came_instead(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = TEST.replace("eval_time: 5m", "eval_time: 4m").replace("value: 2", "value: 3")
    (folder / "t.yml").write_text(wrong)

    code = run(["alerts", "test", str(folder / "t.yml")])

    out = capsys.readouterr().out
    assert code == 1
    assert '    - {alertname="A"} {}' in out
    assert "    - {} 3.0" in out
    assert "    + {} 2.0" in out


@pytest.mark.parametrize(
    ("old", "new"),
    [("r*.yml", "none.yml"), ("1x10", "1+x"), ("eval_time: 5m", "eval: 5m"), ("tests:", "test:")],
)
def test_a_test_that_cannot_be_read_leaves_with_two(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    (folder / "t.yml").write_text(TEST.replace(old, new, 1))

    assert run(["alerts", "test", str(folder / "t.yml")]) == 2
    assert f"unreadable: {folder}/t.yml:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["alerts"], ["alerts", "sing", "x"], ["alerts", "check", "x", "--labels", "a"]]
)
def test_a_command_that_is_misused_leaves_with_two(arguments: list[str]) -> None:
    assert run(arguments) == 2
