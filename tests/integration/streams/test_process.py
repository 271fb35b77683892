"""The worker as a process of its own, by our command and by Faust's: killed, stopped, misused."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from analytics.contracts import topics
from analytics.measures.fold import FoldRules
from analytics.measures.prices import PriceTable
from apps.local.ports import LOOPBACK, free_port
from apps.local.topics import ensure_topics
from streams.consumer import topology
from tests.integration.streams.test_worker import CALLS, EVENTS, requests_of
from tests.support.broker import RunningBroker, started_tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stack import ROOT
from tests.support.stream_worker import WAIT_S, count, publish, until

__all__ = ["database_url", "migrated_template", "postgres"]

FAUST: Final = (sys.executable, "-m", "faust", "-A", "apps.worker")
FAILING: Final = """
from apps.worker import app
from streams.consumer.stream import StreamFailed

@app.task
async def fail():
    raise StreamFailed("failure")
"""
COMMANDS: Final = {
    "mainstem": (sys.executable, "-m", "apps.cli.main", "worker"),
    "faust": (*FAUST, "worker", "-l", "warn"),
}


def _told(broker: str, store_url: str) -> Mapping[str, str]:
    return os.environ | {
        "MAINSTEM_STREAMS_BROKER": broker,
        "MAINSTEM_STREAMS_STORE_URL": store_url,
        "MAINSTEM_STREAMS_METRICS_PORT": str(free_port()),
        "MAINSTEM_STREAMS_PARTITIONS": "4",
        "MAINSTEM_STREAMS_REBALANCE_TIMEOUT_S": "1.5",
        "MAINSTEM_STREAMS_SESSION_TIMEOUT_S": "6",
        "MAINSTEM_STREAMS_BATCH_RECORDS_MAX": "50",
    }


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    """Run a broker for one test alone."""
    with started_tansu() as running:
        yield running


@pytest.fixture(params=sorted(COMMANDS))
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    """Return what starts a worker."""
    return COMMANDS[request.param]


@contextmanager
def _started(
    command: Sequence[str], told: Mapping[str, str]
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    process = subprocess.Popen(
        command, env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process, f"http://{LOOPBACK}:{told['MAINSTEM_STREAMS_METRICS_PORT']}/health/ready"
    finally:
        process.kill()
        process.communicate(timeout=WAIT_S)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(json.load(answer)["ready"])
    except urllib.error.URLError:
        return False


@pytest.mark.embedded
@pytest.mark.requirement("counted-once-on-replay")
@pytest.mark.requirement("acknowledged-kept")
async def test_a_worker_killed_at_work_is_followed_by_one_that_counts_the_rest_once(
    broker: RunningBroker, database_url: str, command: Sequence[str]
) -> None:
    told = _told(broker.address, database_url)
    await ensure_topics(broker.address, partitions=4)
    made = requests_of(3_000)

    with _started(command, told) as (process, _):
        await publish(broker.address, made)
        await until(lambda: count(database_url, EVENTS) > 200)
        process.kill()
        process.wait(WAIT_S)
    stored = count(database_url, EVENTS)
    with _started(command, told) as (process, _):
        await until(lambda: count(database_url, EVENTS) == 3_000)
        process.send_signal(signal.SIGTERM)
        left = process.wait(WAIT_S)

    assert 200 < stored <= 3_000
    assert left == 0
    assert count(database_url, "select count(distinct id) from events") == 3_000
    assert count(database_url, CALLS) == 3_000
    assert count(database_url, "select sum(calls) from sessions") == 3_000


@pytest.mark.embedded
async def test_a_worker_told_to_stop_at_work_leaves_with_0_and_a_whole_batch(
    broker: RunningBroker, database_url: str, command: Sequence[str]
) -> None:
    told = _told(broker.address, database_url)
    await ensure_topics(broker.address, partitions=4)

    with _started(command, told) as (process, url):
        await until(lambda: _is_ready(url))
        await publish(broker.address, requests_of(3_000))
        await until(lambda: count(database_url, EVENTS) > 0)
        process.send_signal(signal.SIGTERM)
        left = process.wait(WAIT_S)

    stored = count(database_url, EVENTS)
    assert left == 0
    assert count(database_url, "select sum(event_count) from checkpoints") == stored
    assert count(database_url, CALLS) == stored


@pytest.mark.embedded
async def test_a_worker_of_fausts_own_command_that_cannot_go_on_leaves_with_1(
    broker: RunningBroker, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    told = {**_told(broker.address, database_url), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = (sys.executable, "-m", "faust", "-A", "failing", "worker", "-l", "error")

    with _started(command, told) as (process, _):
        await until(lambda: process.poll() is not None)

    assert process.returncode == 1


def _left(*command: str) -> "subprocess.CompletedProcess[str]":
    told = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        command, env=told, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def test_a_worker_without_a_store_says_so_and_leaves_with_2(command: Sequence[str]) -> None:
    done = _left(*command)

    assert done.returncode == 2
    assert "set MAINSTEM_STREAMS_STORE_URL or DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_faust_lists_every_agent_with_the_topic_that_it_reads() -> None:
    done = _left(*FAUST, "--json", "agents")

    listed = {one["name"].lstrip("@"): one["topic"] for one in json.loads(done.stdout)}
    assert listed == {
        "metrics": topics.AGENTS.address,
        "connections": topics.CONNECTIONS.address,
        "reviews": topics.REVIEWS.address,
        "final_aggregation": topics.PARTIALS.address,
        "dead_letters": topics.DEAD_LETTERS.address,
    }
    assert set(listed.values()) == set(topology.recipes(PriceTable({}), FoldRules()))
