"""Names the quick tests of what changed: `python -m tests.support.changed` prints their files.

A room is a package one or two levels below the top. A test belongs to every room that it imports;
tests that changed themselves, and those of tidiness, are always among them. What changed is told by
Git: all that is not on `origin/main`, and what is not committed.
"""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TOPS: Final = ("analytics", "apps", "gateway", "streams", "tests")
QUICK: Final = ("tests/unit", "tests/contract", "tests/property", "tests/simulation")
ALWAYS: Final = "tests/tidy"
DEPTH: Final = 2
MAIN: Final = "origin/main"


def room_of(module: str) -> str:
    """Return the room of a module, such as `streams.store` of `streams.store.pool`."""
    return ".".join(module.split(".")[:DEPTH])


def rooms_of(changed: Iterable[str]) -> set[str]:
    """Return the rooms of changed files; those of tests are the module itself."""
    rooms = set()
    for path in changed:
        parts = Path(path).with_suffix("").parts
        if path.endswith(".py") and parts[0] in TOPS:
            rooms.add(".".join(parts) if parts[0] == "tests" else room_of(".".join(parts)))
    return rooms


def imported(source: str) -> set[str]:
    """Return what a module imports: modules, and names that may be modules."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def belongs(names: Iterable[str], rooms: set[str]) -> bool:
    """Say whether a test that imports these names belongs to one of the rooms."""
    return any(name in rooms or room_of(name) in rooms for name in names)


def selected(changed: Iterable[str], tests: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Give the files, of tests by name and source, that belong to what changed."""
    changed = set(changed)
    rooms = rooms_of(changed)
    for path, source in tests:
        if path in changed or belongs(imported(source), rooms):
            yield path


def _changed() -> set[str]:
    base = _git("merge-base", "HEAD", MAIN).strip() or "HEAD"
    committed = _git("diff", "--name-only", base).splitlines()
    return {*committed, *_git("ls-files", "--others", "--exclude-standard").splitlines()}


def _git(*arguments: str) -> str:
    asked = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


def main() -> None:
    """Print the files, and where they are."""
    files = sorted(path for folder in QUICK for path in (ROOT / folder).rglob("test_*.py"))
    tests = ((str(path.relative_to(ROOT)), path.read_text()) for path in files)
    sys.stdout.write("\n".join([ALWAYS, *selected(_changed(), tests)]) + "\n")


if __name__ == "__main__":
    main()
