"""`mainstem alerts apply|list|show|remove`: what they print, keep, and leave with."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from apps.cli.main import run
from streams.store import alert_files, controls
from streams.store.controls import Db
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

RULES: Final = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: cost_usd_total > 1}\n"
ROUTING: Final = """
route: {receiver: ops, routes: [{receiver: ops, mute_time_intervals: [night]}]}
receivers: [{name: ops, webhook_configs: [{url: "https://h.example/SECRET"}]}]
time_intervals:
- name: night
  time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}]}]
"""


@pytest.fixture
def db(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Db]:
    """Give a store that the environment names."""
    monkeypatch.setenv("MAINSTEM_STREAMS_STORE_URL", database_url)
    with controls.opened(database_url) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with rules and routing."""
    (tmp_path / "r.yml").write_text(RULES)
    (tmp_path / "m.yml").write_text(ROUTING)
    (tmp_path / "readme.md").write_text("not meant")
    return tmp_path


def _said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[dict[str, Any]]:
    assert run(["alerts", *words, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.requirement("alert-files-applied")
def test_files_are_applied_listed_shown_and_removed(
    db: Db, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    applied = _said(capsys, "apply", str(folder), "--by", "ada")
    again = _said(capsys, "apply", str(folder / "r.yml"), str(folder / "m.yml"))
    listed = _said(capsys, "list")
    [shown] = _said(capsys, "show", "m.yml")
    removed = _said(capsys, "remove", str(folder / "r.yml"), "m.yml")

    assert [(one["name"], one["kind"], one["change"]) for one in applied] == [
        ("m.yml", "routing", "added"), ("r.yml", "rules", "added"),
    ]  # fmt: skip
    assert [one["change"] for one in again] == ["unchanged", "unchanged"]
    assert [(one["name"], one["changed_by"]) for one in listed] == [
        ("m.yml", "ada"), ("r.yml", "ada"),
    ]  # fmt: skip
    assert shown["body"] == ROUTING.replace('"https://h.example/SECRET"', "<secret>")
    assert [one["change"] for one in removed] == ["removed", "removed"]
    assert _said(capsys, "list") == []


def test_a_dry_run_shows_what_would_change_without_secrets_and_changes_nothing(
    db: Db, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["alerts", "apply", str(folder)]) == 0
    (folder / "m.yml").write_text(ROUTING.replace("22:00", "21:00").replace("SECRET", "OTHER"))
    capsys.readouterr()

    assert run(["alerts", "apply", str(folder), "--dry-run"]) == 0

    said = capsys.readouterr().out
    assert "m.yml: would be changed (routing)" in said
    assert '-  time_intervals: [{times: [{start_time: "22:00"' in said
    assert "SECRET" not in said
    assert "OTHER" not in said
    assert alert_files.one(db, "local", "m.yml").body == ROUTING


@pytest.mark.requirement("alert-files-applied")
def test_a_file_that_is_refused_is_said_with_its_line_and_nothing_is_kept(
    db: Db, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.yml").write_text(RULES.replace("> 1", "> >"))

    assert run(["alerts", "apply", str(folder)]) == 1
    printed = capsys.readouterr()
    said = {one["name"]: one for one in _said(capsys, "apply", str(folder), code=1)}

    assert "refused: bad.yml:4:" in printed.err
    assert "nothing was changed" in printed.err
    assert said["bad.yml"]["line"] == 4
    assert alert_files.kept(db, "local") == ()


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["apply", "nowhere.yml"], 1, "nowhere.yml cannot be read"),
        (["apply", "{folder}/none"], 2, "no file of alerts"),
        (["apply", "{folder}/r.yml", "{folder}/none/r.yml"], 2, "would both be kept"),
        (["show", "none.yml"], 1, "no file 'none.yml'"),
        (["remove", "none.yml"], 1, "no file 'none.yml'"),
    ],
)
def test_what_cannot_be_applied_is_said_in_a_sentence(
    db: Db,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    code: int,
    reason: str,
) -> None:
    (folder / "none").mkdir()
    if "both" in reason:
        (folder / "none" / "r.yml").write_text(RULES)

    assert run(["alerts", *(word.format(folder=folder) for word in words)]) == code

    assert reason in capsys.readouterr().err
    assert alert_files.kept(db, "local") == ()


def test_tenants_have_files_of_their_own_and_pruning_leaves_others_alone(
    db: Db, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _said(capsys, "apply", str(folder))
    _said(capsys, "apply", str(folder), "--tenant", "acme")

    pruned = _said(capsys, "apply", str(folder / "r.yml"), "--prune", "--tenant", "acme")

    assert [one["change"] for one in pruned] == ["unchanged", "removed"]
    assert [one.name for one in alert_files.kept(db, "acme")] == ["r.yml"]
    assert len(alert_files.kept(db, "local")) == 2
