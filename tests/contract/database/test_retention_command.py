"""`mainstem retention` on a real store."""

import json

import psycopg
import pytest

from apps.cli import main
from streams.maintenance import jobs
from streams.maintenance.retention import Retention
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]
pytestmark = [pytest.mark.embedded, pytest.mark.requirement("retention-of-tenants")]


@pytest.fixture(autouse=True)
def store(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a fresh store in the environment."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("MAINSTEM_STREAMS_STORE_URL", raising=False)


def _shown(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    assert main.run(["retention", "show", "--tenant", "acme", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {one["kind"]: one for one in map(json.loads, lines)}


def test_a_term_that_is_set_holds_until_it_is_everybodys_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["retention", "set", "--tenant", "acme", "events=2", "sessions=30"]) == 0
    first = _shown(capsys)
    assert main.run(["retention", "set", "--tenant", "acme", "events=default"]) == 0
    second = _shown(capsys)

    assert first["events"] == {
        "kind": "events", "everybodys_days": 7, "own_days": 2, "days": 2,
    }  # fmt: skip
    assert (second["events"]["days"], second["events"]["own_days"]) == (7, None)
    assert second["sessions"]["days"] == 30


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["set", "events=30"], 1, "a tenant may have less but not 30"),
        (["set", "events=many"], 2, "KIND=DAYS"),
        (["set"], 2, "KIND=DAYS"),
        (["show", "events=2"], 2, "KIND=DAYS"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_set(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main.run(["retention", *arguments, "--tenant", "acme"]) == code

    assert words in capsys.readouterr().err
    assert all(one["own_days"] is None for one in _shown(capsys).values())


def test_everybodys_terms_are_those_that_the_worker_keeps_to(
    capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    jobs.run_due_now(database_url, Retention(events_days=3), now_ms=1_800_000_000_000)

    assert _shown(capsys)["events"]["everybodys_days"] == 3
    with psycopg.connect(database_url) as db:
        assert db.execute("select count(*) from retention_settings").fetchone() == (0,)
