"""The law of groups: whatever is asked, they are what the events come to, and add up to the whole.

For every measure, each dimension and pair, every step, filters, both books, and whatever the rollup
job and retention did before: not settled, settled, settled in part, and dropped.
"""

import random
from collections.abc import Iterator
from itertools import combinations
from typing import Final
from zoneinfo import ZoneInfo

import psycopg
import pytest

from analytics.alerts.rules.exposed import FLEET
from analytics.measures.rows import MEASURES
from analytics.promql.series import NAME, MatchOperator, SeriesMatcher
from streams.queries import grouped
from streams.queries.grouped import DIMENSIONS, OF_SESSIONS, SESSION, GroupedQuery
from streams.series import cover, span
from streams.series.measures import EVENT_MEASURES, Db
from streams.series.promql_series import StoreSeries
from streams.series.span import Span
from streams.store import holdings
from streams.store.checkpoint_postgres import open_checkpoint
from tests.support.facts import T0_MS
from tests.support.groupings import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    TENANT,
    VALUES,
    History,
    told,
)

pytestmark = pytest.mark.requirement("rollups-exact")

NOW_MS: Final = T0_MS // DAY_MS * DAY_MS + 13 * HOUR_MS + 17 * MINUTE_MS
RANGES_MS: Final = {
    10_000: HOUR_MS, MINUTE_MS: 30 * HOUR_MS, 300_000: 30 * HOUR_MS, HOUR_MS: 60 * DAY_MS,
    DAY_MS: 900 * DAY_MS, 7 * DAY_MS: 900 * DAY_MS,
}  # fmt: skip
"""How far back is asked with each step."""
GROUPINGS: Final = tuple(
    by
    for count in range(3)
    for by in combinations(DIMENSIONS, count)
    if SESSION not in by or {*by} <= OF_SESSIONS
)
ONE_AT_MOST: Final = tuple(by for by in GROUPINGS if len(by) < 2)
PAIRS: Final = tuple(by for by in GROUPINGS if len(by) == 2)
"""Some of them are asked of each span, and in all runs of a state each of them."""
STATES: Final = ("unsettled", "settled", "settled in part", "dropped")


async def _played(history: History, state: str) -> None:
    """Bring a store into a state, with events of every age in it."""
    chance = random.Random(3)
    await history.commit([
        *(chance.randrange(HOUR_MS) for _ in range(40)),
        *(chance.randrange(2 * DAY_MS) for _ in range(40)),
        *(chance.randrange(29 * DAY_MS) for _ in range(20)),
        *(chance.randrange(31 * DAY_MS, 800 * DAY_MS) for _ in range(20)),
    ])  # fmt: skip
    if state == "unsettled":
        return
    history.settle()
    if state == "settled in part":
        await history.commit([chance.randrange(HOUR_MS) for _ in range(10)])
        history.roll_up()
        await history.commit([chance.randrange(2 * DAY_MS) for _ in range(20)])
    if state == "dropped":
        history.now_ms += 32 * DAY_MS
        history.retain()
        await history.commit([chance.randrange(2 * DAY_MS) for _ in range(20)])


def _spans(db: Db, history: History) -> Iterator[Span]:
    since = cover.since(db, TENANT)
    for step_ms, range_ms in RANGES_MS.items():
        from_ms, until_ms = history.now_ms - range_ms, history.now_ms + MINUTE_MS
        yield span.stepped(from_ms, until_ms, step_ms, now_ms=history.now_ms, since=since)
    for range_ms in (2 * HOUR_MS, 40 * DAY_MS, 80 * DAY_MS):
        from_ms = history.now_ms - range_ms
        yield span.over(from_ms, history.now_ms, now_ms=history.now_ms, since=since)


def _check(db: Db, history: History, wanted: GroupedQuery) -> None:
    found = grouped.query(db, TENANT, wanted)

    assert told(found) == history.answer(wanted), (wanted.span, wanted.group_by, wanted.only)
    assert not found.more


