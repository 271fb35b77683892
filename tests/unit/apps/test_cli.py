"""The command line: every command is listed, errors are one sentence, codes are 0, 1 or 2."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from analytics.contracts.errors import BadSetting, StoreAway
from apps import cli


def _run(*arguments: str) -> int:
    return cli.run(arguments)


@pytest.mark.requirement("command-manners")
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example_and_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = _run(name, "--help")

    said = capsys.readouterr().out
    assert code == 0
    assert "Example" in said
    assert f"mainstem {name}" in said
    assert "--json" in said


def test_the_list_names_every_command_and_what_it_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run("--help") == 0

    said = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n  {name} " in said


def test_every_listed_command_has_a_module() -> None:
    for module, _ in cli.COMMANDS.values():
        assert callable(importlib.import_module(f"apps.commands.{module}").command)


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
    monkeypatch.setattr("apps.commands.topics.command", _raising(error))

    assert _run("topics") == code

    said = capsys.readouterr()
    assert said.err == f"mainstem: {error}\n"
    assert said.out == ""


def test_a_bug_shows_no_traceback_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MAINSTEM_DEBUG", raising=False)
    monkeypatch.setattr("apps.commands.topics.command", _raising(ValueError("two\nlines")))

    assert _run("topics") == 1
    quiet = capsys.readouterr().err
    monkeypatch.setenv("MAINSTEM_DEBUG", "1")
    assert _run("topics") == 1
    loud = capsys.readouterr().err

    assert quiet == "mainstem: unexpected ValueError: two lines; MAINSTEM_DEBUG=1 shows where\n"
    assert "Traceback" in loud


def test_the_list_is_shown_without_importing_what_only_commands_need() -> None:
    probe = (
        "import sys; from apps import cli; cli.run(['--help']);"
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
