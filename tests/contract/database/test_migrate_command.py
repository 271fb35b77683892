"""`mainstem migrate` on a real store."""

import json

import pytest

from apps.cli import main
from tests.support.database import empty_database_url, postgres

__all__ = ["empty_database_url", "postgres"]
pytestmark = pytest.mark.embedded


@pytest.fixture(autouse=True)
def store(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a fresh store in the environment."""
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.delenv("MAINSTEM_STREAMS_STORE_URL", raising=False)


def test_a_check_fails_until_the_store_was_migrated(capsys: pytest.CaptureFixture[str]) -> None:
    before = main.run(["migrate", "--check"])
    migrated = main.run(["migrate"])
    after = main.run(["migrate", "--check"])

    assert (before, migrated, after) == (1, 0, 0)
    assert "due: 0001_ground" in capsys.readouterr().out


def test_the_answer_for_machines_holds_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["migrate", "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["level"] == "postgresql"
    assert said["applied"][:2] == ["0001_ground", "0002_facts.postgresql"]


def test_a_machine_without_a_store_is_told_what_to_set(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path_factory.mktemp("home")))

    assert main.run(["migrate"]) == 2
    assert "mainstem up" in capsys.readouterr().err


def test_a_store_that_is_away_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:secret@127.0.0.1:1/none")

    assert main.run(["migrate"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "secret" not in said