@pytest.mark.parametrize("state", STATES)
async def test_groups_are_what_the_events_come_to(store_url: str, state: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        history = History(checkpoints, store_url, now_ms=NOW_MS, seed=5)
        await _played(history, state)
    chance = random.Random(17)
    with psycopg.connect(store_url, options="-c timezone=UTC") as db:
        for over in _spans(db, history):
            for by in (*ONE_AT_MOST, *chance.sample(PAIRS, 8)):
                _check(
                    db,
                    history,
                    GroupedQuery(span=over, measures=EVENT_MEASURES, group_by=by, limit=500),
                )


@pytest.mark.parametrize("state", ["settled", "settled in part"])
async def test_a_filter_keeps_what_the_events_of_its_values_come_to(
    store_url: str, state: str
) -> None:
    chance = random.Random(11)
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        history = History(checkpoints, store_url, now_ms=NOW_MS, seed=7)
        await _played(history, state)
    with psycopg.connect(store_url, options="-c timezone=UTC") as db:
        for over in _spans(db, history):
            for name in DIMENSIONS:
                only = {name: tuple(chance.sample(VALUES[name], 1 + chance.randrange(2)))}
                asked = [
                    by
                    for by in GROUPINGS
                    if SESSION not in {*by, name} or {*by, name} <= OF_SESSIONS
                ]
                for by in ((), (name,), chance.choice(asked)):
                    wanted = GroupedQuery(
                        span=over, measures=EVENT_MEASURES, group_by=by, only=only, limit=500
                    )
                    _check(db, history, wanted)


def test_every_table_of_sums_is_declared_with_what_the_database_has(store_url: str) -> None:
    with psycopg.connect(store_url) as db:
        rows = db.execute(
            "select table_name, array_agg(column_name::text) from information_schema.columns"
            " where table_schema = 'public'"
            "   and table_name ~ '^(window|rollup|total)_(10s|1m|5m|1h|1d)$' group by 1"
        ).fetchall()

    assert {name for name, _ in rows} == set(holdings.TABLES)
    for name, columns in rows:
        key = {"tenant", "dimension", "name"} if name.startswith("total") else {"series_id"}
        assert {*MEASURES, "start_at", "latency", *key} <= set(columns), name


async def test_a_total_has_rows_of_what_it_declares_and_of_nothing_else(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        history = History(checkpoints, store_url, now_ms=NOW_MS, seed=5)
        await _played(history, "settled")

    with psycopg.connect(store_url) as db:
        for one in holdings.TOTALS.values():
            query = f"select distinct dimension from {one.table}"
            found = {dimension for (dimension,) in db.execute(query.encode())}
            assert found == {"", *one.dimensions}, one.table


ZONES: Final = ("America/Los_Angeles", "Asia/Kolkata", "Australia/Lord_Howe")


@pytest.mark.parametrize("state", STATES)
async def test_days_of_a_place_and_cut_ranges_are_what_the_events_come_to(
    store_url: str, state: str
) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        history = History(checkpoints, store_url, now_ms=NOW_MS, seed=13)
        await _played(history, state)
    with psycopg.connect(store_url, options="-c timezone=UTC") as db:
        for over in _local_spans(db, history):
            for by in ((), ("model",), ("agent", "tool")):
                _check(
                    db,
                    history,
                    GroupedQuery(span=over, measures=EVENT_MEASURES, group_by=by, limit=500),
                )


def _local_spans(db: Db, history: History) -> Iterator[Span]:
    """Yield spans in steps of places, each whole and cut to the minute, and spans of UTC cut."""
    since, now_ms = cover.since(db, TENANT), history.now_ms
    for name in ("", *ZONES):
        zone = ZoneInfo(name) if name else None
        for step_ms, range_ms in LOCAL_MS:
            from_ms = now_ms - range_ms
            whole = span.stepped(from_ms, now_ms, step_ms, now_ms=now_ms, since=since, zone=zone)
            yield whole
            yield span.within(whole, from_ms + 7 * MINUTE_MS, now_ms, now_ms=now_ms, since=since)


LOCAL_MS: Final = (
    (HOUR_MS, DAY_MS), (3 * HOUR_MS, 5 * DAY_MS), (DAY_MS, 20 * DAY_MS), (DAY_MS, 80 * DAY_MS),
    (7 * DAY_MS, 60 * DAY_MS),
)  # fmt: skip


@pytest.mark.parametrize("back_ms", [HOUR_MS, 40 * DAY_MS, 120 * DAY_MS])
@pytest.mark.parametrize("state", STATES)
async def test_a_counter_is_all_that_its_series_ever_counted_however_far_back_it_is_asked(
    store_url: str, state: str, back_ms: int
) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        history = History(checkpoints, store_url, now_ms=NOW_MS, seed=5)
        await _played(history, state)
        await history.commit([MINUTE_MS] * 60)
    until_ms = history.now_ms
    asked = [SeriesMatcher(NAME, MatchOperator.EQUAL, "input_tokens_total")]

    with psycopg.connect(store_url, options="-c timezone=UTC") as db:
        storage = StoreSeries(db, TENANT, until_ms=until_ms)
        found = storage.select(asked, until_ms - back_ms, until_ms)

    told = [
        (labels, at_ms, value)
        for one in found
        for labels in [{name: dict(one.labels).get(name, "") for name in FLEET}]
        for at_ms, value in zip(one.times[::97].tolist(), one.values[::97], strict=True)
    ]
    assert len(told) > 20
    for labels, at_ms, value in told:
        assert value == history.counted("input_tokens", labels, before_ms=at_ms), labels
