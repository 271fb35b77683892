"""Closed windows watched over a real store: what is found, and that it is found once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest

from tests.support import watching_run
from tests.support.database import database_url, fresh, migrated_template, postgres
from tests.support.facts import T0_MS
from tests.support.watched_windows import TENANT, Window, fleet, session, write

__all__ = ["database_url", "migrated_template", "postgres"]

MINUTES: Final = 150
BROKEN: Final = 130
"""From which minute on sessions fail and a model costs ten times as much."""
KILLS: Final = (20, 95, 120, 141)
"""After which minutes the worker is killed."""
DEADLINE_S: Final = 60
TABLES: Final = {
    "scores": "select at, watch_id, value, low, high, score from scores order by 1, 2",
    "anomalies": "select anomaly_id, at, measure, dimension, part, value, score, reason,"
    " contributors from anomalies order by 1",
    "alerts": "select fingerprint, labels, annotations, state, value, active_at, starts_at, ends_at"
    " from alerts order by 1",
    "changes": "select at, fingerprint, was, state, value from alert_changes order by 1, 2",
    "notices": "select key, at, receiver, integration, why, body from notices order by 1",
    "recordings": "select at, labels::text, value from recordings order by 1, 2",
    "forecasts": "select measure, dimension, part, horizon, made_at, points from forecasts"
    " order by 1, 2, 3, 4",
    "forecasters": "select measure, dimension, part, step_ms, snapshot from forecasters"
    " order by 1, 2, 3, 4",
    "budgets": "select name, at, spent_usd, resets_at, exhausts_at, probability from budgets"
    " order by 1",
    "told": "select topic, key, value from outbox order by 1, 3",
    "watches": "select shard, at_ms from watches order by 1",
}
ROUTING: Final = """
route:
  receiver: people
  group_by: [alertname]
  group_wait: 0s
receivers:
  - name: people
    webhook_configs: [{url: "http://127.0.0.1:9/", send_resolved: true}]
"""


@pytest.fixture
def other_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """Give another fresh, migrated database."""
    yield from fresh(postgres, template=migrated_template)


def _windows() -> Iterator[Window]:
    noise = random.Random(11)
    for minute in range(MINUTES):
        broken = minute >= BROKEN
        for model in ("m", "other"):
            cost = max(0, round(noise.gauss(5e9, 5e8))) * (10 if broken and model == "m" else 1)
            counts = {"cost_nanousd": cost, "calls": noise.randint(8, 12), "latency_bucket": 90}
            yield fleet(model=model, agent="claude-code", project="p"), minute, counts
        errors = {"tool_calls": 10, "tool_errors": 7 if broken else 0, "cost_nanousd": 10**7}
        yield session("s1"), minute, errors
        if minute % 3 == 0:
            yield fleet(tool="Bash", agent="claude-code"), minute, {"tool_calls": 10}


def _filled(url: str) -> None:
    write(url, _windows(), reached_minutes=MINUTES)
    with psycopg.connect(url) as db:
        db.execute(
            "insert into alert_files (tenant, kind, name, body) values (%s, 'routing', 'r', %s)",
            [TENANT, ROUTING],
        )
        db.execute(
            "insert into budgets (tenant, name, period, limit_usd)"
            " select %s, period, period, 3000 from unnest(array['5h', 'day', 'week']) as period",
            [TENANT],
        )


def _found(url: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(url) as db:
        return {name: db.execute(query.encode()).fetchall() for name, query in TABLES.items()}


def _run_until(url: str, minute: int) -> None:
    """Watch in a process of its own, and kill that once it is so far."""
    command = [sys.executable, "-m", "tests.support.watching_run", url, str(MINUTES)]
    with subprocess.Popen(command) as process, psycopg.connect(url, autocommit=True) as db:
        deadline_s = time.monotonic() + DEADLINE_S
        while watching_run.at_ms(db) < T0_MS + minute * 60_000:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline_s
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.embedded
@pytest.mark.requirement("watching-survives-kills")
def test_a_worker_killed_again_and_again_finds_what_one_finds_that_is_not(
    database_url: str, other_url: str
) -> None:
    reached_ms = T0_MS + MINUTES * 60_000
    for url in (database_url, other_url):
        _filled(url)
    watching_run.watched(database_url, reached_ms=reached_ms)

    for minute in KILLS:
        _run_until(other_url, minute)
    watching_run.watched(other_url, reached_ms=reached_ms)

    expected, found = _found(database_url), _found(other_url)
    for name in TABLES:
        assert found[name] == expected[name], name
    measures = {(row[2], row[3], row[4]) for row in expected["anomalies"]}
    assert ("cost_usd", "model", "m") in measures
    assert {row[3] for row in expected["alerts"]} == {"firing"}
    assert {row[4] for row in expected["notices"]} == {"firing"}
    assert {row[1]["alertname"] for row in expected["alerts"]} == {"ErrorRate", "BudgetWillRunOut"}
    horizons = {row[3]: len(row[5]) for row in expected["forecasts"] if row[:2] == ("cost_usd", "")}
    assert horizons == {"hour": 12, "day": 24, "week": 168}
    assert ("cost_usd", "project", "p", "week") in {row[:4] for row in expected["forecasts"]}
    spent = {row[2] for row in expected["budgets"]}
    assert len(spent) == 1
    assert 10 * MINUTES < min(spent) < 3_000
