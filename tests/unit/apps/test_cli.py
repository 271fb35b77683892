"""The command line: every command is listed, errors are one sentence, codes are 0, 1 or 2."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import typer
from typer.core import TyperGroup

from analytics.contracts.errors import BadSetting, StoreAway
from apps.cli import main


def _run(*arguments: str) -> int:
    return main.run(arguments)


@pytest.mark.requirement("command-manners")
@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help_with_an_example_and_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _run(name, "--help")

    said = capsys.readouterr().out
    assert code == 0
    assert "Example" in said
    assert f"mainstem {name}" in said
    assert "--json" in said


class Command(Protocol):
    """A command, or a group of them."""

    help: str | None


def _helps(command: Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    yield path, command.help or ""
    if isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from _helps(one, (*path, name))


@pytest.mark.requirement("command-manners")
@pytest.mark.parametrize("name", main.COMMANDS)
def test_an_example_stands_apart_from_what_is_said_before_it(name: str) -> None:
    root = typer.main.get_command(main.program([name]))
    assert isinstance(root, TyperGroup)

    for path, words in _helps(root.commands[name], (name,)):
        for part in words.split("\n\n"):
            said = " ".join(part.split())
            assert "Example:" not in said or said.startswith("Example:"), path
            assert "    " not in part.strip().replace("\n    ", "\n"), path


def test_the_list_names_every_command_and_what_it_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("--help") == 0

    said = capsys.readouterr().out
    for name in main.COMMANDS:
        assert f"\n  {name} " in said


def test_every_listed_command_has_a_module() -> None:
    for module, _ in main.COMMANDS.values():
        assert callable(importlib.import_module(f"apps.cli.{module}").command)


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--version") == 0
    assert capsys.readouterr().out.startswith("mainstem 0.")


@pytest.mark.parametrize("arguments", [("nope",), ("topics", "--nope"), ("tail",), ()])
def test_misuse_is_code_2(arguments: tuple[str, ...]) -> None:
    assert _run(*arguments) == 2


@pytest.mark.requirement("command-manners")
@pytest.mark.parametrize(
    ("error", "code"), [(BadSetting("no such thing"), 2), (StoreAway("it is away"), 1)]
)
def test_an_error_is_one_sentence_on_stderr(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("apps.cli.topics.command", _raising(error))

    assert _run("topics") == code

    said = capsys.readouterr()
    assert said.err == f"mainstem: {error}\n"
    assert said.out == ""


def test_a_bug_shows_no_traceback_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MAINSTEM_DEBUG", raising=False)
    monkeypatch.setattr("apps.cli.topics.command", _raising(ValueError("two\nlines")))

    assert _run("topics") == 1
    quiet = capsys.readouterr().err
    monkeypatch.setenv("MAINSTEM_DEBUG", "1")
    assert _run("topics") == 1
    loud = capsys.readouterr().err

    assert quiet == "mainstem: unexpected ValueError: two lines; MAINSTEM_DEBUG=1 shows where\n"
    assert "Traceback" in loud


def test_the_list_is_shown_without_importing_what_only_commands_need() -> None:
    probe = (
        "import sys; from apps.cli import main; main.run(['--help']);"
        "print([m for m in ('aiokafka', 'faust', 'psycopg', 'fastapi', 'streamlit', 'pydantic')"
        " if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_a_token_command_makes_the_key_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))

    codes = [_run("token", "--ttl", "1h"), _run("token"), _run("token", "--ttl", "1y")]

    assert codes == [0, 0, 2]
    assert capsys.readouterr().out.count(".") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]


def _raising(error: Exception) -> object:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("library", "extra"),
    [("redis.asyncio", "redis"), ("mcp.server", "mcp"), ("opentelemetry.sdk", "telemetry"),
     ("streamlit", "dashboard"), ("psycopg", "streams"), ("fastapi", "gateway")],
)  # fmt: skip
def test_a_library_of_an_extra_that_is_missing_is_a_sentence_that_names_the_extra(
    library: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking() -> None:
        raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    monkeypatch.setattr(main, "program", lambda _: lambda *_, **__: lacking())

    assert main.run(["up"]) == 1
    assert f"install 'mainstem[{extra}]'" in capsys.readouterr().err
