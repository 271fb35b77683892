"""A store from before windows held the fuller account tells what its readers were told."""

from typing import Final

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from analytics.measures.rows import MEASURES
from streams.maintenance import rollups
from streams.queries import grouped, sessions, trends
from streams.queries.grouped import GroupedQuery
from streams.series import cover, span
from streams.series.measures import Db
from streams.store import levels, schema

FIRST_MEASURES = [name for name in MEASURES if not name.startswith("unpriced")]
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
NOW_MS: Final = 1_767_225_600_000 + 13 * HOUR_MS
MINUTES_SINCE_MS: Final = NOW_MS // DAY_MS * DAY_MS - 30 * DAY_MS
FIVES_SINCE_MS: Final = NOW_MS // DAY_MS * DAY_MS - 90 * DAY_MS
HOURS_SINCE_MS: Final = NOW_MS // DAY_MS * DAY_MS - 365 * DAY_MS
AGES_DAYS: Final = (0, 5, 50, 200, 500)
"""One for each width that is the finest one kept."""
NEW_VERSION: Final = 19

_WIDTHS: Final = {
    "window_10s": 10_000, "window_1m": 60_000, "rollup_5m": 300_000, "rollup_1h": HOUR_MS,
    "rollup_1d": DAY_MS,
}  # fmt: skip
_KEPT_SINCE: Final = {
    "window_10s": NOW_MS // DAY_MS * DAY_MS - 7 * DAY_MS, "window_1m": MINUTES_SINCE_MS,
    "rollup_5m": FIVES_SINCE_MS, "rollup_1h": HOURS_SINCE_MS, "rollup_1d": 0,
}  # fmt: skip
_SERIES: Final = """
insert into series (series_id, tenant, grain, project, session_id, agent, model, tool, skill,
                    query_source)
values (1, 'local', 'fleet', 'p', '', 'a', 'opus', '', '', ''),
       (2, 'local', 'fleet', 'p', '', 'a', 'opus', '', '', 'main'),
       (3, 'local', 'session', 'p', 'metrics', 'a', 'opus', '', '', ''),
       (4, 'local', 'session', 'p', 'both', 'a', 'opus', '', '', '')
"""
TOLD: Final = {"usage_input_tokens": 10, "usage_cost_nanousd": 1_000, "usage_lines_added": 2}
BOTH: Final = {"calls": 1, "input_tokens": 7, "cost_nanousd": 500, "usage_input_tokens": 6}


@pytest.mark.requirement("rollups-exact")
def test_sessions_that_only_metrics_told_of_count_as_before_at_every_age(empty_url: str) -> None:
    before = [one for one in schema.shipped() if one.version < NEW_VERSION]
    schema.migrate(empty_url, migrations=before)
    with psycopg.connect(empty_url, autocommit=True) as db:
        _fill(db)

    schema.migrate(empty_url)

    for _ in range(3):
        with psycopg.connect(empty_url, options="-c timezone=UTC", autocommit=True) as db:
            for count, days in enumerate((2, 20, 80, 300, 1_000), start=1):
                over = span.over(NOW_MS - days * DAY_MS, NOW_MS, now_ms=NOW_MS,
                                 since=cover.since(db))  # fmt: skip
                assert _sums(db, over) == (17 * count, 1_500 * count, 2 * count, count), days
                assert _groups(db, over) == {"opus": 17 * count}
            rollups.run(db, levels.detect(db), now_ms=NOW_MS)
            assert schema.migrate(empty_url).applied == ()
    with psycopg.connect(empty_url, autocommit=True) as db:
        assert _listed(db) == {"metrics": (50, 5_000, 10), "both": (35, 2_500, 0)}


