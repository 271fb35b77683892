"""Our verdicts beside those of promtool and amtool, on the same files."""

import ast
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from analytics.alerts import labels as label_sets
from analytics.alerts.dispatch import routing_files
from analytics.alerts.documents import BadFile
from analytics.alerts.rules import files
from analytics.promql import BadExpression, Dialect, parse
from apps.cli import alert_checks
from tests.support import public_rules
from tests.support.template_language import TEMPLATES

DATA: Final = Path(__file__).resolve().parents[2] / "data/alerts"
RULES: Final = DATA / "rules"
ROUTING: Final = DATA / "routing"
TESTS: Final = ("failing", "long-period", "rules_run", "unittest")
FAILED: Final = "<error expanding template: "
NEWER: Final = {"doc_examples_route_labels.yml", "doc_examples_simple.yml"}
"""Files with blocks that Alertmanager 0.25 does not know."""


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is required where CI is set; install Debian's {package}")
        pytest.skip(f"{name} is not here; install Debian's {package}")
    return found


@pytest.fixture
def promtool() -> str:
    """Return promtool, or skip; where CI is set it must be there."""
    return _tool("promtool", "prometheus")


@pytest.fixture
def amtool() -> str:
    """Return amtool, or skip; where CI is set it must be there."""
    return _tool("amtool", "prometheus-alertmanager")


def _ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _without_histograms(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    for test in loaded["tests"]:
        for key, inner in (("input_series", "series"), ("promql_expr_test", "expr")):
            kept = [one for one in test.get(key, []) if "histogram" not in one[inner]]
            test[key] = kept
    return loaded


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """Return a folder with promtool's tests under the names that they use themselves."""
    for name in ("rules", *TESTS):
        source = RULES / f"cmd_promtool_testdata_{name}.yml"
        (tmp_path / f"{name}.yml").write_bytes(source.read_bytes())
    plain = _without_histograms(tmp_path / "unittest.yml")
    (tmp_path / "plain.yml").write_text(yaml.safe_dump(plain))
    return tmp_path


@pytest.mark.requirement("alert-rule-tests")
@pytest.mark.parametrize(
    ("name", "passes"),
    [("long-period", True), ("failing", False), ("rules_run", False), ("plain", True)],
)
def test_promtools_own_tests_pass_and_fail_as_they_should(
    tests: Path, name: str, passes: bool
) -> None:
    found = alert_checks.tested(tests / f"{name}.yml", Dialect.THREE)

    assert found.unreadable == ""
    assert (found.failures == ()) is passes


def test_histogram_samples_are_unreadable_with_their_place(tests: Path) -> None:
    found = alert_checks.tested(tests / "unittest.yml", Dialect.THREE)

    assert found.unreadable.endswith("unittest.yml:66:24: histogram samples are not supported")


@pytest.mark.embedded
@pytest.mark.requirement("alert-rule-tests")
@pytest.mark.parametrize("name", ["long-period", "failing", "rules_run", "plain"])
def test_promtool_passes_and_fails_the_same_tests(promtool: str, tests: Path, name: str) -> None:
    theirs = _ran(promtool, "test", "rules", str(tests / f"{name}.yml"))
    ours = alert_checks.tested(tests / f"{name}.yml", Dialect.TWO)

    assert (theirs.returncode == 0) == (ours.failures == ()), theirs.stdout + theirs.stderr


@pytest.mark.embedded
@pytest.mark.requirement("alert-rule-files")
@pytest.mark.parametrize("path", sorted(RULES.glob("*.y*ml")), ids=lambda path: path.name)
def test_promtool_takes_and_refuses_the_same_rule_files(promtool: str, path: Path) -> None:
    theirs = _ran(promtool, "check", "rules", str(path)).returncode == 0
    try:
        files.load(path.name, path.read_text())
        ours = True
    except BadFile:
        ours = False

    assert ours == theirs


@pytest.mark.embedded
@pytest.mark.requirement("alert-routing")
@pytest.mark.parametrize("path", sorted(ROUTING.iterdir()), ids=lambda path: path.name)
def test_amtool_takes_and_refuses_the_same_routing_files(amtool: str, path: Path) -> None:
    theirs = _ran(amtool, "check-config", str(path)).returncode == 0
    try:
        routing_files.load(path.name, path.read_text())
        ours = True
    except BadFile:
        ours = False

    assert ours == (theirs or path.name in NEWER)


SETS: Final[tuple[dict[str, str], ...]] = (
    {"x": "y"}, {"test": "1"}, {"test": "2"}, {"test": "12"}, {"service": "foo1"},
    {"service": "foo12"}, {"service": "baz", "severity": "critical"}, {"service": "files"},
    {"service": "files", "severity": "critical"}, {"service": "database"},
    {"service": "database", "owner": "team-X"}, {"service": "database", "owner": "team-Y"},
    {"service": "database", "owner": "team-X", "severity": "critical"}, {"link_a_device": "a"},
    {"link_a_device": "a", "link_z_device": "b"},
)  # fmt: skip


@pytest.mark.embedded
@pytest.mark.requirement("alert-routing")
@pytest.mark.parametrize(
    "name", sorted(path.name for path in ROUTING.iterdir() if ".nil-" not in path.name)
)
@pytest.mark.parametrize("labels", SETS, ids=label_sets.written)
def test_amtool_lands_a_label_set_at_the_same_receivers(
    amtool: str, tmp_path: Path, name: str, labels: dict[str, str]
) -> None:
    config = yaml.safe_load((ROUTING / name).read_text())
    config.pop("tracing", None)
    for route in (config["route"], *config["route"].get("routes", [])):
        route.pop("labels", None)
    path = tmp_path / name
    path.write_text(yaml.safe_dump(config))

    given = [f"{key}={value}" for key, value in labels.items()]
    theirs = _ran(amtool, "config", "routes", "test", f"--config.file={path}", *given)

    (ours,) = alert_checks.checked([path], labels)
    assert ours.lands_at is not None
    assert ",".join(ours.lands_at) == theirs.stdout.strip(), theirs.stderr


PIECES: Final = (
    *"ab-é()[]^$.|*+?#", r"\d", r"\W", r"\b", r"\A", r"\z", r"\Z", r"\pL", r"\Q", r"\E", r"\C",
    r"\1", r"\07", r"\x41", r"\u0041", r"\e", r"\n", "\\",
    r"\p{Greek}", r"\p{Foo}", r"\x{110000}", "(?:", "(?i)", "(?s)", "(?U)", "(?P<n>", "(?=", "(?!",
    "(?<=", "(?>", "[^", "a-z", "[[:digit:]]", "[[:^alpha:]]", "[[:foo:]]", "{2}", "{2,}", "{,2}",
    "{3,2}", "{1001}", "**", "&&",
)  # fmt: skip


@pytest.mark.embedded
@pytest.mark.requirement("promql-refused")
def test_promtool_takes_and_refuses_the_same_patterns(promtool: str, tmp_path: Path) -> None:
    chance = random.Random(12)
    drawn = {"".join(chance.choices(PIECES, k=chance.randint(1, 6))) for _ in range(4_000)}
    texts = sorted(text for text in drawn if text.count("(?P<n>") < 2)
    rules = [
        {"record": f"r:{index}", "expr": f"x{{l=~{json.dumps(text, ensure_ascii=False)}}}"}
        for index, text in enumerate(texts)
    ]
    path = tmp_path / "patterns.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))

    said = _ran(promtool, "check", "rules", str(path))

    refused = {int(found) for found in re.findall(r'"r:(\d+)": could not parse', said.stderr)}
    assert 100 < len(refused) < len(texts) - 100
    for index, rule in enumerate(rules):
        try:
            parse(rule["expr"])
            ours = True
        except BadExpression:
            ours = False
        assert ours == (index not in refused), texts[index]


@pytest.mark.embedded
@pytest.mark.requirement("alert-routing")
@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("[[:digit:]]+", "7"),
        ("[[:alpha:]-]+", "web-shop"),
        (r"\pL+", "Bücher"),
        ("(?i)gold|SILVER", "silver"),
        ("a.b", "a\nb"),
        ("go+", "goog"),
    ],
)
def test_amtool_matches_a_pattern_with_the_same_values(
    amtool: str, tmp_path: Path, pattern: str, value: str
) -> None:
    path = tmp_path / "routing.yml"
    path.write_text(
        "receivers: [{name: rest}, {name: found}]\nroute:\n  receiver: rest\n  routes:\n"
        f"    - {{receiver: found, matchers: ['tier=~\"{pattern}\"']}}\n"
    )

    config = f"--config.file={path}"
    theirs = _ran(amtool, "config", "routes", "test", config, f"tier={value}")

    (ours,) = alert_checks.checked([path], {"tier": value})
    assert ours.lands_at is not None
    assert ",".join(ours.lands_at) == theirs.stdout.strip(), theirs.stderr


