"""A folder of alert files: dropped, changed, removed and spoiled files, and who follows it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from streams import metrics
from streams.consumer.health import ProgressMonitor
from streams.maintenance import alert_folder as following
from streams.maintenance.alert_folder import PART, Follower
from streams.store import alert_files, alert_folder, controls
from streams.store.alert_files import UploadedFile
from streams.store.controls import Db
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

TENANT: Final = "local"
RULES: Final = "groups: [{name: g, rules: [{alert: A, expr: 'cost_usd_total > 1'}]}]"
OTHER: Final = RULES.replace("> 1", "> 2")
BAD: Final = RULES.replace("> 1", "> >")
ROUTING: Final = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url: http://h}]}]"


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with controls.opened(database_url) as connection:
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "alerts"
    made.mkdir()
    return made


class Eyes:
    """A follower that is asked to look until nothing changes any more."""

    def __init__(self, db: Db, folder: Path, url: str = "") -> None:
        self.progress = ProgressMonitor(stalled_ms=1_000)
        self._db = db
        self._follower = Follower(url, folder, tenant=TENANT, told=self.progress)

    def look(self) -> None:
        """Look twice: what both looks see alike is taken."""
        self._follower.look(self._db)
        self._follower.look(self._db)

    @property
    def complaints(self) -> str:
        """What the worker's health says."""
        return self.progress.standing().complaints


def _kept(db: Db, tenant: str = TENANT) -> dict[str, str]:
    return {one.name: one.body for one in alert_files.kept(db, tenant)}


