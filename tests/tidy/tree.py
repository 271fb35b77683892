"""The files that tidy tests look at: what git tracks or would track, read once.

A rule is a plain function from a `File` to its complaints, so that each rule is tested on a bad
sample too: a rule that never complains is worth nothing.
"""

import ast
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("analytics", "gateway", "streams", "apps")
DATA: Final = "tests/data/"

Rule = Callable[["File"], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class File(Struct, frozen=True):
    """One file by its path from the root, with its text."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def room(self) -> str:
        """The first part of the path."""
        return self.path.split("/", 1)[0]

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        return self.text.splitlines()

    def parsed(self) -> ast.Module:
        """Return the syntax tree of a Python file."""
        return ast.parse(self.text, filename=self.path)

    def functions(self) -> Iterator[Function]:
        """Yield every function and method, however deep."""
        for node in ast.walk(self.parsed()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def paths() -> tuple[str, ...]:
    """Return the path of every file that is tracked or would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(sorted(path for path in set(listed.split("\0")) if (ROOT / path).is_file()))


@cache
def text_files() -> tuple[File, ...]:
    """Return every file that is text, without the material in tests/data."""
    found = []
    for path in paths():
        if path.startswith(DATA):
            continue
        content = (ROOT / path).read_bytes()
        if b"\0" not in content:
            found.append(File(path, content.decode()))
    return tuple(found)


@cache
def python_files() -> tuple[File, ...]:
    """Return every Python file of ours."""
    return tuple(file for file in text_files() if file.path.endswith(".py"))


def complaints(rule: Rule, files: tuple[File, ...]) -> list[str]:
    """Return what `rule` says about `files`, each complaint with its path."""
    return [f"{file.path}: {said}" for file in files for said in rule(file)]
