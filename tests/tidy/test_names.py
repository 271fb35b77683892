"""Modules are named for what they hold; tests are sentences that say what is true."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.tree import DATA, File, Rule, complaints, paths, python_files

BANNED: Final = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "misc",
    "shared",
}
SENTENCE_WORDS_MIN: Final = 4
SNAKE: Final = re.compile(r"^(__\w+__|_?[a-z][a-z0-9_]*)$")
TYPE_IN_NAME: Final = re.compile(r"_(dict|list|tuple|str|int|obj)$")


def banned_module(file: File) -> Iterator[str]:
    """Complain of a module or package whose name says nothing."""
    for part in file.path.removesuffix(".py").split("/"):
        words = set(part.strip("_").split("_"))
        if words & BANNED:
            yield f"{part!r} says nothing; name it for what it holds"


def odd_module(file: File) -> Iterator[str]:
    """Complain of a module name that is no snake_case noun."""
    if not SNAKE.match(file.name.removesuffix(".py")):
        yield f"{file.name!r} is not snake_case"


def typed_name(file: File) -> Iterator[str]:
    """Complain of functions that carry a type in their name."""
    for function in file.functions():
        if TYPE_IN_NAME.search(function.name):
            yield f"{function.name!r} has a type in its name"


def curt_test(file: File) -> Iterator[str]:
    """Complain of tests whose name is no sentence."""
    for function in file.functions():
        if function.name.startswith("test_"):
            words = [word for word in function.name.split("_")[1:] if word]
            if len(words) < SENTENCE_WORDS_MIN:
                yield f"{function.name!r} is no sentence; say what is true"


def repeated_classes(room: str) -> Iterator[str]:
    """Complain of public classes of one room that share a name."""
    found: dict[str, list[str]] = {}
    for file in (one for one in python_files() if one.room == room):
        for node in file.parsed().body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(file.path)
    for name, places in sorted(found.items()):
        if len(places) > 1:
            yield f"{name} is a class in {', '.join(places)}"


@pytest.mark.parametrize("room", ["analytics", "apps", "gateway", "streams"])
def test_a_public_class_has_a_name_of_its_own_in_its_room(room: str) -> None:
    assert list(repeated_classes(room)) == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert complaints(banned_module, python_files()) == []


def test_every_module_is_named_in_snake_case() -> None:
    assert complaints(odd_module, python_files()) == []


def test_no_function_has_a_type_in_its_name() -> None:
    assert complaints(typed_name, python_files()) == []


def test_every_test_is_named_by_a_sentence() -> None:
    tests = tuple(file for file in python_files() if file.name.startswith("test_"))

    assert complaints(curt_test, tests) == []


def test_every_directory_of_python_is_a_package_with_a_docstring() -> None:
    listed = [path for path in paths() if path.endswith(".py") and not path.startswith(DATA)]
    folders = {path.rsplit("/", 1)[0] for path in listed if "/" in path}

    missing = sorted(folder for folder in folders if f"{folder}/__init__.py" not in listed)

    assert missing == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (banned_module, "apps/utils.py", ""),
        (banned_module, "apps/common/a.py", ""),
        (banned_module, "apps/string_helpers.py", ""),
        (odd_module, "apps/someThing.py", ""),
        (typed_name, "apps/a.py", "def to_dict(): ..."),
        (curt_test, "tests/unit/test_a.py", "def test_it(): ..."),
    ],
)
def test_each_rule_of_names_complains_of_a_bad_sample(rule: Rule, path: str, text: str) -> None:
    assert list(rule(File(path, text)))
