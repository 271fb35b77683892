"""What people tell alerting is checked, kept, and what the stage reads."""

from collections.abc import Iterator
from typing import Final

import pytest
from msgspec import structs
from psycopg.types.json import Jsonb

from analytics.alerts import matchers
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import BadSilence, Silence
from analytics.contracts.errors import Refused, StoreAway
from streams.clients.times import instant
from streams.monitoring import alerts
from streams.store import controls
from streams.store.controls import BadControl, BudgetLimit, Db, NotThere
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

TENANT: Final = "local"
NOW_MS: Final = 1_800_000_000_000
HOUR_MS: Final = 3_600_000


@pytest.fixture
def db(database_url: str) -> Iterator[Db]:
    with controls.opened(database_url) as connection:
        yield connection


def _draft(text: str = '{agent="a1"}', **given: int) -> Silence:
    return silences.drafted(
        text,
        starts_at_ms=given.get("starts_at_ms", NOW_MS),
        ends_at_ms=given.get("ends_at_ms", NOW_MS + HOUR_MS),
        created_by="ada",
        comment="known",
    )


def _alert(db: Db, fingerprint: str, state: str = "firing", tenant: str = TENANT) -> None:
    db.execute(
        "insert into alerts (tenant, fingerprint, rule, labels, annotations, state, active_at)"
        " values (%s, %s, 'Slow', %s, '{}', %s, now())",
        [tenant, fingerprint, Jsonb({"alertname": "Slow", "agent": fingerprint}), state],
    )


def _read(db: Db, at_ms: int = NOW_MS) -> list[str]:
    """Return the ids of the silences that the stage has in force."""
    rows = db.execute(alerts._SILENCES, [TENANT, instant(at_ms)])
    return [one.id for one in map(alerts._silence, rows) if one.holds(at_ms)]


@pytest.mark.requirement("alert-controls-checked")
def test_a_silence_is_what_the_stage_reads_until_it_is_expired(db: Db) -> None:
    _alert(db, "a1")
    _alert(db, "a2", "pending")

    added = controls.add_silence(db, TENANT, _draft(), now_ms=NOW_MS)

    assert added.reach.count == 1
    assert _read(db) == [added.silence.id]
    over = controls.expire_silence(db, TENANT, added.silence.id, now_ms=NOW_MS + 1_000)
    assert over.ends_at_ms == NOW_MS + 1_000
    assert _read(db, NOW_MS + 1_000) == []


def test_a_silence_that_begins_now_holds_where_alerting_is_in_event_time(db: Db) -> None:
    reached_ms = NOW_MS - 45_000
    db.execute("insert into situations values (%s, %s, '')", [TENANT, reached_ms])

    added = controls.add_silence(db, TENANT, _draft(), now_ms=NOW_MS)
    later = controls.add_silence(db, TENANT, _draft(starts_at_ms=NOW_MS + 60_000), now_ms=NOW_MS)

    assert _read(db, reached_ms) == [added.silence.id]
    assert later.silence.starts_at_ms == NOW_MS + 60_000


def test_a_silence_is_replaced_and_never_edited(db: Db) -> None:
    first = controls.add_silence(db, TENANT, _draft(), now_ms=NOW_MS).silence
    wider = structs.replace(_draft('{agent=~"a.*"}'), replaces=first.id)

    second = controls.add_silence(db, TENANT, wider, now_ms=NOW_MS + 5_000).silence

    assert second.replaces == first.id
    assert _read(db, NOW_MS + 5_000) == [second.id]


def test_a_preview_shows_the_alerts_that_matchers_hold_for(db: Db) -> None:
    _alert(db, "a1")
    _alert(db, "a2", "pending")
    _alert(db, "a3", "resolved")
    _alert(db, "a4", tenant="other")

    shown = controls.preview_silence(db, TENANT, matchers.parse('{alertname="Slow"}'))

    assert [(one.fingerprint, one.state) for one in shown] == [("a1", "firing"), ("a2", "pending")]


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        ('{agent=~".*"}', "everything"),
        ("{}", "matchers"),
        ('agent="', "quote"),
    ],
)
def test_a_silence_without_meaning_is_refused(draft: str, reason: str) -> None:
    with pytest.raises(BadSilence, match=reason):
        _draft(draft)


