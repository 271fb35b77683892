"""Rows of what watching found, for tests of pages that show it: series, anomalies and alerts."""

from typing import Any, Final

from psycopg import Connection
from psycopg.types.json import Jsonb

MINUTE_MS: Final = 60_000
WATCH_ID: Final = 4_711
ANOMALY_ID: Final = "anomaly-1"
FIRING: Final = "f1"
_AT: Final = "to_timestamp(%s / 1000.0)"


def series(
    db: Connection[Any], *, now_ms: int, minutes: int = 55, tenant: str = "local",
    watch_id: int = WATCH_ID, part: str = "sonnet", reason: str = "far above its expected range",
) -> None:  # fmt: skip
    """Write one watched series with its readings, and one anomaly in it."""
    db.execute(
        "insert into watched (watch_id, tenant, measure, dimension, part, since_ms, active_ms)"
        " values (%s, %s, 'cost_usd', 'model', %s, %s, %s)",
        [watch_id, tenant, part, now_ms - minutes * MINUTE_MS, now_ms],
    )
    last_ms = now_ms // MINUTE_MS * MINUTE_MS
    odd = minutes // 2
    for minute in range(minutes):
        at_ms = last_ms - minute * MINUTE_MS
        value = 9.5 if minute == odd else 1.0 + minute % 5 / 10
        db.execute(
            f"insert into scores values ({_AT}, %s, %s, 0.8, 1.6, %s)",
            [at_ms, watch_id, value, 0.999 if minute == odd else 0.2],
        )
    db.execute(
        "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part, value,"
        " expected_low, expected_high, score, rarity, ingredient, reason, contributors)"
        f" values (%s, %s, {_AT}, %s, 'cost_usd', 'model', %s, 9.5, 0.8, 1.6, 0.999, 1e-6,"
        " 'residual', %s, %s)",
        [ANOMALY_ID if tenant == "local" else f"{tenant}-1", tenant, last_ms - odd * MINUTE_MS,
         watch_id, part, reason,
         Jsonb([{"dimension": "project", "part": part, "change": 8.0, "share": 0.9}])],
    )  # fmt: skip


def alerts(
    db: Connection[Any], *, now_ms: int, tenant: str = "local", words: str = "cost is high"
) -> None:
    """Write a firing, a pending, a silenced and a resolved alert, with a change of state."""
    for fingerprint, name, state, silenced in (
        (FIRING, "CostSpike", "firing", []),
        ("f2", "TokensRise", "pending", []),
        ("f3", "KnownNoise", "firing", ["s1"]),
        ("f4", "WasSlow", "resolved", []),
    ):
        labels = {"alertname": name, "severity": "critical", "model": words}
        db.execute(
            "insert into alerts (tenant, fingerprint, rule, labels, annotations, state, value,"
            " active_at, starts_at, ends_at, silenced_by)"
            f" values (%s, %s, %s, %s, %s, %s, 3.25, {_AT}, {_AT}, {_AT}, %s)",
            [tenant, f"{fingerprint}" if tenant == "local" else f"{tenant}-{fingerprint}", name,
             Jsonb(labels), Jsonb({"summary": words}), state, now_ms - 20 * MINUTE_MS,
             None if state == "pending" else now_ms - 15 * MINUTE_MS,
             now_ms if state == "resolved" else None, silenced],
        )  # fmt: skip
    db.execute(
        "insert into alert_changes (tenant, at, fingerprint, labels, was, state, value)"
        f" values (%s, {_AT}, %s, %s, 'pending', 'firing', 3.25)",
        [tenant, now_ms - 15 * MINUTE_MS, FIRING, Jsonb({"alertname": "CostSpike"})],
    )
    db.execute(
        "insert into silences (silence_id, tenant, matchers, starts_at, ends_at, created_by,"
        f" comment) values (%s, %s, %s, {_AT}, {_AT}, 'ada', %s)",
        ["s1" if tenant == "local" else f"{tenant}-s1", tenant, '{alertname="KnownNoise"}',
         now_ms - MINUTE_MS, now_ms + 60 * MINUTE_MS, words],
    )  # fmt: skip
