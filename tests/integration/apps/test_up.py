"""`up`, `doctor`, `tail`, `connect`, `down`: the first run, and what may go wrong with it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from analytics.contracts import topics
from apps.local import state, tokens
from apps.local.home import Home
from apps.local.tenants import DOCTOR
from streams.clients.reader import Reader
from tests.support import facts
from tests.support.stream_worker import publish, rows
from tests.support.up import Up, environment_in, is_gone, mainstem, started, wait_until

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with started(tmp_path_factory.mktemp("up"), "--no-import") as running:
        yield running


def _arrived(up: Up) -> dict[str, int | None]:
    report = json.loads(up.run("doctor", "--json").stdout)
    return {one["ingest_path"]: one["stored_ms"] for one in report["arrivals"]}


@pytest.mark.requirement("doctor-sees-arrivals")
@pytest.mark.requirement("one-command")
def test_one_event_by_every_ingest_path_arrives_in_the_store(up: Up) -> None:
    done = up.run("doctor", "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert report["is_well"]
    assert [one["ingest_path"] for one in report["arrivals"]] == [
        "metric", "log", "span", "hook", "websocket",
    ]  # fmt: skip
    assert all(one["answered_ms"] <= one["stored_ms"] for one in report["arrivals"])
    assert report["store"]["level"] == "postgresql"
    wait_until(lambda: {"partitions", "retention"} <= _jobs_that_ran(up), seconds=60)
    assert report["complaints"] == []
    assert report["broker_kind"] == "tansu"
    assert report["cluster_id"]
    assert "Everything arrives." in up.run("doctor").stdout


@pytest.mark.requirement("unsigned-is-nobodys")
async def test_what_another_program_puts_on_its_broker_is_nobodys(up: Up) -> None:
    at_ms = time.time_ns() // 1_000_000
    forged = facts.request("forged", id="forged", session_id="forged", at_ms=at_ms)
    await publish(up.state.broker, [forged])
    url = up.state.store_url

    wait_until(
        lambda: (
            rows(url, "select topic, tenant from dead_letters where reason like 'signature %%'")
            == [(topics.AGENTS.address, "")]
        ),
        seconds=30,
    )
    assert rows(url, "select id from events where id = %s", "forged") == []


@pytest.mark.requirement("busy-says-so")
def test_a_second_up_says_where_the_first_is(up: Up) -> None:
    second = up.run("up", "--no-open")

    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert up.state.dashboard_url in second.stderr


def test_topics_and_tail_show_what_arrived(up: Up) -> None:
    up.run("doctor", "--json")

    listed = {row["topic"]: row["records"] for row in json.loads(up.run("topics", "--json").stdout)}
    tailed = up.run(
        "tail", "agents.v1", "--from", "start", "--where", "source=hook", "--limit", "1", "--json"
    )

    assert listed["agents.v1"] >= 5
    assert json.loads(tailed.stdout)["event"]["type"] == "session.ended"


@pytest.mark.requirement("query-api-up")
def test_the_query_api_answers_the_token_of_the_first_run(up: Up) -> None:
    up.run("doctor", "--json")
    bearer = {"Authorization": f"Bearer {up.home.token.read_text().strip()}"}
    doctor = {"Authorization": f"Bearer {tokens.of_tenant(up.home, DOCTOR)}"}

    own = httpx.get(f"{up.state.api_url}/v1/sessions", headers=bearer, timeout=30)
    told = httpx.get(f"{up.state.api_url}/v1/sessions", headers=doctor, timeout=30)
    counted = httpx.get(
        f"{up.state.api_url}/api/v1/query", params={"query": "1+1"}, headers=bearer, timeout=30
    )
    stranger = httpx.get(f"{up.state.api_url}/v1/sessions", timeout=30)

    assert own.status_code == told.status_code == 200, told.text
    assert own.json()["sessions"] == []
    assert any(one["session_id"].startswith("doctor-") for one in told.json()["sessions"])
    assert counted.json()["data"]["result"][1] == "2"
    assert stranger.status_code == 401


def test_connect_names_the_gateway_that_runs(up: Up) -> None:
    connected = up.run("connect", "codex")
    config = Path(up.environment["HOME"]) / ".codex" / "config.toml"
    told = config.read_text()
    disconnected = up.run("disconnect", "codex")

    assert connected.returncode == disconnected.returncode == 0
    assert f"{up.state.gateway_url}/v1/logs" in told
    assert not config.exists()


@pytest.mark.requirement("supervised")
@pytest.mark.requirement("new-log-starts-anew")
def test_a_killed_broker_comes_back_as_a_new_log_and_events_arrive_again(up: Up) -> None:
    before = up.state.children["broker"]
    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: up.state.children.get("broker", before) != before)
    worker = up.state.children["worker"]
    wait_until(lambda: up.state.children.get("worker", worker) != worker, seconds=30)

    wait_until(lambda: all(ms is not None for ms in _arrived(up).values()), seconds=60)


@pytest.mark.requirement("supervised")
@pytest.mark.parametrize("name", ["gateway", "dashboard", "api"])
def test_a_killed_part_is_started_again(up: Up, name: str) -> None:
    before = up.state.children[name]

    os.kill(before.pid, signal.SIGKILL)

    wait_until(lambda: up.state.children.get(name, before) != before)


@pytest.mark.requirement("acknowledged-kept")
@pytest.mark.requirement("supervised")
def test_down_reads_out_what_was_acknowledged_and_the_store_is_kept(tmp_path: Path) -> None:
    with started(tmp_path, "--demo", "--demo-speed", "50", "--no-import") as up:
        wait_until(lambda: _demo_sessions(up) > 10, seconds=60)
        children = list(up.state.children.values())

        down = up.run("down", "--json")

        assert json.loads(down.stdout) == {"was_running": True, "unread": 0}
        assert up.process.wait(30) == 0
        assert all(is_gone(one.pid) for one in children)
        assert json.loads(up.run("down", "--json").stdout)["was_running"] is False
    with started(tmp_path, "--no-import") as again:
        assert _demo_sessions(again) > 10


@pytest.mark.requirement("supervised")
def test_what_a_killed_up_leaves_dies_with_it_and_the_next_one_starts(tmp_path: Path) -> None:
    with started(tmp_path, "--no-import") as up:
        children = list(up.state.children.values())
        server = int((up.home.postgres / "data" / "postmaster.pid").read_text().split()[0])

        up.process.kill()
        up.process.wait(10)

        wait_until(lambda: all(is_gone(one.pid) for one in children) and is_gone(server))
    with started(tmp_path, "--no-import") as again:
        assert all(ms is not None for ms in _arrived(again).values())
        assert state.running(again.home) is not None


@pytest.mark.requirement("busy-says-so")
def test_a_broken_data_folder_is_one_sentence_and_nothing_stays_running(tmp_path: Path) -> None:
    environment = environment_in(tmp_path)
    broken = tmp_path / "data" / "postgres" / "data"
    broken.mkdir(parents=True)
    (broken / "PG_VERSION").write_text("garbage\n")

    done = mainstem(environment, "up", "--no-open", "--port", "0", "--dashboard-port", "0")

    assert done.returncode == 1
    assert str(broken) in done.stderr
    assert done.stderr.count("\n") == 1
    left = state.read(Home(tmp_path / "data"))
    assert left is not None
    assert all(not state.is_alive(one) for one in left.children.values())


def _jobs_that_ran(up: Up) -> set[str]:
    report = json.loads(up.run("doctor", "--json").stdout)
    return {job["name"] for job in report["store"]["jobs"]}


def _demo_sessions(up: Up) -> int:
    reader = Reader(up.state.store_url, size_max=1)
    try:
        with reader.connection() as db:
            row = db.execute("select count(*) from sessions where team = 'demo'").fetchone()
    finally:
        reader.close()
    return 0 if row is None else int(row[0])
