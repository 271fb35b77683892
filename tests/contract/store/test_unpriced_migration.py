"""A store from before what is not priced had columns tells as much of it as its rows can say."""

from collections.abc import Mapping
from typing import Final

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from streams.maintenance import rollups
from streams.queries import grouped, sessions
from streams.queries.grouped import GroupedQuery
from streams.series import cover, span
from streams.series.measures import Db
from streams.store import levels, schema

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
NOW_MS: Final = 1_767_225_600_000 + 13 * HOUR_MS
RECENT_MS: Final = NOW_MS - 2 * HOUR_MS
OLD_MS: Final = NOW_MS // DAY_MS * DAY_MS - 50 * DAY_MS
MINUTES_SINCE_MS: Final = NOW_MS // DAY_MS * DAY_MS - 30 * DAY_MS
NEW_VERSIONS: Final = {0, 16}
MEASURES: Final = ("unpriced_calls", "unpriced_tokens")
PRICED: Final = {"calls": 1, "input_tokens": 10, "cost_nanousd": 5, "events": 1}
UNPRICED: Final = {"calls": 2, "input_tokens": 30, "cache_read_tokens": 4, "events": 2}
FREE: Final = {"tool_calls": 1, "events": 1}
MIXED: Final = {"calls": 3, "input_tokens": 40, "cache_read_tokens": 4, "cost_nanousd": 5}

_SERIES: Final = """
insert into series (series_id, tenant, grain, project, session_id, agent, model, tool, skill,
                    query_source)
values (1, 'local', 'fleet', 'p', '', 'a', 'm', '', '', ''),
       (2, 'local', 'session', 'p', 's', 'a', 'm', '', '', '')
"""
_SESSION: Final = """
insert into sessions (last_at, started_at, state_since, tenant, session_id, project, agent, model,
                      state, attention, version, user_name, team, first_prompt, latency, {})
select at, at, at, 'local', 's', 'p', 'a', 'm', 'idle', '', '', '', '', '', '', {}
  from to_timestamp(%s / 1000.0) at
"""


@pytest.mark.requirement("rollups-exact")
def test_what_was_not_priced_before_is_still_told_the_same_at_every_step(empty_url: str) -> None:
    before = [one for one in schema.shipped() if one.version not in NEW_VERSIONS]
    schema.migrate(empty_url, migrations=before)
    with psycopg.connect(empty_url, autocommit=True) as db:
        _fill(db)

    schema.migrate(empty_url)

    with psycopg.connect(empty_url, options="-c timezone=UTC", autocommit=True) as db:
        for later_ms in (0, HOUR_MS, 4 * HOUR_MS):
            for step_ms in (10_000, 60_000, 300_000, HOUR_MS):
                assert _told(db, RECENT_MS, step_ms) == (2, 34), step_ms
            for step_ms in (300_000, HOUR_MS, DAY_MS):
                assert _told(db, OLD_MS, step_ms) == (2, 34), step_ms
            rollups.run(db, levels.detect(db), now_ms=NOW_MS + later_ms)
        session = sessions.one(db, "local", "s")
    assert session is not None
    assert (session.unpriced_calls, session.unpriced_tokens) == (2, 34)


def _fill(db: Db) -> None:
    """Write a minute of two hours ago with requests of both sorts, and a day of long ago."""
    db.execute(_SERIES)
    for table in ("window_10s", "window_1m"):
        db.execute(
            "insert into kept (name, since) values (%s, to_timestamp(%s / 1000.0))"
            " on conflict (name) do update set since = excluded.since",
            [table, MINUTES_SINCE_MS],
        )
    own = {"log_id": 1, "partition": 0, "batch_offset": -1, "closed": True}
    for series_id in (1, 2):
        for second, sums in enumerate((PRICED, UNPRICED, FREE)):
            start_ms = RECENT_MS + second * 10_000
            _insert(db, "window_10s", start_ms, {"series_id": series_id, **own, **sums})
        _insert(db, "window_1m", RECENT_MS, {"series_id": series_id, **own, **MIXED})
        for second, sums in enumerate((PRICED, UNPRICED)):
            start_ms = OLD_MS + second * 300_000
            _insert(db, "rollup_5m", start_ms, {"series_id": series_id, **sums})
        for table in ("rollup_1h", "rollup_1d"):
            _insert(db, table, OLD_MS, {"series_id": series_id, **MIXED})
    for dimension, name in (("", ""), ("model", "m")):
        key = {"tenant": "local", "dimension": dimension, "name": name}
        for second, sums in enumerate((PRICED, UNPRICED)):
            _insert(db, "total_5m", OLD_MS + second * 300_000, {**key, **sums})
        for table in ("total_1h", "total_1d"):
            _insert(db, table, OLD_MS, {**key, **MIXED})
    db.execute(
        "insert into rollup_due (start_at) values (to_timestamp(%s / 1000.0))", [RECENT_MS // 1000]
    )
    named = db.execute(
        "select attname from pg_attribute where attrelid = 'sessions'::regclass and attnotnull"
        " and atttypid = 'int8'::regtype and attidentity = '' and not atthasdef and attnum > 0"
    ).fetchall()
    sums = {str(name): MIXED.get(str(name), 0) for (name,) in named}
    query = SQL(_SESSION).format(
        SQL(", ").join(map(Identifier, sums)), SQL(", ").join([SQL("%s")] * len(sums))
    )
    db.execute(query, [*sums.values(), RECENT_MS])


def _insert(db: Db, table: str, start_ms: int, values: Mapping[str, object]) -> None:
    values = {**values, "latency": b""}
    db.execute(
        SQL("insert into {} (start_at, {}) values (to_timestamp(%s / 1000.0), {})").format(
            Identifier(table),
            SQL(", ").join(map(Identifier, values)),
            SQL(", ").join([SQL("%s")] * len(values)),
        ),
        [start_ms, *values.values()],
    )


def _told(db: Db, from_ms: int, step_ms: int) -> tuple[int, ...]:
    """Return the sums over a stretch, which must be the same by model and as a whole."""
    start_ms = from_ms // step_ms * step_ms
    over = span.stepped(
        start_ms, start_ms + max(step_ms, HOUR_MS), step_ms, now_ms=NOW_MS,
        since=cover.since(db, "local"),
    )  # fmt: skip
    found = set()
    for by in ((), ("model",), ("agent", "model"), ("session_id",)):
        answer = grouped.query(db, "local", GroupedQuery(span=over, measures=MEASURES, group_by=by))
        points = [point[1:] for one in answer.groups for point in one.points]
        found.add(tuple(sum(column) for column in zip(*points, strict=True)))
    (told,) = found
    return told
