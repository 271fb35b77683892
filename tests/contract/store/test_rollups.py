"""Rollups: whatever commits, jobs and retention do, and in whatever order, every span adds up."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import isnan

import psycopg
import pytest

from analytics.measures import sketch
from analytics.measures.rows import ON_TIME, ROLLED_MS, CellKey, CellRow, Grain, Measures
from streams.maintenance import jobs, retention, rollups
from streams.maintenance.retention import Retention
from streams.queries import rankings, trends
from streams.series import cover, span
from streams.series.measures import Db
from streams.store import levels, rollup_sums
from streams.store.checkpoint_postgres import PostgresCheckpoint, open_checkpoint
from tests.support.facts import T0_MS
from tests.support.outcomes import TENANT, PostgresLooker, cell, outcome

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOW_MS = T0_MS // DAY_MS * DAY_MS + 13 * HOUR_MS + 17 * MINUTE_MS
AGENTS = ("claude-code", "codex", "gemini")
SPANS_MS = (
    14 * MINUTE_MS, 50 * MINUTE_MS, 4 * HOUR_MS, 24 * HOUR_MS, 6 * DAY_MS, 29 * DAY_MS,
    80 * DAY_MS, 360 * DAY_MS, 1_500 * DAY_MS,
)  # fmt: skip


class Truth:
    """Commits to a store, and the plain sums of what was committed."""

    def __init__(self, checkpoints: PostgresCheckpoint, chance: random.Random) -> None:
        self.now_ms = NOW_MS
        self.apart: dict[int, Counter[tuple[int, str]]] = {width: Counter() for width in ROLLED_MS}
        self.minutes: dict[tuple[int, str, int], int] = {}
        self.narrow: dict[tuple[int, str, int], int] = {}
        self._checkpoints = checkpoints
        self._chance = chance
        self._offset = 0

    async def commit(self, *ages_ms: int, on_time: bool = False) -> None:
        """Commit one batch with an event of each age, as the fold would have counted it."""
        claim = await self._checkpoints.claim(cluster_id="c", topic="t", partition=0)
        place = ON_TIME if on_time else self._offset
        changed: dict[tuple[int, int, str], int] = {}
        for age_ms in ages_ms:
            at_ms, agent = self.now_ms - age_ms, self._chance.choice(AGENTS)
            for width in _widths(age_ms):
                key = (width, at_ms // width * width, agent)
                changed[key] = changed.get(key, 0) + 1
        cells = [self._cell(*key, place, calls) for key, calls in changed.items()]
        following = outcome(self._offset, self._offset + 1, raw=(), cells=tuple(cells))
        await self._checkpoints.commit(claim, following)
        self._offset += 1

    def points(self, over: span.Span) -> list[int]:
        """Return the calls at each point of a span."""
        found = [0] * over.points
        for start, _, calls in self._counted(over):
            found[(start - over.from_ms) // over.step_ms] += calls
        return found

    def by_agent(self, over: span.Span) -> dict[str, int]:
        """Return the calls of each agent over a span."""
        found: Counter[str] = Counter()
        for _, agent, calls in self._counted(over):
            found[agent] += calls
        return dict(found)

    def _counted(self, over: span.Span) -> Iterator[tuple[int, str, int]]:
        kept = self.narrow if over.width_ms == 10_000 else self.minutes
        rows = [(start, agent, calls) for (start, agent, _), calls in kept.items()]
        for (start, agent), calls in self.apart.get(over.width_ms, Counter()).items():
            rows.append((start, agent, calls))
        return (row for row in rows if over.from_ms <= row[0] < over.until_ms)

    def _cell(self, width: int, start: int, agent: str, place: int, calls: int) -> CellRow:
        if width in self.apart:
            self.apart[width][start, agent] += calls
        else:
            known = self.narrow if width == 10_000 else self.minutes
            calls += known.get((start, agent, place), 0)
            known[start, agent, place] = calls
        counts: sketch.Counts = {}
        for _ in range(calls):
            sketch.add(counts, 100 + start // MINUTE_MS % 900)
        return CellRow(
            key=CellKey(tenant=TENANT, grain=Grain.FLEET, agent=agent, model="m"),
            width_ms=width,
            start_ms=start,
            batch_offset=place,
            measures=Measures(calls=calls, events=calls, latency_count=calls),
            latency=sketch.to_bytes(counts),
            closed=place >= 0,
        )


def _widths(age_ms: int) -> tuple[int, ...]:
    """Return the widths that the fold counts an event of this age at."""
    if age_ms <= 7 * DAY_MS:
        return (10_000, MINUTE_MS)
    if age_ms <= 30 * DAY_MS:
        return (MINUTE_MS,)
    return tuple(
        width
        for width, days in zip(ROLLED_MS, (90, 365, 1_826), strict=True)
        if age_ms <= days * DAY_MS
    )


@pytest.mark.requirement("rollups-exact")
@pytest.mark.parametrize("seed", range(4))
async def test_every_span_adds_up_whatever_runs_in_between(store_url: str, seed: int) -> None:
    chance = random.Random(seed)
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        truth = Truth(checkpoints, chance)
        for _ in range(24):
            await _something(truth, store_url, chance)
            with _reading(store_url) as db:
                for length_ms in chance.sample(SPANS_MS, 3):
                    _check(db, truth, truth.now_ms - length_ms, truth.now_ms + MINUTE_MS)
        for days in range(2):
            _run(store_url, truth.now_ms + (1 + days) * DAY_MS)
        with _reading(store_url) as db:
            for length_ms in SPANS_MS:
                _check(db, truth, truth.now_ms - length_ms, truth.now_ms + MINUTE_MS)
    assert PostgresLooker(store_url).rows("select count(*) from rollup_due") == [(0,)]


async def _something(truth: Truth, url: str, chance: random.Random) -> None:
    """Let one of the things happen that happen to a store."""
    match chance.randrange(9):
        case 0 | 1 | 2:
            await truth.commit(*(chance.randrange(2 * MINUTE_MS) for _ in range(5)), on_time=True)
        case 3:
            await truth.commit(*(chance.randrange(2 * DAY_MS) for _ in range(4)))
        case 4:
            ages = [chance.randrange(29 * DAY_MS), chance.randrange(31 * DAY_MS, 89 * DAY_MS)]
            ages += [chance.randrange(91 * DAY_MS, 364 * DAY_MS)]
            await truth.commit(*ages, chance.randrange(366 * DAY_MS, 1_500 * DAY_MS))
        case 5 | 6:
            _run(url, truth.now_ms)
        case 7:
            truth.now_ms += chance.choice((MINUTE_MS, 20 * MINUTE_MS, 2 * HOUR_MS, DAY_MS))
        case _:
            with psycopg.connect(url, autocommit=True) as db:
                retention.apply(db, levels.detect(db), Retention(), now_ms=truth.now_ms)


def _check(db: Db, truth: Truth, from_ms: int, until_ms: int) -> None:
    over = span.over(from_ms, until_ms, now_ms=truth.now_ms, since=cover.since(db))

    trend = trends.measures(db, TENANT, over)
    took = trends.latency(db, TENANT, over, wanted=(0.5,))
    top = rankings.top(db, TENANT, over)["agent"]

    expected = truth.points(over)
    for name, column in trend.columns.items():
        counted = name in {"calls", "events", "latency_count"}
        assert column.tolist() == (expected if counted else [0] * over.points), name
    assert {one.name: one.calls for one in top} == truth.by_agent(over)
    assert [not isnan(value) for value in took.quantiles[0.5]] == [calls > 0 for calls in expected]


_MARKED = """
insert into rollup_due (width_ms, start_at)
select 300000, date_bin('5 minutes', to_timestamp(%s), 'epoch')
"""


def _run(url: str, now_ms: int) -> dict[str, object]:
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as db:
        return rollups.run(db, levels.detect(db), now_ms=now_ms)


@contextmanager
def _reading(url: str) -> Iterator[Db]:
    with psycopg.connect(url, options="-c timezone=UTC") as db:
        yield db


@pytest.mark.requirement("rollups-exact")
async def test_a_commit_that_a_run_does_not_see_is_rolled_up_after_it(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        truth = Truth(checkpoints, random.Random(1))
        await truth.commit(0, on_time=True)
        _run(store_url, NOW_MS)
        await truth.commit(0, on_time=True)
        with ThreadPoolExecutor(1) as threads:
            with psycopg.connect(store_url) as holder:
                holder.execute("lock table total_5m in access exclusive mode")
                running = threads.submit(_run, store_url, NOW_MS)
                _until_waiting(store_url)
                await truth.commit(0, on_time=True)
            ran = running.result(60)

        after = _run(store_url, NOW_MS)

    assert ran["periods"] == after["periods"] == {"5m": 1, "1h": 0, "1d": 0}
    with _reading(store_url) as db:
        _check(db, truth, NOW_MS - HOUR_MS, NOW_MS + MINUTE_MS)


async def test_a_period_that_is_marked_without_end_is_made_once_a_run(store_url: str) -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        with psycopg.connect(store_url, autocommit=True) as another:
            another.execute(_MARKED, [NOW_MS / 1_000])
        return looks * rollups.RUN_S / 1_000

    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        await Truth(checkpoints, random.Random(4)).commit(0, on_time=True)
    with psycopg.connect(store_url, autocommit=True, options="-c timezone=UTC") as db:
        ran = rollups.run(db, levels.detect(db), now_ms=NOW_MS, clock=clock)

    assert ran["periods"] == {"5m": 1, "1h": 0, "1d": 0}
    assert looks < 20


def _until_waiting(url: str) -> None:
    waiting = (
        "select count(*) from pg_locks join pg_stat_activity using (pid)"
        " where datname = current_database() and not granted"
    )
    with psycopg.connect(url, autocommit=True) as db:
        for _ in range(10_000):
            if db.execute(waiting).fetchone() == (1,):
                return
    pytest.fail("the run never came to the lock")


async def test_what_is_due_is_not_dropped(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        truth = Truth(checkpoints, random.Random(2))
        await truth.commit(0, HOUR_MS)
    truth.now_ms += 40 * DAY_MS

    with psycopg.connect(store_url, autocommit=True) as db:
        retention.apply(db, levels.detect(db), Retention(), now_ms=truth.now_ms)
        assert db.execute("select count(*) from window_1m").fetchone() == (2,)
        rollups.run(db, levels.detect(db), now_ms=truth.now_ms)
        retention.apply(db, levels.detect(db), Retention(), now_ms=truth.now_ms)
        assert db.execute("select count(*) from window_1m").fetchone() == (0,)

    with _reading(store_url) as db:
        _check(db, truth, truth.now_ms - 60 * DAY_MS, truth.now_ms)


async def test_a_minute_that_comes_after_its_day_was_dropped_is_counted_in_wider_windows(
    store_url: str,
) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        truth = Truth(checkpoints, random.Random(3))
        await truth.commit(0, MINUTE_MS)
        truth.now_ms += 40 * DAY_MS
        _run(store_url, truth.now_ms)
        with psycopg.connect(store_url, autocommit=True) as db:
            retention.apply(db, levels.detect(db), Retention(), now_ms=truth.now_ms)
        before = truth.now_ms
        truth.now_ms = NOW_MS
        await truth.commit(0, HOUR_MS)
        truth.now_ms = before

    for _ in range(2):
        with _reading(store_url) as db:
            counted = [
                trends.measures(
                    db, TENANT, span.over(before - days * DAY_MS, before, now_ms=before)
                ).total("calls")
                for days in (60, 300, 1_000)
            ]
        assert counted == [4, 4, 4]
        _run(store_url, truth.now_ms)
    assert PostgresLooker(store_url).rows("select count(*) from window_1m") == [(0,)]


async def test_sums_saturate_in_rollups_and_in_answers(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        claim = await checkpoints.claim(cluster_id="c", topic="t", partition=0)
        rows = [
            cell(1, width_ms=MINUTE_MS, start_ms=T0_MS, batch_offset=place, measures=huge)
            for place, huge in enumerate([Measures(cost_nanousd=2**63 - 1, events=1)] * 3)
        ]
        await checkpoints.commit(claim, outcome(0, 1, cells=tuple(rows)))
    over = span.over(T0_MS - DAY_MS, T0_MS + HOUR_MS, now_ms=T0_MS + HOUR_MS)

    for _ in range(2):
        with _reading(store_url) as db:
            trend = trends.measures(db, TENANT, over)
        assert int(trend.columns["cost_nanousd"].max()) == 2**63 - 1
        _run(store_url, NOW_MS)


def test_merged_sketches_are_canonical() -> None:
    chance = random.Random(4)
    pieces = [
        [
            {chance.randrange(-40, 40): chance.randrange(1, 9) for _ in range(chance.randrange(6))}
            for _ in range(chance.randrange(4))
        ]
        for _ in range(50)
    ]

    found = rollup_sums.merged([b"".join(map(sketch.to_bytes, some)) for some in pieces])

    for some, data in zip(pieces, found, strict=True):
        whole: sketch.Counts = {}
        for piece in some:
            sketch.merge(whole, piece)
        assert data == sketch.to_bytes(whole)


async def test_a_run_says_what_waits_and_for_how_long(store_url: str) -> None:
    async with open_checkpoint(store_url, clock=lambda: NOW_MS) as checkpoints:
        await Truth(checkpoints, random.Random(5)).commit(0, HOUR_MS, DAY_MS)

    ran = jobs.run_due_now(store_url, Retention(), now_ms=NOW_MS)

    assert "rollups" in ran
    detail = PostgresLooker(store_url).rows("select detail from jobs where name = 'rollups'")[0][0]
    assert detail == {
        "periods": {"5m": 3, "1h": 0, "1d": 0}, "moved": 0, "waiting": 0, "lag_s": 0.0,
    }  # fmt: skip
