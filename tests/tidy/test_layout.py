"""Everything has its place: test folders, data with licences, change fragments, decisions."""

import re
from pathlib import PurePosixPath
from typing import Final

import pytest

from tests.tidy.tree import DATA, ROOT, File, paths, python_files

TOP: Final = {"analytics", "gateway", "streams", "apps", "tests"}
"""Where Python may live."""
TEST_FOLDERS: Final = {
    "unit", "property", "contract", "simulation", "integration", "faults", "e2e", "helm", "tidy",
    "bench", "support", "data",
}  # fmt: skip
FRAGMENT: Final = re.compile(
    r"^\d+(\.\d+)?\.(added|changed|deprecated|removed|fixed|security)\.md$"
)
DECISION: Final = re.compile(r"^(\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.md$")
DECISION_PARTS: Final = ("## Context", "## Decision", "## Consequences")
DECISION_LINES_MAX: Final = 80
HOMES: Final = {
    "psycopg": (
        "streams/clients/",
        "streams/maintenance/",
        "streams/monitoring/",
        "streams/queries/",
        "streams/series/",
        "streams/store/",
        "tests/",
    ),
    "psycopg_pool": ("streams/clients/", "streams/store/", "tests/"),
    "re2": ("analytics/patterns.py", "analytics/privacy/programs.py"),
    "anthropic": ("streams/clients/claude.py",),
    "faust": ("streams/", "tests/"),
    "river": ("analytics/anomaly/", "analytics/forecast/", "tests/"),
    "tree_sitter": ("analytics/review/", "tests/"),
    "streamlit": ("apps/dashboard/", "apps/cli/dashboard.py", "tests/"),
    "fastapi": ("gateway/", "apps/api/", "tests/"),
}
"""The places where a library may be imported."""


def _imported(file: File) -> set[str]:
    pattern = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)
    return set(pattern.findall(file.text))


def test_python_lives_in_the_rooms_and_in_tests() -> None:
    strays = [file.path for file in python_files() if file.room not in TOP]

    assert strays == []


def test_tests_live_in_the_folders_that_the_style_names() -> None:
    folders = {
        path.split("/")[1] for path in paths() if path.startswith("tests/") and path.count("/") > 1
    }

    assert folders <= TEST_FOLDERS


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_imported_only_where_it_has_its_home(library: str) -> None:
    strays = [
        file.path
        for file in python_files()
        if library in _imported(file) and not file.path.startswith(HOMES[library])
    ]

    assert strays == []


def test_every_folder_of_data_says_where_it_comes_from_and_under_which_licence() -> None:
    folders = {
        "/".join(path.split("/")[:3])
        for path in paths()
        if path.startswith(DATA) and path.count("/") > 2
    }

    silent = []
    for folder in sorted(folders):
        readme = ROOT / folder / "README.md"
        if not readme.is_file() or not re.search(
            r"licen[cs]e|public domain", readme.read_text(), re.IGNORECASE
        ):
            silent.append(folder)

    assert silent == []


def test_no_data_lies_beside_the_folders_of_data() -> None:
    loose = [path for path in paths() if path.startswith(DATA) and path.count("/") == 2]

    assert [
        path for path in loose if PurePosixPath(path).name not in {"__init__.py", "README.md"}
    ] == []


def test_every_change_has_a_fragment_that_names_its_issue_and_kind() -> None:
    fragments = [
        path for path in paths() if path.startswith("changes/") and path != "changes/README.md"
    ]

    assert [path for path in fragments if not FRAGMENT.match(path.removeprefix("changes/"))] == []


def test_every_fragment_is_a_sentence_or_more() -> None:
    fragments = [ROOT / path for path in paths() if FRAGMENT.match(path.removeprefix("changes/"))]

    assert [one.name for one in fragments if not one.read_text().strip().endswith(".")] == []


def test_decisions_are_numbered_without_a_gap_and_fit_a_page() -> None:
    names = sorted(
        path.removeprefix("docs/adr/") for path in paths() if path.startswith("docs/adr/")
    )
    decisions = [DECISION.match(name) for name in names]

    assert all(decisions), names
    assert [int(match[1]) for match in decisions if match] == list(range(1, len(names) + 1))
    for name in names:
        text = (ROOT / "docs/adr" / name).read_text()
        assert all(part in text for part in DECISION_PARTS), name
        assert len(text.splitlines()) <= DECISION_LINES_MAX, name


def test_every_test_folder_that_holds_tests_is_collected_by_a_name_that_pytest_knows() -> None:
    strays = [
        file.path
        for file in python_files()
        if file.path.startswith("tests/")
        and any(function.name.startswith("test_") for function in file.functions())
        and not file.name.startswith("test_")
        and "/support/" not in file.path
        and "/contract/" not in file.path
    ]

    assert strays == []
