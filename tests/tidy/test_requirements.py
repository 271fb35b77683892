"""Promises and tests are tied both ways: none untested in silence, none tested that nobody made.

Tests name a promise by `pytest.mark.requirement("id")`, benchmarks by a module-level
`REQUIREMENTS`. Both are read from the source, so that no lane has to run for this to be checked.
"""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.tidy.tree import ROOT, File, python_files

CHECKPOINT: Final = "docs/requirements.toml"
KEYS: Final = {"from", "text", "reason", "remains"}
Requirements = Mapping[str, Mapping[str, str]]


def promised() -> Requirements:
    """Return every requirement by its id."""
    loaded: Requirements = tomllib.loads((ROOT / CHECKPOINT).read_text())
    return loaded


def named_by(file: File) -> Iterator[str]:
    """Yield the ids that a test file marks or that a benchmark declares."""
    for node in ast.walk(file.parsed()):
        if isinstance(node, ast.Call) and _is_the_mark(node.func):
            yield from _texts(node.args)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _is_the_declaration(node):
            value = node.value
            yield from _texts(value.elts if isinstance(value, ast.Tuple) else [])


def complaints(requirements: Requirements, tied: Mapping[str, str]) -> Iterator[str]:
    """Yield what does not fit: `tied` maps each id that is named to a file that names it."""
    for name, path in tied.items():
        if name not in requirements:
            yield f"{path} names {name!r}, which is not in {CHECKPOINT}"
    for name, requirement in requirements.items():
        if name not in tied and "reason" not in requirement:
            yield f"{name!r} has neither a test nor a reason"
        if name in tied and "reason" in requirement:
            yield f"{name!r} has a reason although {tied[name]} holds it; say `remains` or drop it"


def _is_the_mark(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and function.attr == "requirement"


def _is_the_declaration(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(one, ast.Name) and one.id == "REQUIREMENTS" for one in targets)


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_requirement_is_held_by_a_test_or_says_why_not() -> None:
    files = [file for file in python_files() if file.path.startswith("tests/")]
    outside_tidy = [file for file in files if file.path != "tests/tidy/test_requirements.py"]

    tied = {name: file.path for file in outside_tidy for name in named_by(file)}

    assert list(complaints(promised(), tied)) == []


def test_every_requirement_says_where_it_comes_from_and_what_it_promises() -> None:
    for name, requirement in promised().items():
        assert {"from", "text"} <= set(requirement) <= KEYS, name
        assert requirement["text"].endswith("."), name


@pytest.mark.parametrize(
    ("requirement", "tied"),
    [
        ({}, {}),
        ({}, {"kept": "a.py", "invented": "b.py"}),
        ({"reason": "later"}, {"kept": "a.py"}),
    ],
    ids=["neither test nor reason", "an unknown id", "a reason that outlived its test"],
)
def test_what_does_not_fit_is_complained_of(
    requirement: Mapping[str, str], tied: Mapping[str, str]
) -> None:
    assert list(complaints({"kept": requirement}, tied))


def test_ids_are_read_from_marks_and_from_declarations_of_benchmarks() -> None:
    text = (
        "import pytest\n"
        "REQUIREMENTS = ('three', 'four')\n"
        "@pytest.mark.requirement('one')\n"
        "def test_a(): ...\n"
        "pytestmark = [pytest.mark.requirement('two')]\n"
    )

    assert sorted(named_by(File("tests/a.py", text))) == ["four", "one", "three", "two"]