def _fill(db: Db) -> None:
    """Write windows as they were, of each age at the widths that still keep it."""
    db.execute(_SERIES)
    for table, since in _KEPT_SINCE.items():
        db.execute(
            "insert into kept (name, since) values (%s, to_timestamp(%s / 1000.0))"
            " on conflict (name) do update set since = excluded.since",
            [table, since],
        )
    for days in AGES_DAYS:
        at_ms = NOW_MS - days * DAY_MS - 2 * HOUR_MS
        for table, width in _WIDTHS.items():
            is_rollup = table.startswith("rollup")
            if at_ms < _KEPT_SINCE[table] or (is_rollup and at_ms >= MINUTES_SINCE_MS):
                continue
            tables = [table]
            if is_rollup:
                _total(db, table.replace("rollup", "total"), at_ms // width * width)
            for name in tables:
                _cells(db, name, at_ms // width * width)
        if at_ms >= MINUTES_SINCE_MS:
            db.execute(
                "insert into rollup_due (start_at) values (to_timestamp(%s / 1000.0))",
                [at_ms // 300_000 * 300],
            )
    for session_id, sums in (("metrics", TOLD), ("both", BOTH)):
        _session(db, session_id, {name: n * len(AGES_DAYS) for name, n in sums.items()})


def _cells(db: Db, table: str, start_ms: int) -> None:
    for series_id, sums in ((1, BOTH), (2, TOLD), (3, TOLD), (4, BOTH)):
        own = {} if table.startswith("rollup") else {
            "log_id": 1, "partition": 0, "batch_offset": -1, "closed": True,
        }  # fmt: skip
        _insert(db, table, start_ms, {"series_id": series_id, **own}, sums)


def _total(db: Db, table: str, start_ms: int) -> None:
    whole = {name: TOLD.get(name, 0) + BOTH.get(name, 0) for name in {**TOLD, **BOTH}}
    for dimension, name in (("", ""), ("model", "opus"), ("agent", "a"), ("project", "p")):
        _insert(
            db, table, start_ms, {"tenant": "local", "dimension": dimension, "name": name}, whole
        )


def _insert(
    db: Db, table: str, start_ms: int, key: dict[str, object], sums: dict[str, int]
) -> None:
    values = {**key, **dict.fromkeys(FIRST_MEASURES, 0), **sums, "latency": b""}
    db.execute(
        SQL("insert into {} (start_at, {}) values (to_timestamp(%s / 1000.0), {})").format(
            Identifier(table),
            SQL(", ").join(map(Identifier, values)),
            SQL(", ").join([SQL("%s")] * len(values)),
        ),
        [start_ms, *values.values()],
    )


def _session(db: Db, session_id: str, sums: dict[str, int]) -> None:
    words = dict.fromkeys(
        ("attention", "version", "user_name", "team", "first_prompt"), ""
    ) | {"project": "p", "agent": "a", "model": "opus", "state": "idle"}  # fmt: skip
    values: dict[str, object] = {
        "tenant": "local", "session_id": session_id, **words, **dict.fromkeys(FIRST_MEASURES, 0),
        **sums, "latency": b"",
    }  # fmt: skip
    db.execute(
        SQL(
            "insert into sessions (last_at, started_at, state_since, {}) select at, at, at, {}"
            " from to_timestamp(%s / 1000.0) at"
        ).format(
            SQL(", ").join(map(Identifier, values)), SQL(", ").join([SQL("%s")] * len(values))
        ),
        [*values.values(), NOW_MS - HOUR_MS],
    )


def _sums(db: Db, over: span.Span) -> tuple[int, ...]:
    trend = trends.measures(db, "local", over)
    return tuple(
        trend.total(name) for name in ("input_tokens", "cost_nanousd", "lines_added", "calls")
    )


def _groups(db: Db, over: span.Span) -> dict[str, int]:
    wanted = GroupedQuery(span=over, measures=("input_tokens",), group_by=("model",))
    found = grouped.query(db, "local", wanted)
    return {one.labels["model"]: sum(point[1] for point in one.points) for one in found.groups}


def _listed(db: Db) -> dict[str, tuple[int, ...]]:
    wanted = sessions.Filter(from_ms=NOW_MS - 1_000 * DAY_MS, until_ms=NOW_MS)
    return {
        one.session_id: (one.input_tokens, one.cost_nanousd, one.lines_added)
        for one in sessions.listed(db, "local", wanted)
    }
