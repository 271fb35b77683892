"""Rules of tenants over a real store: their own files, silence that is noticed, words of people."""

import threading
from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from analytics.alerts.dispatch import engine
from analytics.measures.rows import ON_TIME
from streams.monitoring.alerts import EvaluationLimits
from streams.monitoring.stage import Stage, StageOptions
from streams.store import alert_files, controls
from streams.store.alert_files import UploadedFile
from tests.support.database import database_url, migrated_template, postgres
from tests.support.facts import T0_MS
from tests.support.watched_windows import TENANT, Window, fleet, write

__all__ = ["database_url", "migrated_template", "postgres"]

pytestmark = pytest.mark.embedded
MINUTES: Final = 10
Db = Connection[TupleRow]
MINUTE_MS: Final = 60_000
BUSY: Final = """
groups:
  - name: own
    rules:
      - record: calls:rate
        expr: sum(rate(requests_total[3m]))
      - alert: Busy
        expr: calls:rate > 0.05
        labels: {severity: info}
"""
SILENT: Final = """
groups:
  - name: own
    rules:
      - alert: Silent
        expr: absent(requests_total)
        labels: {severity: critical}
"""


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    """Give a connection to a store with ten minutes of two tenants."""
    windows: list[Window] = [
        (fleet(tenant, model="m"), minute, {"calls": 6, "cost_nanousd": 10**6})
        for minute in range(MINUTES)
        for tenant in (TENANT, "other")
    ]
    write(database_url, windows, reached_minutes=MINUTES)
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def _watched(url: str, *, reached_ms: int, rules: StageOptions = StageOptions(lease_s=1)) -> None:  # noqa: B008
    stage = Stage(url, rules, now_ms=lambda: reached_ms)
    with stage.connected() as db:
        stage.lease(db)
        stage.catch_up(db, reached_ms, threading.Event())
        stage.leave(db)


def _firing(db: Db, tenant: str = TENANT) -> set[str]:
    rows = db.execute(
        "select rule from alerts where tenant = %s and state = 'firing'", [tenant]
    ).fetchall()
    return {row[0] for row in rows}


def test_a_tenants_own_rules_count_for_it_alone_and_read_what_rules_recorded(
    db: Db, database_url: str
) -> None:
    alert_files.put(db, TENANT, UploadedFile(name="own", body=BUSY), by="ada")

    _watched(database_url, reached_ms=T0_MS + MINUTES * MINUTE_MS)

    assert _firing(db) == {"Busy"}
    assert _firing(db, "other") == set()


def test_a_file_that_became_unreadable_keeps_no_other_rule_and_no_other_tenant_from_it(
    db: Db, database_url: str
) -> None:
    alert_files.put(db, "other", UploadedFile(name="own", body=BUSY), by="ada")
    alert_files.put(db, TENANT, UploadedFile(name="own", body=BUSY), by="ada")
    db.execute(
        "insert into alert_files (tenant, kind, name, body) values (%s, 'rules', 'broken', 'a: [')",
        [TENANT],
    )

    _watched(database_url, reached_ms=T0_MS + MINUTES * MINUTE_MS)

    assert _firing(db) == {"Busy"}
    assert _firing(db, "other") == {"Busy"}


def test_silence_is_noticed_and_is_over_with_the_next_window(db: Db, database_url: str) -> None:
    alert_files.put(db, TENANT, UploadedFile(name="own", body=SILENT), by="ada")
    silent = MINUTES + 70

    _watched(database_url, reached_ms=T0_MS + silent * MINUTE_MS)
    during = _firing(db)
    write(database_url, [(fleet(model="m"), silent, {"calls": 1})], reached_minutes=silent + 1)
    _watched(database_url, reached_ms=T0_MS + (silent + 1) * MINUTE_MS)

    assert "Silent" in during
    assert "Silent" not in _firing(db)


@pytest.mark.parametrize(("batch_offset", "told"), [(ON_TIME, {"NoData"}), (7, set())])
def test_nobody_misses_an_agent_whose_history_was_imported_and_that_never_was_live(
    db: Db, database_url: str, batch_offset: int, told: set[str]
) -> None:
    past = [(fleet(agent="codex", model="m"), minute, {"events": 6}) for minute in range(MINUTES)]
    write(database_url, past, reached_minutes=MINUTES, batch_offset=batch_offset)
    db.execute(
        "delete from window_1m w using series s where s.series_id = w.series_id and agent = ''"
    )

    for reached in (MINUTES, MINUTES + 60, MINUTES + 90):
        _watched(database_url, reached_ms=T0_MS + reached * MINUTE_MS)

    assert _firing(db) & {"NoData", "EventsArrive"} == told


