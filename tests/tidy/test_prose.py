"""Files say what they are for, once, and name no machine that only their writer has."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.tidy.tree import File, Rule, complaints, python_files, text_files

LOCK: Final = "uv.lock"
REGISTRY_HOSTS: Final = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("maven", "org"),
        ("apache", "org/maven2"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
    )
)
TO_DO: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(#?\d+\))")
BANNER: Final = re.compile(r"^\s*(#|--)\s*[-=#*~_]{4,}|^\s*#\s*[-=*]{2,}.*[-=*]{2,}\s*$")
MACHINE_PATH: Final = re.compile(
    r"""(?<![\w/.$}])/(?:work|root|home/(?!nonroot|app|postgres|user|dev|ada|me)\w+)/"""
)
IGNORE: Final = re.compile(r"#\s*type:\s*ignore(?P<code>\[[\w, -]+\])?(?P<reason>.*)$")
NOQA: Final = re.compile(r"#\s*noqa(?P<code>:\s*[A-Z]+\d+)?", re.IGNORECASE)
THIS: Final = "tests/tidy/test_prose.py"


def silent_module(file: File) -> Iterator[str]:
    """Complain of a module that does not say what it is for."""
    docstring = ast.get_docstring(file.parsed())
    if not docstring:
        yield "has no docstring"
    elif not docstring.split("\n\n")[0].rstrip().endswith((".", ":", "?")):
        yield "its docstring does not begin with a sentence"


def loose_end(file: File) -> Iterator[str]:
    """Complain of a note to self that names no issue."""
    for number, line in enumerate(file.lines, start=1):
        if TO_DO.search(line):
            yield f"line {number} leaves something to do without an issue's number"


def banner(file: File) -> Iterator[str]:
    """Complain of comments drawn as banners."""
    for number, line in enumerate(file.lines, start=1):
        if BANNER.match(line):
            yield f"line {number} is a banner"


def registry_host(file: File) -> Iterator[str]:
    """Complain of an address of a package registry: clients know theirs."""
    for host in REGISTRY_HOSTS:
        if host in file.text:
            yield f"names the registry host {host!r}"


def machine_path(file: File) -> Iterator[str]:
    """Complain of a path that exists on one machine only."""
    for number, line in enumerate(file.lines, start=1):
        if MACHINE_PATH.search(line):
            yield f"line {number} names a path of one machine: {line.strip()!r}"


def bare_ignore(file: File) -> Iterator[str]:
    """Complain of silenced checks that do not say which and why; in the core, of any."""
    for number, line in enumerate(file.lines, start=1):
        ignored = IGNORE.search(line)
        if ignored and file.room == "analytics":
            yield f"line {number} silences a check in the core"
        elif ignored and not (ignored["code"] and ignored["reason"].strip(" #")):
            yield f"line {number} silences mypy without a code and a reason"
        noqa = NOQA.search(line)
        if noqa and not noqa["code"]:
            yield f"line {number} silences ruff without a code"


def untyped_core(file: File) -> Iterator[str]:
    """Complain of `Any` and `cast` in the core."""
    for node in ast.walk(file.parsed()):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            for alias in node.names:
                if alias.name in {"Any", "cast"}:
                    yield f"imports {alias.name}"


def test_every_module_says_what_it_is_for() -> None:
    assert complaints(silent_module, python_files()) == []


def test_nothing_is_left_to_do_without_an_issue() -> None:
    ours = tuple(file for file in text_files() if file.path not in {THIS, LOCK})

    assert complaints(loose_end, ours) == []


def test_no_comment_is_a_banner() -> None:
    ours = tuple(file for file in text_files() if file.path.endswith((".py", ".sql", ".sh")))

    assert complaints(banner, ours) == []


def test_no_file_names_a_package_registry() -> None:
    ours = tuple(file for file in text_files() if file.path != LOCK)

    assert complaints(registry_host, ours) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    ours = tuple(file for file in text_files() if file.path not in {THIS, LOCK})

    assert complaints(machine_path, ours) == []


def test_a_silenced_check_says_which_and_why() -> None:
    ours = tuple(file for file in python_files() if file.path != THIS)

    assert complaints(bare_ignore, ours) == []


def test_the_core_is_typed_without_a_way_out() -> None:
    core = tuple(file for file in python_files() if file.room == "analytics")

    assert complaints(untyped_core, core) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (silent_module, "apps/a.py", "x = 1"),
        (silent_module, "apps/a.py", '"""things"""'),
        (loose_end, "apps/a.py", "# TODO: later"),
        (banner, "apps/a.py", "# ------ helpers"),
        (banner, "apps/a.py", "# == part =="),
        (registry_host, "Makefile", "curl https://" + REGISTRY_HOSTS[0]),
        (machine_path, "Makefile", "cp /work/shared/x ."),
        (machine_path, "Makefile", "cp /root/.cache/x ."),
        (bare_ignore, "apps/a.py", "x = y  # type: ignore"),
        (bare_ignore, "apps/a.py", "x = y  # type: ignore[arg-type]"),
        (bare_ignore, "analytics/a.py", "x = y  # type: ignore[arg-type]  # because"),
        (bare_ignore, "apps/a.py", "x = y  # noqa"),
        (untyped_core, "analytics/a.py", "from typing import Any"),
    ],
)
def test_each_rule_of_prose_complains_of_a_bad_sample(rule: Rule, path: str, text: str) -> None:
    assert list(rule(File(path, text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (loose_end, "# TODO(#12): widen"),
        (machine_path, "curl http://127.0.0.1:8501/work/"),
        (bare_ignore, "x = y  # type: ignore[arg-type]  # the stub is wrong"),
        (bare_ignore, "x = y  # noqa: S603"),
    ],
)
def test_no_rule_of_prose_complains_of_a_good_sample(rule: Rule, text: str) -> None:
    assert list(rule(File("apps/a.py", text))) == []
