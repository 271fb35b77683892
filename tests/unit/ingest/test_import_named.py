"""`mainstem import` reads all that is named, or says what it does not read."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apps.cli import main
from apps.transcripts import opencode
from tests.support.ingest import DATA
from tests.support.opencode import database, storage
from tests.support.rollouts import FOLDER as ROLLOUTS

AGENTS = "claude, codex, gemini, opencode"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a user with a history of Codex."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path / "data"))
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("OPENCODE_DB", raising=False)
    shutil.copytree(ROLLOUTS / "0.130.0", tmp_path / "home" / ".codex" / "sessions")
    return tmp_path / "home"


@pytest.fixture
def mixed(tmp_path: Path) -> str:
    """Give a folder with histories of Claude Code and of Gemini CLI."""
    shutil.copytree(DATA / "transcripts", tmp_path / "mixed" / "a")
    shutil.copytree(DATA / "chats" / "0.61.0", tmp_path / "mixed" / "b" / "chats")
    return str(tmp_path / "mixed")


Capture = pytest.CaptureFixture[str]


def figures(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main.run(["import", "--dry-run", "--json", *arguments]) == code
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    return made


def agents(told: dict[str, Any]) -> list[str]:
    return [agent["agent"] for agent in told["agents"]]


def reasons(told: dict[str, Any]) -> dict[str, str]:
    return {passed["path"]: passed["reason"] for passed in told["unread"]}


def said(capsys: Capture, *arguments: str) -> str:
    assert main.run(["import", *arguments]) == 2
    return capsys.readouterr().err


def test_an_agent_and_a_path_that_are_named_together_are_both_read(
    mixed: str, capsys: Capture
) -> None:
    assert agents(figures(capsys, "codex", mixed)) == ["claude", "codex", "gemini"]
    assert agents(figures(capsys, mixed, "codex")) == ["claude", "codex", "gemini"]


def test_the_option_agent_restricts_what_is_read_of_paths(mixed: str, capsys: Capture) -> None:
    both = ("--agent", "codex", "--agent", "gemini")

    assert agents(figures(capsys, "codex", mixed, *both)) == ["codex", "gemini"]
    assert agents(figures(capsys, mixed, "--agent", "gemini")) == ["gemini"]
    assert "no transcript of codex in" in said(capsys, mixed, "--agent", "codex")


def test_an_agent_that_is_named_and_left_out_by_the_option_is_misuse(
    mixed: str, capsys: Capture
) -> None:
    words = "'codex' is named and --agent leaves it out; drop --agent, or add --agent codex"

    assert words in said(capsys, "codex", "--agent", "gemini")
    assert words in said(capsys, "codex", mixed, "--agent", "gemini")


def test_an_agent_without_history_that_is_named_beside_another_is_misuse(capsys: Capture) -> None:
    assert "no history of Gemini CLI is here" in said(capsys, "codex", "gemini")
    assert "no history of Gemini CLI is here" in said(
        capsys, "--agent", "codex", "--agent", "gemini"
    )


def test_a_path_without_any_transcript_is_named_and_the_others_are_read(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "bare").mkdir()

    told = figures(capsys, "codex", str(tmp_path / "bare"), code=1)

    assert agents(told) == ["codex"]
    assert reasons(told) == {str(tmp_path / "bare"): "no transcript in it"}


def test_an_agents_name_may_have_capitals(capsys: Capture) -> None:
    assert agents(figures(capsys, "Codex")) == ["codex"]
    assert agents(figures(capsys, "--agent", "CODEX")) == ["codex"]


def test_a_name_that_is_none_is_answered_with_the_names_of_agents(capsys: Capture) -> None:
    assert f"there is no 'cluade'; name a transcript, a folder of them, or an agent: {AGENTS}" in (
        said(capsys, "cluade")
    )


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_path_is_misuse_and_not_the_current_folder(
    word: str, mixed: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mixed)

    assert "an empty path, perhaps of a variable that is not set" in said(capsys, word)
    assert agents(figures(capsys, ".")) == ["claude", "gemini"]


@pytest.mark.parametrize(
    "url",
    [
        "notaurl", "ftp://127.0.0.1", "http://", "http://:4318", "http://h:port", "http://[",
        "http://a b",
    ],
)  # fmt: skip
def test_a_gateway_that_is_no_http_url_is_misuse_before_anything_is_read(
    url: str, capsys: Capture
) -> None:
    words = f"--gateway takes an http(s) URL such as http://127.0.0.1:4318, not {url!r}"

    assert words in said(capsys, "/not/there", "--gateway", url)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("opencode.db", "", "empty"),
        ("opencode.db", "none of SQLite's", "not a database"),
        ("session-1.json", "", "empty"),
        (
            "session-1.json",
            '{"sessionId":5,"projectHash":[],"messages":{}}',
            "no chat of gemini cli: its session or its messages are something else",
        ),
        (
            "session-1.json",
            '{"sessionId":"a","projectHash":"b","messages":{}}',
            "no chat of gemini cli: its session or its messages are something else",
        ),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(
    name: str, content: str, reason: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "some" / name
    path.parent.mkdir()
    path.write_text(content)

    assert reasons(figures(capsys, str(path), code=1)) == {str(path): reason}
    told = figures(capsys, "codex", str(path.parent), code=1)
    assert (agents(told)[0], reasons(told)) == ("codex", {str(path): reason})


def test_a_database_of_another_program_is_named(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "opencode.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("create table recipes (id)")

    told = figures(capsys, str(path), code=1)

    assert reasons(told) == {str(path): "no history of opencode: it has no sessions"}


def test_a_missing_database_that_the_variable_names_is_named_and_the_rest_is_read(
    home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCODE_DB", "/nope.db")
    assert "/nope.db" in said(capsys, "opencode")

    storage(home / ".local" / "share" / "opencode")
    for arguments in ([], ["opencode"], ["--agent", "opencode"]):
        told = figures(capsys, *arguments, code=1)
        assert "opencode" in agents(told)
        assert reasons(told) == {"/nope.db": "no such file or directory"}
    assert agents(figures(capsys, "codex")) == ["codex"]


def test_a_relative_database_counts_from_opencodes_data_folder(
    home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(home / ".local" / "share" / "opencode" / "mine.sqlite")
    monkeypatch.setenv("OPENCODE_DB", "mine.sqlite")

    assert agents(figures(capsys, "opencode")) == ["opencode"]


def test_a_database_in_memory_is_none_to_look_for(
    home: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage(home / ".local" / "share" / "opencode")
    monkeypatch.setenv("OPENCODE_DB", ":memory:")

    assert agents(figures(capsys, "opencode")) == ["opencode"]


def test_a_database_that_opencode_writes_to_is_read(tmp_path: Path, capsys: Capture) -> None:
    path = database(tmp_path / "opencode.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as running:
        running.execute("pragma journal_mode = wal")
        running.execute("begin immediate")
        running.execute("delete from message")

        assert figures(capsys, str(path))["requests"] == 6


def test_a_locked_database_is_named_with_what_to_do(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opencode, "WAIT_MAX_S", 0.01)
    path = database(tmp_path / "opencode.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as running:
        running.execute("begin exclusive")

        told = figures(capsys, str(path), code=1)

    assert reasons(told) == {str(path): "locked by another program; close opencode, import again"}
