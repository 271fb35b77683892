"""`mainstem erase` on a real store."""

import json

import pytest

from apps.cli import main
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.database import database_url, migrated_template, postgres
from tests.support.facts import T0_MS
from tests.support.outcomes import PostgresLooker, outcome, session

__all__ = ["database_url", "migrated_template", "postgres"]
pytestmark = [pytest.mark.embedded, pytest.mark.requirement("erasure")]


@pytest.fixture(autouse=True)
async def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a store with one session in the environment."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("MAINSTEM_STREAMS_STORE_URL", raising=False)
    async with open_checkpoint(database_url, clock=lambda: T0_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        await checkpoints.commit(claim, outcome(0, 1, sessions=(session("s1", user="ada"),)))


def test_it_says_what_went_and_what_it_cannot_reach(
    capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    assert main.run(["erase", "--user", "ada", "--by", "officer", "--yes", "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["removed"] == {"events": 1, "sessions": 1}
    assert "Kafka" in said["beyond"][0]
    assert PostgresLooker(database_url).raw_ids() == []


def test_its_log_names_who_asked_and_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["erase", "--session", "s1", "--by", "officer", "--yes"])
    capsys.readouterr()

    assert main.run(["erase", "--log"]) == 0

    line = capsys.readouterr().out
    assert "by officer: 2 rows" in line
    assert "s1" not in line.replace(line.split()[3], "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--user", "ada"], "1 sessions and 1 events"),
        (["--user", "ada", "--session", "s1", "--yes"], "either --session ID or --user NAME"),
        (["--everything", "--user", "ada", "--yes"], "either --session ID or --user NAME"),
        (["--everything"], "1 sessions and 1 events"),
        (["--yes"], "either --session ID or --user NAME"),
    ],
)
def test_nothing_is_erased_by_mistake(
    capsys: pytest.CaptureFixture[str], database_url: str, arguments: list[str], words: str
) -> None:
    assert main.run(["erase", *arguments]) == 2

    assert words in capsys.readouterr().err
    assert PostgresLooker(database_url).raw_ids() == ["event-0"]
