"""The dashboard and the rules for gateways name only what gateways export, and promtool agrees."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from apps.docs import grafana
from gateway.metrics import REGISTRY

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "docker/rules"
NAME: Final = re.compile(r"\b(gateway_[a-z0-9_]+)")
LABELS: Final = re.compile(r"by \(([^)]*)\)")
OURS: Final = {"instance", "le", "job"}
"""Labels that Prometheus adds, or that every histogram has."""


def _exported() -> dict[str, set[str]]:
    """Return the labels of every series that a gateway exports."""
    found: dict[str, set[str]] = {}
    for collector in REGISTRY._collector_to_names:  # prometheus-client lists families only
        names = REGISTRY._collector_to_names[collector]
        labels = set(getattr(collector, "_labelnames", ()))
        found |= dict.fromkeys(names, labels)
    return found


def _rules() -> list[dict[str, Any]]:
    loaded: dict[str, Any] = yaml.safe_load((RULES / "gateway.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def _expressions() -> Iterator[str]:
    yield from grafana.expressions()
    yield from (str(rule["expr"]) for rule in _rules())


@pytest.fixture
def promtool() -> str:
    """Return promtool, or skip; where CI is set it must be there."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is required where CI is set; install Debian's prometheus")
        pytest.skip("promtool is not here; install Debian's prometheus")
    return found


@pytest.mark.requirement("gateway-dashboard")
@pytest.mark.parametrize("expression", sorted(set(_expressions())))
def test_every_series_and_label_that_is_looked_at_is_exported(expression: str) -> None:
    exported = _exported()
    named = [name for name in NAME.findall(expression) if not name.startswith("gateway:")]
    asked = {
        label.strip() for group in LABELS.findall(expression) for label in group.split(",") if label
    }

    assert set(named) <= exported.keys()
    known = OURS.union(*(exported[name] for name in named))
    if named:
        assert asked <= known


def test_the_dashboard_is_whole_and_its_panels_do_not_overlap() -> None:
    board = json.loads(grafana.page())
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]

    assert len(places) == len(set(places)) == len(grafana.PANELS)
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])


@pytest.mark.embedded
@pytest.mark.requirement("gateway-dashboard")
@pytest.mark.parametrize(
    "command", [["check", "rules", "gateway.yml"], ["test", "rules", "gateway.test.yml"]]
)
def test_promtool_takes_the_rules_and_their_tests(promtool: str, command: list[str]) -> None:
    done = subprocess.run(
        [promtool, *command], cwd=RULES, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.embedded
def test_promtool_takes_what_the_dashboard_draws(promtool: str, tmp_path: Path) -> None:
    drawn = [
        {"record": f"panel:{number}", "expr": _concrete(expression)}
        for number, expression in enumerate(grafana.expressions())
    ]
    path = tmp_path / "drawn.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "drawn", "rules": drawn}]}))

    done = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _concrete(expression: str) -> str:
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