@pytest.mark.parametrize("batch_offset", [ON_TIME, 7])
def test_an_agent_that_is_live_is_missed_whatever_else_is_imported(
    db: Db, database_url: str, batch_offset: int
) -> None:
    live = [(fleet(agent="codex", model="m"), minute, {"events": 6}) for minute in range(MINUTES)]
    write(database_url, live, reached_minutes=MINUTES)
    old = [(fleet(agent="gemini", model="n"), minute, {"events": 6}) for minute in range(MINUTES)]
    write(database_url, old, reached_minutes=MINUTES, batch_offset=batch_offset)

    for reached in (MINUTES, MINUTES + 60, MINUTES + 90):
        _watched(database_url, reached_ms=T0_MS + reached * MINUTE_MS)

    (text,) = db.execute(
        "select annotations::text from alerts where tenant = %s and rule = 'NoData'", [TENANT]
    ).fetchone() or ("",)
    assert "codex" in text
    assert ("gemini" in text) == (batch_offset == ON_TIME)


def test_words_on_anomalies_change_from_which_score_a_series_is_told_of(
    db: Db, database_url: str
) -> None:
    _watched(database_url, reached_ms=T0_MS + MINUTES * MINUTE_MS)
    db.execute(
        "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part, value,"
        " expected_low, expected_high, score, rarity, ingredient, reason, contributors)"
        " select 'a', tenant, now(), watch_id, measure, dimension, part, 1, 0, 0, 1, 3, 'value',"
        " '', '[]' from watched where tenant = %s and measure = 'cost_usd' and dimension = ''",
        [TENANT],
    )
    before = _snapshots(db)
    controls.set_feedback(db, TENANT, "a", "noise", by="ada")
    write(
        database_url,
        [(fleet(model="m"), MINUTES, {"calls": 6})],
        reached_minutes=MINUTES + 1,
    )

    _watched(database_url, reached_ms=T0_MS + (MINUTES + 1) * MINUTE_MS)

    changed = {key for key, at_ms in _snapshots(db).items() if at_ms != before[key]}
    assert ("cost_usd", "", "") in changed


def _snapshots(db: Db) -> dict[tuple[str, str, str], int]:
    rows = db.execute(
        "select measure, dimension, part, snapshot_ms from watched where tenant = %s", [TENANT]
    ).fetchall()
    return {(row[0], row[1], row[2]): row[3] for row in rows}


POISON: Final = """
groups:
  - name: poison
    rules:
      - alert: Poison
        expr: >-
          label_replace(label_replace(vector(1), "y", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
          "", ""), "x", "$1", "y", "((b+)+)+c") < 2
"""


def test_a_hostile_rule_of_one_tenant_is_answered_and_nobody_waits_for_it(
    db: Db, database_url: str
) -> None:
    alert_files.put(db, "other", UploadedFile(name="own", body=POISON), by="ada")
    alert_files.put(db, TENANT, UploadedFile(name="own", body=BUSY), by="ada")

    _watched(database_url, reached_ms=T0_MS + MINUTES * MINUTE_MS)

    assert "Poison" in _firing(db, "other")
    assert "Busy" in _firing(db)


def test_a_rule_whose_time_is_over_has_failed_and_an_alert_says_so(
    db: Db, database_url: str
) -> None:
    alert_files.put(db, TENANT, UploadedFile(name="own", body=BUSY), by="ada")
    rules = StageOptions(lease_s=1, limits=EvaluationLimits(rule_ms=0))

    _watched(database_url, reached_ms=T0_MS + MINUTES * MINUTE_MS, rules=rules)

    failed = db.execute(
        "select labels ->> 'rule' from alerts where tenant = %s and rule = 'RuleError'", [TENANT]
    ).fetchall()
    assert ("Busy",) in failed


def test_rules_are_evaluated_without_a_transaction_of_the_store(
    db: Db, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert_files.put(db, TENANT, UploadedFile(name="own", body=BUSY), by="ada")
    states: set[str] = set()
    evaluated = engine.step

    def watched(*args: Any, **kwargs: Any) -> engine.Evaluated:
        states.update(
            row[0]
            for row in db.execute(
                "select state from pg_stat_activity where application_name = 'mainstem watching'"
            )
        )
        return evaluated(*args, **kwargs)

    monkeypatch.setattr(engine, "step", watched)
    _watched(database_url, reached_ms=T0_MS + MINUTES * MINUTE_MS)

    assert states == {"idle"}
