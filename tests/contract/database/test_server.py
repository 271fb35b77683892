"""The embedded server: made, started, stopped, and its broken folders each one sentence."""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from analytics.contracts.errors import MissingPart, StoreAway
from apps.local import database, programs
from apps.local.database import BrokenData
from apps.local.programs import Programs, Runner

pytestmark = pytest.mark.embedded


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder for a server, and stop the server in the end."""
    place = tmp_path / "postgres"
    yield place
    database.stop(place)


def _value(url: str) -> object:
    with psycopg.connect(url) as db:
        row = db.execute("select max(n) from thing").fetchone()
        return row and row[0]


def _write(url: str, number: int) -> None:
    with psycopg.connect(url) as db:
        db.execute("create table if not exists thing (n int)")
        db.execute("insert into thing values (%s)", [number])


def test_a_server_starts_answers_stops_and_keeps_its_data(folder: Path) -> None:
    first = database.start(folder, durable=False)
    _write(first.url, 7)

    assert database.stop(folder)
    assert database.status(folder) is None
    assert not database.stop(folder)

    second = database.start(folder, durable=False)
    assert _value(second.url) == 7
    assert second.pid != first.pid


def test_a_second_start_attaches_to_the_server_that_runs(folder: Path) -> None:
    first = database.start(folder, durable=False)

    assert database.start(folder, durable=False) == first
    assert database.status(folder) == first


def test_a_server_that_was_killed_starts_again_with_what_was_committed(folder: Path) -> None:
    first = database.start(folder)
    _write(first.url, 9)
    os.kill(first.pid, signal.SIGKILL)

    second = database.start(folder)

    assert _value(second.url) == 9


def test_the_password_is_asked_for_and_is_the_users_alone(folder: Path) -> None:
    server = database.start(folder, durable=False)

    mode = stat.S_IMODE((folder / "password").stat().st_mode)
    wrong = server.url.replace((folder / "password").read_text(), "wrong")

    assert mode == 0o600
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong)


def test_the_server_listens_on_this_machine_only(folder: Path) -> None:
    server = database.start(folder, durable=False)

    with psycopg.connect(server.url) as db:
        row = db.execute("show listen_addresses").fetchone()

    assert row == ("127.0.0.1",)


def test_a_port_that_somebody_took_meanwhile_is_given_up_for_another(folder: Path) -> None:
    import socket

    first = database.start(folder, durable=False)
    database.stop(folder)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first.port))
        taken.listen()

        second = database.start(folder, durable=False)

    assert second.port != first.port


def test_a_folder_without_postgresql_data_is_said_to_be_broken(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "thing").write_text("x")

    with pytest.raises(BrokenData, match="holds no PostgreSQL data"):
        database.start(folder, durable=False)


def test_data_of_another_major_version_are_left_alone(folder: Path) -> None:
    database.start(folder, durable=False)
    database.stop(folder)
    (folder / "data" / "PG_VERSION").write_text("15\n")

    with pytest.raises(BrokenData, match="PostgreSQL 15"):
        database.start(folder, durable=False)


def test_a_lost_password_is_one_sentence(folder: Path) -> None:
    database.start(folder, durable=False)
    database.stop(folder)
    (folder / "password").unlink()

    with pytest.raises(BrokenData, match="password file"):
        database.start(folder, durable=False)


def test_damaged_data_say_what_postgresql_said(folder: Path) -> None:
    database.start(folder, durable=False)
    database.stop(folder)
    (folder / "data" / "global" / "pg_control").write_bytes(b"")

    with pytest.raises(StoreAway, match="PostgreSQL did not start"):
        database.start(folder, durable=False)


def test_an_attempt_that_was_cut_off_does_not_spoil_the_next(folder: Path) -> None:
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "half").write_text("x")

    assert database.start(folder, durable=False).port > 0


def test_a_machine_without_postgresql_is_told_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "MAJOR_MIN", 99)

    with pytest.raises(MissingPart, match=r"install mainstem\[local\]"):
        database.start(folder, durable=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_runs_the_server_as_an_existing_user_where_namespaces_are_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tempfile

    def as_user(place: Path, found: Programs) -> Runner:
        del place, found
        return Runner(user="nobody")

    monkeypatch.setattr(database, "runner_for", as_user)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        place = Path(name) / "postgres"
        server = database.start(place, durable=False)
        _write(server.url, 5)
        owner = Path(f"/proc/{server.pid}").owner()
        database.stop(place)

    assert owner == "nobody"
