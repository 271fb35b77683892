"""`mainstem import` of several agents: their folders, files recognised by content, figures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from apps.cli import main
from tests.support.ingest import DATA
from tests.support.opencode import database, storage
from tests.support.rollouts import FOLDER as ROLLOUTS

VARIABLES = (
    "CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_DATA_HOME", "OPENCODE_DB",
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be a user without any history."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path / "data"))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def figures(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main.run(["import", "--dry-run", "--json", *arguments]) == code
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    return made


def by_agent(told: dict[str, Any]) -> dict[str, int]:
    return {agent["agent"]: agent["requests"] for agent in told["agents"]}


def give_codex(folder: Path) -> None:
    shutil.copytree(ROLLOUTS / "0.130.0", folder / "2026" / "11" / "30")


def give_gemini(folder: Path) -> None:
    shutil.copytree(DATA / "chats" / "0.61.0", folder / "plant" / "chats")
    shutil.copytree(DATA / "chats" / "0.20.0", folder / "0f3a" / "chats")


def give_claude(folder: Path) -> None:
    shutil.copytree(DATA / "transcripts", folder / "-home-me-thing")


def test_without_a_path_every_agents_own_folder_is_read(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_claude(home / ".claude" / "projects")
    give_codex(home / ".codex" / "sessions")
    give_gemini(home / ".gemini" / "tmp")
    database(home / ".local" / "share" / "opencode" / "opencode.db")
    storage(home / ".local" / "share" / "opencode")

    assert by_agent(figures(capsys)) == {"claude": 18, "codex": 12, "gemini": 9, "opencode": 8}
    assert by_agent(figures(capsys, "opencode", "codex")) == {"codex": 12, "opencode": 8}
    assert by_agent(figures(capsys, "codex")) == {"codex": 12}
    assert by_agent(figures(capsys, "--agent", "claude")) == {"claude": 18}


def test_a_folder_that_a_setting_names_comes_before_the_usual_one(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give_codex(home / "elsewhere" / "archived_sessions")
    give_gemini(home / "nowhere else" / ".gemini" / "tmp")
    monkeypatch.setenv("CODEX_HOME", str(home / "elsewhere"))
    monkeypatch.setenv("GEMINI_CLI_HOME", str(home / "nowhere else"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data of all"))
    storage(home / "data of all" / "opencode")
    monkeypatch.setenv("OPENCODE_DB", str(database(home / "else" / "mine.db")))

    assert by_agent(figures(capsys)) == {"codex": 12, "gemini": 9, "opencode": 8}


def test_a_path_is_recognised_by_its_content(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = home / "mixed"
    give_claude(mixed / "a")
    give_gemini(mixed / "b")
    for number, path in enumerate(sorted((ROLLOUTS / "0.130.0").glob("*.jsonl"))):
        shutil.copy(path, mixed / f"{number}.jsonl")
    database(mixed / "c" / "opencode.db")
    (mixed / "history.jsonl").write_text('{"session_id":"a","ts":1,"text":"not a transcript"}\n')

    told = figures(capsys, str(mixed))

    assert by_agent(told) == {"claude": 18, "codex": 12, "gemini": 9, "opencode": 6}
    assert told["skipped"]["total"] == 7
    assert by_agent(figures(capsys, str(mixed), "--agent", "codex")) == {"codex": 12}


def test_a_compressed_rollout_is_named_and_the_others_are_read(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    give_codex(home / ".codex" / "sessions")
    (home / ".codex" / "sessions" / "rollout-old.jsonl.zst").write_bytes(b"(\xb5/\xfd")

    told = figures(capsys, "codex", code=1)

    assert by_agent(told) == {"codex": 12}
    assert [passed["reason"] for passed in told["unread"]] == ["compressed; unpack it first"]


def test_models_without_a_price_are_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROLLOUTS / "0.50.0").glob("*.jsonl").__next__().read_text()
    (home / "rollout-x.jsonl").write_text(text.replace("gpt-5.2-codex", "quite-new-1"))

    assert main.run(["import", "--dry-run", str(home)]) == 0

    said = capsys.readouterr().out
    assert "  codex    1 sessions, 2 answers, 3,541 tokens, 0.0000 USD, 2 not priced" in said
    assert "2 answers with 3,541 tokens (100.0% of all)" in said
    assert "quite-new-1" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no history of Claude Code, Codex, Gemini CLI, opencode is here"),
        (["codex"], "no history of Codex is here"),
        (["--agent", "cursor"], "no agent 'cursor'; name one of claude, codex, gemini, opencode"),
        (["nowhere"], "there is no 'nowhere'"),
    ],
)
def test_what_is_not_there_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main.run(["import", "--dry-run", *arguments]) == 2
    assert words in capsys.readouterr().err
