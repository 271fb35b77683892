"""What alerting leaves behind goes after its time, and what is still needed stays."""

from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg

from streams.maintenance import expired_alerts
from streams.maintenance.retention import Retention
from tests.support.facts import T0_MS

NOW: Final = datetime.fromtimestamp(T0_MS / 1_000, tz=UTC)
OLD: Final = NOW - timedelta(days=400)
FRESH: Final = NOW - timedelta(days=20)


def _fill(db: "psycopg.Connection[tuple[object, ...]]") -> None:
    for name, at in (("old", OLD), ("fresh", FRESH)):
        for state in ("sent", "given up", "waiting"):
            db.execute(
                "insert into notices (key, tenant, at, receiver, integration, why, body, state)"
                " values (%s, 't', %s, 'r', 'i', 'firing', '', %s)",
                [f"{name} {state}", at, state],
            )
        for word in ("", "noise"):
            db.execute(
                "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part,"
                " expected_low, expected_high, score, rarity, ingredient, reason, contributors,"
                " feedback)"
                " values (%s, 't', %s, 1, 'm', '', '', 0, 1, 1, 0, 'i', 'r', '[]', %s)",
                [f"{name} {word}", at, word],
            )
        db.execute("insert into recordings values ('t', %s, '{}', 1)", [at])
        db.execute(
            "insert into alert_changes (tenant, at, fingerprint, labels, was, state)"
            " values ('t', %s, 'f', '{}', '', 'firing')",
            [at],
        )
        db.execute("insert into acknowledgements values ('t', 'f', %s, 'ada')", [at])
        db.execute(
            "insert into silences (silence_id, tenant, matchers, starts_at, ends_at, created_by,"
            " comment) values (%s, 't', '{a=\"b\"}', %s, %s, 'ada', 'known')",
            [name, OLD, at],
        )


def test_what_is_over_goes_after_its_time_and_what_waits_or_was_judged_stays(
    store_url: str,
) -> None:
    with psycopg.connect(store_url, autocommit=True) as db:
        _fill(db)

        removed = expired_alerts.remove(db, Retention(), now_ms=T0_MS)
        again = expired_alerts.remove(db, Retention(), now_ms=T0_MS)

        left = db.execute("select key from notices union select anomaly_id from anomalies")
        names = {row[0] for row in left}
    assert removed == {
        "notices": 2, "recordings": 1, "alert_changes": 1, "anomalies": 1, "silences": 1,
        "acknowledgements": 1,
    }  # fmt: skip
    assert set(again.values()) == {0}
    assert "old waiting" in names
    assert "old noise" in names
    assert {"fresh sent", "fresh given up", "fresh waiting", "fresh ", "fresh noise"} <= names
