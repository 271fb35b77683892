"""`mainstem bench` lists and runs the benchmarks of a checkout, and says when there is none."""

import json
from pathlib import Path

import pytest
import typer

from analytics.contracts.errors import BadSetting, MissingPart
from apps.cli import bench

BENCHMARK = '''"""A benchmark."""

from apps.bench.report import BenchReport, Figure, report


def run() -> BenchReport:
    """Measure nothing much."""
    figure = Figure(name="answer", value=42, unit="ms", goal=20)
    return report("{name}", "An answer.", figures=(figure,))
'''


def _checkout(root: Path, name: str) -> None:
    folder = root / bench.FOLDER
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""Benchmarks."""\n')
    (folder / f"{name}.py").write_text(BENCHMARK.format(name=name))


def test_benchmarks_are_found_from_below_the_checkout(tmp_path: Path) -> None:
    _checkout(tmp_path, "answering")
    below = tmp_path / "docs" / "adr"
    below.mkdir(parents=True)

    root = bench._checkout(below)

    assert root == tmp_path
    assert bench._names(root) == ["answering"]


def test_without_a_checkout_the_error_says_where_to_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bench, "__file__", str(tmp_path / "site" / "apps" / "commands" / "bench.py")
    )

    with pytest.raises(MissingPart, match="inside a checkout"):
        bench._checkout(tmp_path)


def test_an_unknown_benchmark_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(BadSetting, match=r"no benchmark 'speed'; there are .*hooks"):
        bench.command("speed")


def test_the_list_is_of_modules_that_can_be_run(capsys: pytest.CaptureFixture[str]) -> None:
    bench.command(as_json=True)

    assert set(json.loads(capsys.readouterr().out)) >= {"first_run", "hooks", "latency", "page"}


def test_a_benchmark_may_be_named_with_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _checkout(tmp_path, "answering_twice")
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []
    namespace: dict[str, object] = {}
    exec(BENCHMARK.format(name="answering-twice"), namespace)  # what an import would give

    def load(_root: Path, name: str) -> object:
        asked.append(name)
        return type("M", (), namespace)

    monkeypatch.setattr(bench, "_load", load)

    bench.command("answering-twice", as_json=True)

    assert asked == ["answering_twice"]
    assert json.loads(capsys.readouterr().out)["benchmark"] == "answering-twice"


def test_a_missed_goal_fails_only_when_it_is_to_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _checkout(tmp_path, "answering")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(BENCHMARK.format(name="answering"), namespace)  # the module that an import would give
    monkeypatch.setattr(bench, "_load", lambda _root, _name: type("M", (), namespace))

    bench.command("answering", as_json=True)
    shown = json.loads(capsys.readouterr().out)
    with pytest.raises(typer.Exit) as left:
        bench.command("answering", check=True)

    assert shown["figures"][0]["value"] == 42
    assert (tmp_path / "artifacts" / "bench-answering.json").is_file()
    assert left.value.exit_code == 1
