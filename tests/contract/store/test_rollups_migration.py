"""A store from before there were rollups keeps its answers: hours of old, minutes since then."""

import random
from collections import Counter

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from analytics.measures.rows import MEASURES
from streams.maintenance import rollups
from streams.queries import trends
from streams.series import cover, span
from streams.series.measures import Db
from streams.store import levels, schema

FIRST_MEASURES = [name for name in MEASURES if not name.startswith("unpriced")]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_767_225_600_000 + 13 * HOUR_MS + 1_700_000
MINUTES_SINCE_MS = NOW_MS // DAY_MS * DAY_MS - 30 * DAY_MS + 7 * HOUR_MS
"""Some moment in a day of which the hours before it have no minutes."""

_SERIES = """
insert into series (series_id, tenant, grain, project, session_id, agent, model, tool, skill,
                    query_source)
values (1, 'local', 'fleet', '', '', 'a', 'm', '', '', '')
"""


@pytest.mark.requirement("rollups-exact")
def test_a_store_from_before_answers_as_it_did(empty_url: str) -> None:
    schema.migrate(empty_url, migrations=[one for one in schema.shipped() if _is_old(one)])
    with psycopg.connect(empty_url, autocommit=True) as db:
        events = _fill(db)

    schema.migrate(empty_url)

    for hours in range(4):
        with psycopg.connect(empty_url, options="-c timezone=UTC", autocommit=True) as db:
            for days in (1, 6, 29, 31, 80, 300, 1_000):
                assert _calls(db, days) == _expected(events, db, days), days
            rollups.run(db, levels.detect(db), now_ms=NOW_MS + hours * HOUR_MS)
            assert schema.migrate(empty_url).applied == ()


def _is_old(one: schema.Migration) -> bool:
    return one.label in {
        "0001_ground", "0002_facts.postgresql", "0002_facts.timescaledb", "0003_batch_rows",
    }  # fmt: skip


def _fill(db: psycopg.Connection[tuple[object, ...]]) -> list[int]:
    """Write windows as they were: all events by the hour, and newer ones by the minute too."""
    chance = random.Random(5)
    ages = [int(chance.uniform(0, 1) ** 3 * 400 * DAY_MS) for _ in range(300)]
    events = [NOW_MS - age for age in ages] + [MINUTES_SINCE_MS - 1, MINUTES_SINCE_MS]
    db.execute(_SERIES)
    _write(db, "window_1h", HOUR_MS, events)
    _write(db, "window_1m", 60_000, [at for at in events if at >= MINUTES_SINCE_MS])
    _write(db, "window_10s", 10_000, [at for at in events if at >= NOW_MS - 7 * DAY_MS])
    return events


def _write(
    db: psycopg.Connection[tuple[object, ...]], table: str, width: int, events: list[int]
) -> None:
    counted = Counter((at // width * width, at % 2) for at in events)
    columns = [
        "calls",
        "events",
        *(name for name in FIRST_MEASURES if name not in {"calls", "events"}),
    ]
    query = SQL(
        "insert into {} (start_at, series_id, log_id, partition, batch_offset, {}, latency, closed)"
        " values (to_timestamp(%s / 1000.0), 1, 1, 0, %s, %s, %s, {}, '', true)"
    ).format(
        Identifier(table),
        SQL(", ").join(map(Identifier, columns)),
        SQL(", ").join([SQL("0")] * (len(columns) - 2)),
    )
    for (start, place), calls in counted.items():
        db.execute(query, [start, place - 1, calls, calls])


def _over(db: Db, days: int) -> span.Span:
    return span.over(NOW_MS - days * DAY_MS, NOW_MS, now_ms=NOW_MS, since=cover.since(db))


def _calls(db: Db, days: int) -> list[int]:
    return [int(n) for n in trends.measures(db, "local", _over(db, days)).columns["calls"]]


def _expected(events: list[int], db: Db, days: int) -> list[int]:
    over = _over(db, days)
    found = [0] * over.points
    for at in events:
        if over.from_ms <= at < over.until_ms:
            found[(at - over.from_ms) // over.step_ms] += 1
    return found
