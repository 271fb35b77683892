"""Files of alerts: planned, checked, kept as a whole, and whose they are."""

from collections.abc import Iterator
from typing import Final

import pytest
from msgspec import structs

from analytics.alerts.documents import BadFile
from analytics.alerts.notify import masking
from analytics.contracts.errors import Conflict, NotFound
from streams.monitoring import alerts
from streams.store import alert_files, controls
from streams.store.alert_files import BadName, Changed, FilesChange, UploadedFile
from streams.store.controls import Db
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

TENANT: Final = "local"
RULES: Final = UploadedFile(
    name="mine.yml",
    body="groups: [{name: g, rules: [{alert: A, expr: 'cost_usd_total > 1'}]}]",
)
ROUTING: Final = UploadedFile(
    name="routes.yml",
    body="""
route: {receiver: r}
receivers: [{name: r, webhook_configs: [{url: 'https://h/SECRET'}]}]
""",
)
BAD: Final = UploadedFile(
    name="bad.yml", body="groups:\n- name: g\n  rules: [{alert: A, expr: '('}]"
)


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with controls.opened(database_url) as connection:
        yield connection


def _kept(db: Db) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in alert_files.kept(db, TENANT)]


def _changes(db: Db, **wanted: object) -> list[str]:
    asked = FilesChange(**wanted)  # type: ignore[arg-type] # a test's shorthand
    return [one.change for one in alert_files.apply(db, TENANT, asked).changes]


@pytest.mark.requirement("alert-files-applied")
def test_files_are_checked_kept_replaced_and_removed(db: Db) -> None:
    alert_files.put(db, TENANT, RULES, by="ada")
    alert_files.put(db, TENANT, ROUTING, by="ada")
    with pytest.raises(BadFile, match=r"mine\.yml:1:"):
        alert_files.put(db, TENANT, UploadedFile(name="mine.yml", body="groups: 1"), by="ada")

    assert db.execute(alerts._FILES, [TENANT]).fetchall() == [
        ("routing", "routes.yml", ROUTING.body), ("rules", "mine.yml", RULES.body),
    ]  # fmt: skip
    alert_files.remove(db, TENANT, "mine.yml", by="ada")
    with pytest.raises(NotFound):
        alert_files.remove(db, TENANT, "mine.yml", by="ada")


@pytest.mark.requirement("alert-files-applied")
def test_nothing_is_kept_where_one_of_several_files_is_refused(db: Db) -> None:
    assert _changes(db, files=(RULES, BAD, ROUTING)) == ["added", "refused", "added"]

    assert _kept(db) == []
    [refused] = alert_files.plan(db, TENANT, FilesChange(files=(RULES, BAD))).refused
    assert (refused.name, refused.line) == ("bad.yml", 3)


def test_the_same_files_again_change_nothing(db: Db) -> None:
    assert _changes(db, files=(RULES, ROUTING)) == ["added", "added"]
    before = alert_files.kept(db, TENANT)

    assert _changes(db, files=(RULES, ROUTING)) == ["unchanged", "unchanged"]
    assert alert_files.kept(db, TENANT) == before


def test_another_file_of_routing_takes_the_place_of_the_first(db: Db) -> None:
    alert_files.put(db, TENANT, ROUTING, by="ada")
    other = structs.replace(ROUTING, name="other.yml")

    assert alert_files.put(db, TENANT, other, by="ben").replaces == "routes.yml"
    assert _kept(db) == [("routing", "other.yml")]
    both = alert_files.plan(db, TENANT, FilesChange(files=(ROUTING, other)))
    assert "both routing" in both.refused[0].refused


def test_a_name_is_one_file_whatever_it_holds(db: Db) -> None:
    alert_files.put(db, TENANT, RULES, by="ada")
    alert_files.put(db, TENANT, structs.replace(ROUTING, name=RULES.name), by="ada")

    assert _kept(db) == [("routing", "mine.yml")]


def test_pruning_removes_what_is_not_named(db: Db) -> None:
    _changes(db, files=(RULES, ROUTING))

    assert _changes(db, files=(RULES,), prunes=True) == ["unchanged", "removed"]
    assert _kept(db) == [("rules", "mine.yml")]


@pytest.mark.requirement("alert-files-applied")
def test_what_was_shown_without_secrets_is_kept_with_them(db: Db) -> None:
    alert_files.put(db, TENANT, ROUTING, by="ada")
    shown = alert_files.one(db, TENANT, "routes.yml").shown

    edited = shown.replace("name: r,", "name: r, slack_configs: [{api_url: 'https://s/NEW'}],")
    alert_files.put(db, TENANT, UploadedFile(name="renamed.yml", body=edited), by="ada")

    assert "SECRET" not in shown
    body = alert_files.one(db, TENANT, "renamed.yml").body
    assert "https://h/SECRET" in body
    assert "https://s/NEW" in body
    with pytest.raises(BadFile, match=masking.MASK):
        alert_files.put(db, "other", UploadedFile(name="r.yml", body=shown), by="ada")


def test_the_folder_and_people_leave_each_others_files_alone(db: Db) -> None:
    folder = {"origin": alert_files.FOLDER, "by": "folder"}
    assert _changes(db, files=(RULES, ROUTING), **folder) == ["added", "added"]

    with pytest.raises(Conflict, match="folder"):
        alert_files.put(db, TENANT, structs.replace(RULES, body="groups: []"), by="ada")
    with pytest.raises(Conflict, match="folder"):
        alert_files.remove(db, TENANT, "mine.yml", by="ada")
    with pytest.raises(Conflict, match="folder"):
        alert_files.put(db, TENANT, structs.replace(ROUTING, name="own.yml"), by="ada")
    assert alert_files.put(db, TENANT, RULES, by="ada").change == "unchanged"
    own = structs.replace(RULES, name="own.yml")
    assert alert_files.put(db, TENANT, own, by="ada").change == "added"
    assert _changes(db, prunes=True, **folder) == ["removed", "removed"]
    assert _kept(db) == [("rules", "own.yml")]


def test_a_file_that_people_applied_becomes_the_folders_once_it_is_there_alike(db: Db) -> None:
    alert_files.put(db, TENANT, RULES, by="ada")

    assert _changes(db, files=(RULES,), origin=alert_files.FOLDER) == ["changed"]
    assert alert_files.one(db, TENANT, RULES.name).origin == alert_files.FOLDER


def test_what_was_planned_of_other_files_is_not_written(db: Db) -> None:
    wanted = FilesChange(files=(RULES,))
    planned = alert_files.plan(db, TENANT, wanted)
    alert_files.put(db, TENANT, ROUTING, by="ben")

    with pytest.raises(Changed):
        alert_files.write(db, planned, wanted)
    assert _kept(db) == [("routing", "routes.yml")]


@pytest.mark.parametrize("name", ["", "a;b", "presets/fleet.yml", "a\nb", "x" * 201])
def test_a_file_under_a_name_that_says_something_else_is_refused(db: Db, name: str) -> None:
    with pytest.raises(BadName):
        alert_files.put(db, TENANT, structs.replace(RULES, name=name), by="ada")