@pytest.mark.requirement("alert-folder")
def test_what_is_dropped_changed_and_removed_is_what_is_kept(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    (folder / "team").mkdir()
    (folder / "team" / "a.yml").write_text(RULES)
    (folder / "m.yaml").write_text(ROUTING)
    for passed_over in ("notes.txt", ".hidden.yml", "a.yml~"):
        (folder / passed_over).write_text("nonsense: [")
    eyes.look()
    assert _kept(db) == {"team/a.yml": RULES, "m.yaml": ROUTING}

    (folder / "team" / "a.yml").write_text(OTHER)
    (folder / "m.yaml").rename(folder / "n.yaml")
    eyes.look()
    assert _kept(db) == {"team/a.yml": OTHER, "n.yaml": ROUTING}

    (folder / "team" / "a.yml").unlink()
    (folder / "n.yaml").unlink()
    eyes.look()
    assert _kept(db) == {}
    assert eyes.complaints == ""


@pytest.mark.requirement("alert-folder")
def test_a_bad_file_is_named_everywhere_and_its_last_good_version_stays(
    db: Db, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    eyes = Eyes(db, folder)
    (folder / "a.yml").write_text(RULES)
    (folder / "b.yml").write_text(RULES)
    eyes.look()

    (folder / "a.yml").write_text(BAD)
    (folder / "b.yml").write_text(OTHER)
    with caplog.at_level(logging.WARNING):
        eyes.look()
        eyes.look()

    assert _kept(db) == {"a.yml": RULES, "b.yml": OTHER}
    assert PART in eyes.complaints
    assert "a.yml:1:" in eyes.complaints
    assert b'streams_alert_files_refused{file="a.yml",tenant="local"} 1.0' in metrics.exposition()
    [refusal] = alert_files.refusals(db, TENANT)
    assert refusal.name == "a.yml"
    assert refusal.reason.startswith("a.yml:1:")
    assert [one.getMessage()[:20] for one in caplog.records] == ["a file of the folder"]

    (folder / "a.yml").write_text(OTHER)
    eyes.look()
    assert _kept(db) == {"a.yml": OTHER, "b.yml": OTHER}
    assert (eyes.complaints, alert_files.refusals(db, TENANT)) == ("", ())
    assert b"streams_alert_files_refused{" not in metrics.exposition()


@pytest.mark.parametrize("spoilt", [b"\xff\xfe", b"x: [", b"groups: 1", b"tests: []", b"- a"])
def test_whatever_a_file_holds_the_others_are_followed(db: Db, folder: Path, spoilt: bytes) -> None:
    eyes = Eyes(db, folder)
    (folder / "bad.yml").write_bytes(spoilt)
    (folder / "good.yml").write_text(RULES)

    eyes.look()

    assert _kept(db) == {"good.yml": RULES}
    assert [one.name for one in alert_files.refusals(db, TENANT)] == ["bad.yml"]


def test_a_file_that_is_still_being_written_is_not_taken_half(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    file = folder / "a.yml"
    file.write_text(RULES)
    eyes.look()

    for size in (10, 20, 30):
        file.write_text(OTHER[:size])
        eyes._follower.look(db)
    file.write_text(OTHER)
    eyes._follower.look(db)
    assert _kept(db) == {"a.yml": RULES}

    eyes.look()
    assert _kept(db) == {"a.yml": OTHER}
    assert eyes.complaints == ""


@pytest.mark.requirement("alert-folder")
def test_a_configmap_that_is_swapped_under_its_links_is_followed(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    for stamp, body in (("..1", RULES), ("..2", OTHER)):
        (folder / stamp).mkdir()
        (folder / stamp / "a.yml").write_text(body)
    (folder / "..data").symlink_to("..1")
    (folder / "a.yml").symlink_to("..data/a.yml")
    eyes.look()
    assert _kept(db) == {"a.yml": RULES}

    (folder / "..next").symlink_to("..2")
    (folder / "..next").rename(folder / "..data")
    eyes.look()

    assert _kept(db) == {"a.yml": OTHER}


def test_a_folder_that_is_away_removes_nothing(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    (folder / "a.yml").write_text(RULES)
    eyes.look()

    folder.rename(folder.with_name("moved"))
    eyes.look()

    assert _kept(db) == {"a.yml": RULES}
    assert "cannot be read" in eyes.complaints
    folder.with_name("moved").rename(folder)
    eyes.look()
    assert eyes.complaints == ""


def test_a_folder_that_links_to_itself_and_a_pipe_are_passed_over(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    (folder / "again").symlink_to(folder)
    os.mkfifo(folder / "pipe.yml")
    (folder / "a.yml").write_text(RULES)

    eyes.look()

    assert _kept(db) == {"a.yml": RULES}


def test_each_tenant_has_a_folder_of_its_own(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    theirs = folder / "tenants" / "acme"
    theirs.mkdir(parents=True)
    (theirs / "a.yml").write_text(OTHER)
    (folder / "a.yml").write_text(RULES)
    eyes.look()
    assert (_kept(db), _kept(db, "acme")) == ({"a.yml": RULES}, {"a.yml": OTHER})

    (theirs / "a.yml").unlink()
    theirs.rmdir()
    eyes.look()
    assert (_kept(db), _kept(db, "acme")) == ({"a.yml": RULES}, {})


def test_what_people_applied_is_theirs_until_they_remove_it(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    mine = UploadedFile(name="m.yml", body=ROUTING)
    alert_files.put(db, TENANT, mine, by="ada")
    (folder / "other.yml").write_text(ROUTING.replace("http://h", "http://other"))
    eyes.look()
    assert _kept(db) == {"m.yml": ROUTING}
    assert "applied by ada" in eyes.complaints

    alert_files.remove(db, TENANT, "m.yml", by="ada")
    eyes._follower._taken_s = -following.AGAIN_S
    eyes.look()
    assert list(_kept(db)) == ["other.yml"]
    assert eyes.complaints == ""


def test_routing_that_is_renamed_and_spoilt_at_once_stays_as_it_was(db: Db, folder: Path) -> None:
    eyes = Eyes(db, folder)
    (folder / "m.yml").write_text(ROUTING)
    eyes.look()

    (folder / "m.yml").rename(folder / "n.yml")
    (folder / "n.yml").write_text("route: [")
    eyes.look()

    assert _kept(db) == {"m.yml": ROUTING}


def test_one_worker_follows_and_another_takes_over(db: Db, folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    first, second = Eyes(db, folder), Eyes(db, old)
    (folder / "a.yml").write_text(RULES)
    first.look()
    second.look()
    assert _kept(db) == {"a.yml": RULES}

    alert_folder.leave(db, first._follower._owner)
    second.look()
    assert _kept(db) == {}