@pytest.mark.requirement("alert-templates")
def test_templates_render_as_promtool_renders_them(promtool: str, tmp_path: Path) -> None:
    texts = {f"a{place:03}": text for place, text in enumerate(TEMPLATES)}
    rule = {"alert": "A", "expr": "v > 0", "annotations": texts}
    (tmp_path / "r.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    series = [("v", "web-1.example.net:9100", 1234567), ("up", "a", 2), ("up", "b", 1)]
    given = [
        {"series": f'{name}{{job="api",instance="{host}"}}', "values": str(value)}
        for name, host, value in series
    ]
    wanted = {"eval_time": "0m", "alertname": "A", "exp_alerts": [{"exp_labels": {"no": "such"}}]}
    test = {
        "rule_files": ["r.yml"],
        "tests": [{"interval": "1m", "input_series": given, "alert_rule_test": [wanted]}],
    }
    (tmp_path / "t.yml").write_text(yaml.safe_dump(test))

    ran = _ran(promtool, "test", "rules", str(tmp_path / "t.yml"))
    theirs = _rendered(ran.stdout + ran.stderr)
    ours = _rendered("\n".join(alert_checks.tested(tmp_path / "t.yml", Dialect.THREE).failures))

    odd = {
        texts[name]: (theirs[name], ours[name])
        for name in texts
        if theirs[name] != ours[name]
        and not (theirs[name].startswith(FAILED) and ours[name].startswith(FAILED))
    }
    assert len(theirs) == len(texts)
    assert odd == {}


def test_files_as_people_publish_them_are_good_to_promtool_too(
    promtool: str, tmp_path: Path
) -> None:
    for name, text in public_rules.files():
        (tmp_path / name).write_text(text)
    paths = map(str, sorted(tmp_path.iterdir()))

    done = _ran(promtool, "check", "rules", *paths)

    assert done.returncode == 0, done.stderr


def _rendered(said: str) -> dict[str, str]:
    """Return the annotations of the alert that was got, from what a tool says of it."""
    got = said[said.rindex("got:") :] if "got:" in said else said
    pairs = re.findall(r'\b(a\d{3})="((?:[^"\\]|\\.)*)"', got)
    return {name: str(ast.literal_eval(f'"{text}"')) for name, text in pairs}
