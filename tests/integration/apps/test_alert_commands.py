"""Silences and acknowledgements by the command line, on a real store."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from psycopg.types.json import Jsonb

from analytics.alerts import matchers
from analytics.alerts.notify import links
from apps.cli.main import run
from streams.store import controls
from streams.store.controls import Db
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

LABELS: Final = {"alertname": "Slow", "agent": 'a "1" & b|c', "team": "core"}


@pytest.fixture
def db(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Db]:
    """Give a store with one alert that fires and one that is pending, named by the environment."""
    monkeypatch.setenv("MAINSTEM_STREAMS_STORE_URL", database_url)
    with controls.opened(database_url) as connection:
        for number, state in enumerate(("firing", "pending")):
            connection.execute(
                "insert into alerts (tenant, fingerprint, rule, labels, annotations, state,"
                " active_at) values ('local', %s, 'Slow', %s, '{}', %s, now())",
                [f"{number:016x}", Jsonb({**LABELS, "number": str(number)}), state],
            )
        yield connection


def _said(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert run(["alerts", *words, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.requirement("alert-silence-link")
def test_the_link_of_a_notification_makes_the_silence_that_mutes_its_alert(
    db: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    link = links.annotations("http://board:1", {**LABELS, "number": "0"}, {})["silence"]

    shown = _said(capsys, "silence", "preview", "--link", link)
    [made] = _said(capsys, "silence", "add", "--link", link, "--comment", "known", "--by", "ada")

    assert [one["fingerprint"] for one in shown] == ["0" * 16]
    assert matchers.all_hold(matchers.parse(made["matchers"]), {**LABELS, "number": "0"})
    assert not matchers.all_hold(matchers.parse(made["matchers"]), {**LABELS, "number": "1"})
    [listed] = _said(capsys, "silence", "list")
    assert (listed["id"], listed["created_by"]) == (made["id"], "ada")


def test_a_silence_is_made_listed_and_ended_by_the_first_letters_of_its_id(
    db: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["alerts", "silence", "add", "alertname=Slow", "--comment", "known"]) == 0
    made = capsys.readouterr().out.split()
    assert made[1:] == ["mutes", "2", "alerts"]

    assert run(["alerts", "silence", "list"]) == 0
    assert capsys.readouterr().out.startswith(f'{made[0]} {{alertname="Slow"}} until ')
    assert run(["alerts", "silence", "expire", made[0][:8]]) == 0
    assert capsys.readouterr().out == f"{made[0]} is over\n"
    assert _said(capsys, "silence", "list") == []


def test_a_silence_that_mutes_nothing_says_so(db: Db, capsys: pytest.CaptureFixture[str]) -> None:
    run(["alerts", "silence", "preview", "agent=nobody"])
    run(["alerts", "silence", "add", "agent=nobody", "--comment", "early"])

    said = capsys.readouterr().out
    assert said.startswith("no alert: check the matchers\n")
    assert "mutes 0 alerts; it mutes no alert that there is" in said


def test_firing_alerts_are_taken_on_by_their_labels_or_their_fingerprint(
    db: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    by_labels = _said(capsys, "ack", "team=core", "--by", "ada")
    by_key = _said(capsys, "ack", "0" * 16, "--by", "ben")

    assert [one["fingerprint"] for one in (*by_labels, *by_key)] == ["0" * 16] * 2
    rows = db.execute("select acknowledged_by from acknowledgements order by at").fetchall()
    assert rows == [("ada",), ("ben",)]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["silence", "add", "--comment", "c"], 2, "give matchers"),
        (["silence", "add", "a=b"], 2, "--comment"),
        (["silence", "add", 'a="b', "--comment", "c"], 2, "quote"),
        (["silence", "add", "a=b", "--for", "soon", "--comment", "c"], 2, "--for takes"),
        (["silence", "add", "a=~.*", "--comment", "c"], 1, "everything"),
        (["silence", "preview", "--link", "http://h/alerts"], 2, "holds no silence"),
        (["silence", "expire", "none"], 1, "no silence 'none'"),
        (["ack", "team=nobody"], 1, "no firing alert"),
        (["ack", "1".rjust(16, "0")], 1, "is pending"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    db: Db, capsys: pytest.CaptureFixture[str], words: list[str], code: int, reason: str
) -> None:
    assert run(["alerts", *words]) == code

    assert reason in capsys.readouterr().err
    assert db.execute("select count(*) from silences").fetchone() == (0,)
