"""`mainstem bench`: measure, show the figures beside their goals, and write them down.

The benchmarks live in `tests/bench` of a checkout, since they need what only tests need (a browser,
peers to compare with). Each is a module with a docstring and `run() -> Report`.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer

from analytics.contracts.errors import BadSetting, MissingPart

FOLDER: Final = Path("tests", "bench")
MISSED: Final = 1


def command(
    name: Annotated[str, typer.Argument(help="Which benchmark; empty lists them.")] = "",
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when a goal is missed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure, and write the figures down in artifacts/.

    Runs from a checkout of the repository, with its test dependencies installed.

    Example: mainstem bench first_run
    """
    import msgspec
    from rich.console import Console

    from apps.bench.report import ARTIFACTS, table, write

    root = _checkout(Path.cwd())
    names = _names(root)
    if not name:
        typer.echo(msgspec.json.encode(names).decode() if as_json else "\n".join(names))
        return
    module = name.replace("-", "_")
    if module not in names:
        raise BadSetting(f"there is no benchmark {name!r}; there are {', '.join(names)}")
    found = _load(root, module).run()
    path = write(found, root / ARTIFACTS)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        Console().print(table(found))
        typer.echo(f"written to {path}")
    if check and not found.is_held:
        raise typer.Exit(MISSED)


def _checkout(start: Path) -> Path:
    beside_us = Path(__file__).resolve().parents[2]
    for folder in (start, *start.parents, beside_us):
        if (folder / FOLDER / "__init__.py").is_file():
            return folder
    raise MissingPart(
        f"no benchmarks in {str(start)!r}; run `mainstem bench` inside a checkout of the repository"
    )


def _names(root: Path) -> list[str]:
    files = (root / FOLDER).glob("*.py")
    return sorted(file.stem for file in files if "\ndef run(" in file.read_text())


def _load(root: Path, name: str) -> ModuleType:
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        return importlib.import_module(f"tests.bench.{name}")
    except ModuleNotFoundError as error:
        raise MissingPart(
            f"the benchmark needs {error.name!r}; run `uv sync --all-groups` in the checkout"
        ) from error
