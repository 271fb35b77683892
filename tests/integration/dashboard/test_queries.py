"""The queries add up to each other, keep tenants apart and stay within their limits."""

import numpy as np
import pytest

from streams.maintenance.facts import facts
from streams.queries import rankings, session_events, sessions, system, trends
from streams.queries.session_events import Stretch
from streams.queries.sessions import FACETS, Filter
from streams.series import span
from streams.series.measures import Db
from tests.support import seeds

pytestmark = pytest.mark.embedded

DAY_MS = 86_400_000


def _day(now_ms: int) -> Filter:
    return Filter(from_ms=now_ms - DAY_MS - 3_600_000, until_ms=now_ms + 60_000)


@pytest.mark.parametrize("hours", [25, 48, 24 * 7, 24 * 30])
def test_every_resolution_gives_the_same_sums_as_the_sessions(
    fleet: Db, now_ms: int, hours: int
) -> None:
    over = span.over(now_ms - hours * 3_600_000, now_ms + 60_000, now_ms=now_ms)

    trend = trends.measures(fleet, "local", over)
    top = rankings.top(fleet, "local", over, limit=50)
    listed = sessions.listed(fleet, "local", _day(now_ms), limit=1_000)

    for name in ("prompts", "calls", "cost_nanousd", "input_tokens", "tool_calls", "call_errors"):
        assert trend.total(name) == sum(getattr(one, name) for one in listed), name
    for dimension in ("agent", "model", "project"):
        assert sum(one.cost_nanousd for one in top[dimension]) == trend.total("cost_nanousd")
    assert sum(one.tool_calls for one in top["tool"]) == trend.total("tool_calls")
    assert len(trend.at_ms) <= span.POINTS_MAX


def test_quantiles_of_a_span_are_those_of_its_requests(fleet: Db, now_ms: int) -> None:
    over = span.over(now_ms - 25 * 3_600_000, now_ms + 60_000, now_ms=now_ms)
    took = fleet.execute(
        "select duration_ms from events where tenant = 'local' and type = 'request.finished'"
    ).fetchall()

    found = trends.latency(fleet, "local", over, wanted=(0.5, 0.95, 0.99))

    for q, value in found.overall.items():
        exact = np.quantile([row[0] for row in took], q, method="lower")
        assert value == pytest.approx(exact, rel=0.012)
    assert found.complete


@pytest.mark.requirement("tenant-isolated")
def test_no_query_shows_another_tenants_rows(fleet: Db, now_ms: int) -> None:
    over = span.over(now_ms - 3_600_000, now_ms + 60_000, now_ms=now_ms)
    part = Stretch(session_id="secret", from_ms=0, until_ms=now_ms + 60_000)
    day = _day(now_ms)

    shown = [
        trends.measures(fleet, "umbrella", over).total("cost_nanousd") == 10**12,
        rankings.top(fleet, "local", over, limit=50),
        sessions.listed(fleet, "local", day, limit=1_000),
        sessions.facets(fleet, "local", day),
        sessions.needing_attention(fleet, "local", since_ms=0, limit=1_000),
        sessions.one(fleet, "local", "secret"),
        session_events.lanes(fleet, "local", part),
        session_events.marks(fleet, "local", part),
        session_events.prompts(fleet, "local", part),
        session_events.page(fleet, "local", part),
        system.dead_letters(fleet, "umbrella", since_ms=0),
    ]

    assert shown[0] is True
    assert "hidden" not in str(shown)
    assert "secret" not in str(shown[1:])
    assert shown[5:] == [None, (), (), (), (), ()]
    assert session_events.count(fleet, "local", part) == 0


def test_of_each_session_the_fuller_account_counts_in_lists_and_in_sums(
    db: Db, now_ms: int
) -> None:
    rows = seeds.Seeds()
    rows.session("both", at_ms=now_ms - 60_000)
    rows.call("both", now_ms - 50_000, model="m", duration_ms=5, cost_nanousd=7, input_tokens=70)
    rows.usage("both", now_ms - 50_000, cost_nanousd=8, input_tokens=80)
    rows.session("metrics", at_ms=now_ms - 60_000)
    rows.usage("metrics", now_ms - 40_000, cost_nanousd=100, input_tokens=1_000)
    rows.write(db)
    over = span.over(now_ms - 3_600_000, now_ms + 10_000, now_ms=now_ms)

    trend = trends.measures(db, "local", over)
    listed = {one.session_id: one for one in sessions.listed(db, "local", _day(now_ms))}

    assert sessions.count_by_metrics(db, "local", _day(now_ms)) == 1
    assert (trend.total("cost_nanousd"), trend.total("input_tokens")) == (108, 1_080)
    assert trend.total("events") == 5
    assert (listed["both"].cost_nanousd, listed["both"].metrics_only) == (8, False)
    assert (listed["metrics"].cost_nanousd, listed["metrics"].metrics_only) == (100, True)


