"""The tools are set as strictly as the style says, for tests too."""

import re
import tomllib
from typing import Any, Final

import pytest

from tests.tidy.tree import ROOT, paths

PYTHONS: Final = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_mypy_is_strict_and_reads_the_tests_too(project: dict[str, Any]) -> None:
    mypy = project["tool"]["mypy"]

    assert mypy["strict"] is True
    assert set(mypy["files"]) == {"analytics", "gateway", "streams", "apps", "tests"}
    assert not any(
        key in override
        for override in mypy["overrides"]
        for key in ("ignore_errors", "disallow_untyped_defs", "disable_error_code")
    )


def test_ruff_and_pytest_are_set_as_the_style_says(project: dict[str, Any]) -> None:
    lint, pytest_options = project["tool"]["ruff"]["lint"], project["tool"]["pytest"]["ini_options"]

    assert lint["mccabe"]["max-complexity"] == 10
    assert lint["pylint"]["max-statements"] == 40
    assert pytest_options["filterwarnings"][0] == "error"
    assert "--strict-markers" in pytest_options["addopts"]


def test_no_import_contract_is_weakened_without_a_decision(project: dict[str, Any]) -> None:
    ignored = [
        line
        for contract in project["tool"]["importlinter"]["contracts"]
        for line in contract.get("ignore_imports", [])
    ]
    decisions = "\n".join(
        (ROOT / path).read_text() for path in paths() if path.startswith("docs/adr/")
    )

    assert [line for line in ignored if line not in decisions] == []


def test_the_pythons_that_are_promised_are_the_ones_declared(project: dict[str, Any]) -> None:
    classifiers = project["project"]["classifiers"]

    named = [c.rsplit(" ", 1)[1] for c in classifiers if re.search(r":: 3\.\d+$", c)]

    assert tuple(named) == PYTHONS
    assert project["project"]["requires-python"] == ">=3.11,<3.14"


def test_everything_that_a_room_needs_is_in_the_extra_called_all(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]

    [everything] = extras["all"]
    inside = set(everything.removeprefix("mainstem[").removesuffix("]").split(","))

    assert inside == set(extras) - {"all", "bench"}
