"""What is printed for a person to type works as printed, however this process was started."""

import ast
import io
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from apps.connect import target
from apps.local import banner, invocation
from apps.local.broker import BrokerKind, Choice
from apps.local.history import HistoryImport
from apps.local.home import Home
from apps.local.invocation import UV_RUN, UVX, anywhere, program
from apps.local.parts import Wiring

ROOT: Final = Path(__file__).parents[3]
SHOWN: Final = {"echo", "note", "write", "_say", "info", "warning", "error", "markdown"}
"""What shows a sentence as it is."""
TELLS: Final = {"_say", "told", "command", "program"}
"""What puts a person's own way to call the program into a sentence."""
UNQUOTED: Final = re.compile(
    r"(?<![`/.\w])(?<!Example: )(?!\A)mainstem "
    r"(?:up|down|doctor|import|tail|token|worker|api|erase|migrate|alerts)\b"
)


def _environment(folder: Path, *parts: str) -> Path:
    """Return the prefix of an environment with our program in it."""
    prefix = folder.joinpath(*parts)
    own = prefix / "bin" / "mainstem"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    return prefix


def _path(prefix: Path) -> str:
    return str(prefix / "bin" / "mainstem")


def test_an_installed_tool_is_called_by_its_name(tmp_path: Path) -> None:
    prefix = _environment(tmp_path, "tools", "mainstem")
    on_path = tmp_path / "bin" / "mainstem"
    on_path.parent.mkdir()
    on_path.symlink_to(_path(prefix))

    assert program(prefix=str(prefix), environment={}, which=lambda _: str(on_path)) == "mainstem"


def test_a_checkout_is_called_through_uv_although_the_program_is_on_the_path(
    tmp_path: Path,
) -> None:
    prefix = _environment(tmp_path, "checkout", ".venv")
    environment = {"UV_RUN_RECURSION_DEPTH": "1"}

    called = program(prefix=str(prefix), environment=environment, which=lambda _: _path(prefix))

    assert called == UV_RUN


@pytest.mark.parametrize("folder", ["archive-v0", "environments-v2"])
def test_an_environment_in_a_cache_is_called_through_uvx(tmp_path: Path, folder: str) -> None:
    prefix = _environment(tmp_path, "cache", "uv", folder, "abc")

    assert program(prefix=str(prefix), environment={}, which=lambda _: _path(prefix)) == UVX
    assert anywhere("mcp", prefix=str(prefix)) == (*shlex.split(UVX), "mcp")


@pytest.mark.parametrize("other", [None, "/usr/bin/mainstem"])
def test_an_environment_that_is_not_on_the_path_is_called_by_its_own(
    tmp_path: Path, other: str | None
) -> None:
    prefix = _environment(tmp_path, "with space")

    called = program(prefix=str(prefix), environment={}, which=lambda _: other)

    assert shlex.split(called) == [_path(prefix)]
    assert anywhere("mcp", prefix=str(prefix)) == (_path(prefix), "mcp")


def test_sentences_and_the_banner_name_commands_as_they_are_called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")

    assert invocation.told("start it with `mainstem up`") == "start it with `uv run mainstem up`"
    assert banner.commands().splitlines()[0] == "  uv run mainstem connect claude-code"


def test_what_connect_writes_lies_in_no_environment_and_no_cache(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")

    told = target.telemetry(home, url="http://127.0.0.1:4318")

    interpreter, *_, forwarder = told.forwarder
    assert not Path(interpreter).is_relative_to(sys.prefix) or sys.prefix == sys.base_prefix
    assert Path(forwarder).parent == home.root
    assert Path(forwarder).read_text().startswith('"""Hands a hook')


def test_an_outdated_forwarder_is_brought_up_to_date(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    target.telemetry(home, url="http://127.0.0.1:4318")
    home.forwarder.write_text("old")

    target.telemetry(home, url="http://127.0.0.1:4318")

    assert "import urllib.request" in home.forwarder.read_text()


async def test_the_history_that_may_be_imported_is_told_with_a_command_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "projects").mkdir()
    monkeypatch.setattr("sys.stdin", io.StringIO())

    wiring = Wiring(
        home=Home(tmp_path), broker=Choice(BrokerKind.TANSU), broker_address="127.0.0.1:9",
        broker_port=9, gateway_port=1, dashboard_port=2, api_port=3, metrics_port=4, partitions=1,
    )  # fmt: skip

    await HistoryImport(wiring, wanted=None).begin()

    assert "can be imported: `uv run mainstem import`" in capsys.readouterr().err


@pytest.mark.parametrize("room", ["cli", "local", "dashboard", "connect", "mcp", "transcripts"])
def test_no_sentence_names_a_command_that_is_not_put_as_it_is_called(room: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / "apps" / room).rglob("*.py"))
        for line, text in _shown(ast.parse(path.read_text()))
    ]

    assert found == []


def _shown(node: ast.AST, *, shown: bool = False) -> Iterator[tuple[int, str]]:
    """Yield what is shown of our commands as it stands: not quoted, or quoted and not told."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in {"Option", "Argument"}:
            return
        shown = name not in TELLS and (shown or name in SHOWN)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        quoted = shown and "`mainstem " in node.value
        if quoted or (" " in node.value and UNQUOTED.search(node.value)):
            yield node.lineno, node.value
    for below in ast.iter_child_nodes(node):
        yield from _shown(below, shown=shown)