def test_filters_search_sort_and_pages_agree_with_the_count(fleet: Db, now_ms: int) -> None:
    day = _day(now_ms)
    everything = sessions.listed(fleet, "local", day, limit=1_000)

    for name in FACETS:
        for value in sessions.facets(fleet, "local", day)[name]:
            wanted = Filter(from_ms=day.from_ms, until_ms=day.until_ms, **{name: value})
            assert sessions.count(fleet, "local", wanted) == len(
                sessions.listed(fleet, "local", wanted, limit=1_000)
            )
    paged = [
        one.session_id
        for offset in range(0, 40, 7)
        for one in sessions.listed(fleet, "local", day, sort="cost", offset=offset, limit=7)
    ]
    dear = sorted(everything, key=lambda one: (-one.cost_nanousd, one.session_id))
    assert paged == [one.session_id for one in dear]


@pytest.mark.parametrize("search", ["%", "_", "\\", "' or 1=1 --", "x" * 200])
def test_a_search_is_taken_as_it_stands(fleet: Db, now_ms: int, search: str) -> None:
    day = _day(now_ms)

    found = sessions.count(
        fleet, "local", Filter(from_ms=day.from_ms, until_ms=day.until_ms, search=search)
    )

    assert found == sum(
        search in one.first_prompt for one in sessions.listed(fleet, "local", day, limit=1_000)
    )


def test_what_waits_comes_before_what_is_stuck_limited_or_failing(fleet: Db) -> None:
    found = sessions.needing_attention(fleet, "local", since_ms=0, limit=6)

    states = [one.state for one in found]
    assert states[:4] == ["waiting", "waiting", "stuck", "rate_limited"]
    assert found[0].state_since_ms <= found[1].state_since_ms
    assert all(one.errors for one in found[4:])


def test_what_prompts_cost_adds_up_to_the_session_though_reports_repeat(
    db: Db, now_ms: int
) -> None:
    rows = seeds.Seeds()
    rows.session("s", at_ms=now_ms - 60_000)
    rows.prompt("s", now_ms - 50_000, "first")
    rows.call("s", now_ms - 40_000, model="m", duration_ms=5, cost_nanousd=70)
    rows.prompt("s", now_ms - 30_000, "second")
    rows.call("s", now_ms - 20_000, model="m", duration_ms=5, cost_nanousd=5)
    rows.events.append(rows.events[-1])
    rows.write(db)
    part = Stretch(session_id="s", from_ms=now_ms - 60_000, until_ms=now_ms)

    found = session_events.prompts(db, "local", part)

    assert [(one.text, one.calls, one.cost_nanousd) for one in found] == [
        ("first", 1, 70), ("second", 1, 5),
    ]  # fmt: skip
    assert found[0].until_ms == found[1].at_ms


def test_waits_last_until_the_next_event(db: Db, now_ms: int) -> None:
    rows = seeds.Seeds()
    rows.session("s", at_ms=now_ms - 60_000)
    rows.wait("s", now_ms - 50_000, "may I?")
    rows.tool("s", now_ms - 38_000, tool="Bash", duration_ms=5)
    rows.write(db)
    part = Stretch(session_id="s", from_ms=now_ms - 60_000, until_ms=now_ms)

    assert session_events.waited_ms(db, "local", part) == (1, 12_000)


def test_the_system_tells_progress_graves_windows_and_the_store(fleet: Db, now_ms: int) -> None:
    progress = system.progress(fleet)
    store = facts(fleet)

    assert [one.partition for one in progress] == [0, 1, 2, 3]
    assert sum(one.late_count for one in progress) == 6
    assert {one.number for one in system.reasons(fleet, "local", since_ms=0)} == {1}
    assert system.dead_letters(fleet, "local", since_ms=0)[0].payload.startswith(b"{")
    assert [one.name for one in store.jobs] == ["partitions", "retention"]
    assert {one.table for one in system.windows(fleet, "local", since_ms=now_ms - DAY_MS)} == {
        "window_10s", "window_1m",
    }  # fmt: skip
    assert store.level == "postgresql"
    assert sum(one.size_bytes for one in store.tables) < store.size_bytes
    assert next(one for one in store.tables if one.name == "events").size_bytes > 100_000
