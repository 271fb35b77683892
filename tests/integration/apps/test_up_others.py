"""`up` with a broker and a database that are not the embedded ones, and with history to import."""

import json
import os
import shutil
from pathlib import Path

import pytest

from analytics.contracts.errors import MissingPart
from apps.local import kafka
from apps.local.home import cache_folder
from tests.support.broker import started_tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.rollouts import FOLDER as ROLLOUTS
from tests.support.up import started, wait_until

__all__ = ["database_url", "migrated_template", "postgres"]

TRANSCRIPT = (
    {
        "type": "user",
        "timestamp": "2026-01-02T03:04:05Z",
        "sessionId": "imported-1",
        "uuid": "u-1",
        "cwd": "/home/me/thing",
        "version": "2.1.0",
        "message": {"role": "user", "content": "make it so"},
    },
    {
        "type": "assistant",
        "timestamp": "2026-01-02T03:04:09Z",
        "sessionId": "imported-1",
        "uuid": "u-2",
        "cwd": "/home/me/thing",
        "version": "2.1.0",
        "requestId": "r-1",
        "message": {
            "id": "m-1",
            "role": "assistant",
            "type": "message",
            "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "done"}],
            "usage": {"input_tokens": 10, "output_tokens": 5},
        },
    },
)


@pytest.fixture
def maven() -> None:
    try:
        kafka.libraries(cache_folder())
    except MissingPart as error:
        if os.environ.get("CI"):
            pytest.fail(f"{error} (required where CI is set)")
        pytest.skip(f"{error}; this runs in CI and where those are installed")


@pytest.mark.kafka
@pytest.mark.usefixtures("maven")
@pytest.mark.requirement("existing-parts")
def test_apache_kafka_runs_in_the_embedded_broker_s_place(tmp_path: Path) -> None:
    with started(tmp_path, "--broker", "kafka", "--no-import") as up:
        report = json.loads(up.run("doctor", "--json").stdout)
        down = json.loads(up.run("down", "--json").stdout)

    assert report["is_well"], report
    assert report["broker_kind"] == "kafka"
    assert down == {"was_running": True, "unread": 0}


@pytest.mark.embedded
@pytest.mark.requirement("existing-parts")
def test_a_broker_and_a_database_of_the_user_s_own_are_used_and_left_running(
    tmp_path: Path, database_url: str
) -> None:
    with started_tansu() as broker:
        with started(
            tmp_path, "--broker", broker.address, "--no-import", DATABASE_URL=database_url
        ) as up:
            report = json.loads(up.run("doctor", "--json").stdout)
            children = set(up.state.children)
            down = json.loads(up.run("down", "--json").stdout)

        assert report["is_well"], report
        assert (report["broker_kind"], report["store_kind"]) == ("external", "external")
        assert report["cluster_id"] == broker.cluster_id
        assert children == {"gateway", "worker", "dashboard", "api"}
        assert down == {"was_running": True, "unread": 0}
        assert broker.process.poll() is None
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.embedded
@pytest.mark.requirement("import-idempotent")
def test_history_is_imported_in_the_background_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "user" / ".claude" / "projects" / "-home-me-thing"
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(line) + "\n" for line in TRANSCRIPT)
    (folder / "imported-1.jsonl").write_text(lines)
    shutil.copytree(ROLLOUTS / "0.50.0", tmp_path / "user" / ".codex" / "sessions" / "2026")

    with started(tmp_path, "--import") as up:
        wait_until(lambda: "import done" in (tmp_path / "up.log").read_text(), seconds=60)
        by_claude, by_codex = (
            json.loads(
                up.run(
                    "tail", "agents.v1", "--from", "start", "--limit", "1", "--json",
                    "--where", where, "--where", "type=request.finished",
                ).stdout
            )["event"]
            for where in ("session_id=imported-1", "agent=codex")
        )  # fmt: skip

    assert "the history of Claude Code and Codex" in (tmp_path / "up.log").read_text()
    assert (by_claude["source"], by_claude["output_tokens"]) == ("transcript", 5)
    assert (by_codex["source"], by_codex["output_tokens"]) == ("transcript", 115)