def test_a_silence_that_is_over_already_is_refused_and_one_that_is_not_there_too(db: Db) -> None:
    with pytest.raises(BadSilence, match="future"):
        controls.add_silence(
            db, TENANT, _draft(starts_at_ms=NOW_MS - 9, ends_at_ms=NOW_MS - 1), now_ms=NOW_MS
        )
    with pytest.raises(NotThere, match="no silence 'x'"):
        controls.expire_silence(db, TENANT, "x", now_ms=NOW_MS)
    assert _read(db) == []


@pytest.mark.requirement("alert-controls-checked")
def test_nobody_ends_the_silence_of_another_tenant(db: Db) -> None:
    added = controls.add_silence(db, TENANT, _draft(), now_ms=NOW_MS)

    with pytest.raises(NotThere):
        controls.expire_silence(db, "other", added.silence.id, now_ms=NOW_MS)
    assert _read(db) == [added.silence.id]


def test_an_alert_that_fires_is_acknowledged_and_no_other(db: Db) -> None:
    _alert(db, "a1")
    _alert(db, "a2", "pending")

    controls.acknowledge(db, TENANT, "a1", by="ada", now_ms=NOW_MS)

    rows = db.execute(alerts._ACKNOWLEDGED, [TENANT, instant(NOW_MS), 30]).fetchall()
    assert rows == [("a1", "ada", NOW_MS)]
    with pytest.raises(NotThere, match="is pending"):
        controls.acknowledge(db, TENANT, "a2", by="ada", now_ms=NOW_MS)
    with pytest.raises(NotThere, match="no alert"):
        controls.acknowledge(db, TENANT, "a3", by="ada", now_ms=NOW_MS)
    with pytest.raises(BadControl, match="who acknowledges"):
        controls.acknowledge(db, TENANT, "a1", by=" ", now_ms=NOW_MS)


def test_words_on_anomalies_are_of_three_kinds(db: Db) -> None:
    db.execute(
        "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part,"
        " expected_low, expected_high, score, rarity, ingredient, reason, contributors)"
        " values ('x', %s, now(), 1, 'tokens', '', '', 0, 1, 1, 0, 'level', 'high', '[]')",
        [TENANT],
    )

    controls.set_feedback(db, TENANT, "x", "noise", by="ada")

    row = db.execute("select feedback, feedback_by from anomalies").fetchone()
    assert row == ("noise", "ada")
    with pytest.raises(BadControl, match="'maybe'"):
        controls.set_feedback(db, TENANT, "x", "maybe", by="ada")
    with pytest.raises(NotThere):
        controls.set_feedback(db, "other", "x", "useful", by="ada")


def test_a_budget_that_changes_forgets_what_was_said_of_it(db: Db) -> None:
    controls.put_budget(db, TENANT, BudgetLimit(name="b", period="day", limit_usd=5), by="ada")
    db.execute("update budgets set spent_usd = 3, at = now(), probability = 0.5")

    controls.put_budget(db, TENANT, BudgetLimit(name="b", period="week", limit_usd=9), by="ben")

    query = "select period, limit_usd, changed_by, spent_usd, at, probability from budgets"
    assert db.execute(query).fetchall() == [("week", 9.0, "ben", None, None, None)]
    controls.remove_budget(db, TENANT, "b")
    with pytest.raises(NotThere):
        controls.remove_budget(db, TENANT, "b")


@pytest.mark.parametrize(
    "budget",
    [
        BudgetLimit(name="", period="day", limit_usd=1),
        BudgetLimit(name="b", period="month", limit_usd=1),
        BudgetLimit(name="b", period="day", limit_usd=0),
        BudgetLimit(name="b", period="day", limit_usd=float("nan")),
        BudgetLimit(name="b", period="day", limit_usd=float("inf")),
    ],
)
def test_a_budget_without_meaning_is_refused(db: Db, budget: BudgetLimit) -> None:
    with pytest.raises(BadControl):
        controls.put_budget(db, TENANT, budget, by="ada")


def test_what_postgresql_cannot_hold_is_refused_and_a_store_that_is_away_is_said_to_be(
    db: Db, database_url: str
) -> None:
    with pytest.raises(Refused):
        controls.put_budget(
            db, TENANT, BudgetLimit(name="b", period="day", limit_usd=1, project="\0"), by="ada"
        )
    with pytest.raises(StoreAway), controls.opened(database_url.replace("/test_", "/none_")):
        raise AssertionError("a database that is not there was opened")
