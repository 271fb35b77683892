"""What watching leaves in a store: readings, forecasts and budgets, for tests of its readers."""

import math
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import Connection
from psycopg.types.json import Jsonb

from analytics.monitoring.catalogue import Key, watch_id

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
HORIZONS: Final = {"hour": (300_000, 12), "day": (HOUR_MS, 24), "week": (HOUR_MS, 168)}
READ_MS: Final = 48 * HOUR_MS


def forecasts(
    db: Connection[Any], *, now_ms: int, tenant: str = "local", project: str = ""
) -> None:
    """Write two days of costs, a reading each ten minutes, and what is expected to follow."""
    key = Key("cost_usd", "project", project) if project else Key("cost_usd")
    made_ms = now_ms // HOUR_MS * HOUR_MS
    series = watch_id(tenant, key)
    named = (tenant, key.measure, key.dimension, key.part)
    db.execute(
        "insert into watched (watch_id, tenant, measure, dimension, part, since_ms, active_ms)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (series, *named, made_ms - READ_MS, made_ms),
    )
    with db.cursor().copy("copy scores (at, watch_id, value, low, high, score) from stdin") as rows:
        for at_ms in range(made_ms - READ_MS, made_ms, 10 * MINUTE_MS):
            cost = _cost(at_ms) / 6
            rows.write_row((_time(at_ms + MINUTE_MS), series, cost, 0.0, 2 * cost, 0.1))
    for horizon, (step_ms, steps) in HORIZONS.items():
        points = [_point(made_ms + (n + 1) * step_ms, step_ms, n) for n in range(steps)]
        db.execute(
            "insert into forecasts (tenant, measure, dimension, part, horizon, made_at, step_ms,"
            " points) values (%s, %s, %s, %s, %s, %s, %s, %s)",
            (*named, horizon, _time(made_ms), step_ms, Jsonb(points)),
        )


def budgets(db: Connection[Any], *, now_ms: int, tenant: str = "local") -> None:
    """Write a budget that runs out early, one that is used up and one nobody looked at yet."""
    for name, period, limit, known in (
        ("team", "day", 20.0, (15.0, 6 * HOUR_MS, 2 * HOUR_MS, 0.87)),
        ("search", "5h", 3.0, (3.4, HOUR_MS, 0, 1.0)),
        ("all of it", "week", 900.0, None),
    ):
        row: tuple[object, ...] = (None,) * 5
        if known is not None:
            spent, resets, exhausts, probability = known
            times = (_time(now_ms + resets), _time(now_ms + exhausts))
            row = (_time(now_ms), spent, *times, probability)
        db.execute(
            "insert into budgets (tenant, name, period, limit_usd, at, spent_usd, resets_at,"
            " exhausts_at, probability) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (tenant, name, period, limit, *row),
        )


def _cost(at_ms: int) -> float:
    return 4.0 + 3.0 * math.sin(2 * math.pi * at_ms / (24 * HOUR_MS))


def _point(at_ms: int, step_ms: int, step: int) -> dict[str, float]:
    mean = _cost(at_ms) * step_ms / HOUR_MS
    wide = mean * (0.2 + 0.002 * step)
    return {
        "at_ms": at_ms, "mean": mean, "low80": mean - wide, "high80": mean + wide,
        "low95": max(0.0, mean - 1.6 * wide), "high95": mean + 1.6 * wide,
    }  # fmt: skip


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC)
