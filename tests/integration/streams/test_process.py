"""The worker as a process of its own: killed, told to stop, and misused."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import pytest

from apps.topics import ensure_topics
from tests.integration.streams.test_worker import CALLS, EVENTS, requests_of
from tests.support.broker import RunningBroker, started_tansu
from tests.support.database import database_url, migrated_template, postgres
from tests.support.stream_worker import WAIT_S, count, publish, until

__all__ = ["database_url", "migrated_template", "postgres"]

COMMAND: Final = (sys.executable, "-m", "apps.cli", "worker", "--json")


def _told(broker: str, store_url: str) -> Mapping[str, str]:
    return os.environ | {
        "MAINSTEM_STREAMS_BROKER": broker,
        "MAINSTEM_STREAMS_STORE_URL": store_url,
        "MAINSTEM_STREAMS_METRICS_PORT": "0",
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


@contextmanager
def _started(told: Mapping[str, str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        COMMAND, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process, str(json.loads(process.stdout.readline())["health"])
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
    broker: RunningBroker, database_url: str
) -> None:
    told = _told(broker.address, database_url)
    await ensure_topics(broker.address, partitions=4)
    made = requests_of(3_000)

    with _started(told) as (process, _):
        await publish(broker.address, made)
        await until(lambda: count(database_url, EVENTS) > 200)
        process.kill()
        process.wait(WAIT_S)
    stored = count(database_url, EVENTS)
    with _started(told) as (process, _):
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
    broker: RunningBroker, database_url: str
) -> None:
    told = _told(broker.address, database_url)
    await ensure_topics(broker.address, partitions=4)

    with _started(told) as (process, url):
        await until(lambda: _is_ready(url))
        await publish(broker.address, requests_of(3_000))
        await until(lambda: count(database_url, EVENTS) > 0)
        process.send_signal(signal.SIGTERM)
        left = process.wait(WAIT_S)

    stored = count(database_url, EVENTS)
    assert left == 0
    assert count(database_url, "select sum(event_count) from ledger") == stored
    assert count(database_url, CALLS) == stored


def test_a_worker_without_a_store_says_so_and_leaves_with_2() -> None:
    told = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}

    done = subprocess.run(
        COMMAND, env=told, capture_output=True, text=True, timeout=WAIT_S, check=False
    )

    assert done.returncode == 2
    assert "set MAINSTEM_STREAMS_STORE_URL or DATABASE_URL" in done.stderr
