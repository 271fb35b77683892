"""Figures know their goals and limits; reports are written and shown with their machine."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from apps.bench.report import Figure, percentile, report, table, write


def _figure(value: float, goal: float | None, *, at_least: bool = False) -> Figure:
    return Figure(name="answer p99", value=value, unit="ms", goal=goal, at_least=at_least, limit=2)


@pytest.mark.parametrize(
    ("figure", "held"),
    [
        (_figure(19, 20), True),
        (_figure(21, 20), False),
        (_figure(21, 20, at_least=True), True),
        (_figure(19, 20, at_least=True), False),
        (_figure(19, None), None),
    ],
)
def test_a_goal_is_a_ceiling_unless_it_is_said_to_be_a_floor(
    figure: Figure, held: bool | None
) -> None:
    assert figure.held is held


def test_a_ratio_is_the_value_over_the_limit_of_the_same_run() -> None:
    assert _figure(19, 20).ratio == 9.5
    assert Figure(name="x", value=1, unit="s").ratio is None


def test_a_report_is_held_only_if_every_goal_is() -> None:
    good = report("hooks", "Hooks.", figures=(_figure(19, 20), _figure(19, None)))
    bad = report("hooks", "Hooks.", figures=(_figure(19, 20), _figure(21, 20)))

    assert good.is_held
    assert not bad.is_held


def test_a_written_report_names_its_machine_and_command(tmp_path: Path) -> None:
    path = write(report("hooks", "Hooks.", figures=(_figure(19, 20),)), tmp_path / "artifacts")

    written = json.loads(path.read_text())

    assert path.name == "bench-hooks.json"
    assert written["command"] == "mainstem bench hooks"
    assert written["machine"]["cores"] >= 1
    assert written["figures"] == [
        {"name": "answer p99", "value": 19.0, "unit": "ms", "goal": 20.0, "limit": 2.0}
    ]


def test_a_table_shows_value_goal_limit_and_verdict() -> None:
    shown = StringIO()
    found = report("hooks", "Hooks.", figures=(_figure(21, 20),))

    Console(file=shown, width=140).print(table(found))

    assert "21 ms" in shown.getvalue()
    assert "≤ 20 ms" in shown.getvalue()
    assert "10.50×" in shown.getvalue()
    assert "missed" in shown.getvalue()


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)]
)
def test_a_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(100, 0, -1)], share) == expected
