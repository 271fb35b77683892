"""Expressions over the store come to what its own queries say."""

import pytest

from analytics.promql import instant, parse, ranged
from analytics.promql.series import InstantPoint
from streams.queries import rankings, sessions, trends
from streams.queries.sessions import Filter
from streams.series import span
from streams.series.measures import Db
from streams.series.promql_series import StoreSeries

pytestmark = pytest.mark.embedded

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def _asked(db: Db, text: str, at_ms: int, *, tenant: str = "local") -> dict[str, float]:
    storage = StoreSeries(db, tenant, until_ms=at_ms)
    found = instant(parse(text), storage, at_ms)
    assert isinstance(found, tuple)
    rows = [one for one in found if isinstance(one, InstantPoint)]
    return {",".join(value for _, value in one.labels): one.value for one in rows}


def _edge(now_ms: int) -> int:
    return now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS


@pytest.mark.parametrize("dimension", ["model", "agent", "project", "tool", "skill"])
def test_what_was_counted_by_one_label_is_what_the_ranking_says(
    fleet: Db, now_ms: int, dimension: str
) -> None:
    at_ms = _edge(now_ms)
    over = span.over(at_ms - 30 * DAY_MS, at_ms, now_ms=at_ms)

    text = f"sum by ({dimension}) (last_over_time(cost_usd_total{{{dimension}!=''}}[29d]))"
    found = _asked(fleet, text, at_ms)

    whole = rankings.top(fleet, "local", over, limit=50)[dimension]
    assert found == pytest.approx({one.name: one.cost_nanousd * 1e-9 for one in whole})


def test_a_counter_is_all_that_was_ever_counted(fleet: Db, now_ms: int) -> None:
    at_ms = _edge(now_ms)
    over = span.over(at_ms - 30 * DAY_MS, at_ms, now_ms=at_ms)
    trend = trends.measures(fleet, "local", over)
    listed = sessions.listed(
        fleet, "local", Filter(from_ms=at_ms - HOUR_MS, until_ms=at_ms), limit=1_000
    )

    for text, name, scale in (
        ("sum(last_over_time(requests_total[29d]))", "calls", 1),
        ("sum(last_over_time(cost_usd_total[29d]))", "cost_nanousd", 1e-9),
    ):
        found = _asked(fleet, text, at_ms)
        assert found[""] == pytest.approx(trend.total(name) * scale), text
    alive = _asked(fleet, "sum by (session_id) (session_requests_total)", at_ms)
    calls = {one.session_id: one.calls for one in listed}
    assert {name: value for name, value in alive.items() if value} == {
        name: calls[name] for name in alive if calls[name]
    }


def test_nothing_is_counted_twice_over_fleet_and_sessions(fleet: Db, now_ms: int) -> None:
    at_ms = _edge(now_ms)

    fleet_sum = _asked(fleet, "sum(last_over_time(prompts_total[2d]))", at_ms)
    of_sessions = _asked(fleet, "sum(last_over_time(session_prompts_total[2d]))", at_ms)

    assert fleet_sum == of_sessions


def test_quantiles_are_those_of_the_requests(fleet: Db, now_ms: int) -> None:
    at_ms = _edge(now_ms)
    over = span.over(at_ms - DAY_MS - HOUR_MS, at_ms, now_ms=at_ms)
    latency = trends.latency(fleet, "local", over, wanted=(0.5, 0.95))

    for share, value in latency.overall.items():
        text = f"histogram_quantile({share}, sum(rate(request_duration_ms[25h])))"
        assert _asked(fleet, text, at_ms)[""] == pytest.approx(value, rel=0.03)


def test_a_range_has_the_answers_of_its_moments(fleet: Db, now_ms: int) -> None:
    at_ms = _edge(now_ms)
    storage = StoreSeries(fleet, "local", until_ms=at_ms)
    text = "sum by (model) (increase(requests_total{model!=''}[30m]))"

    matrix = ranged(parse(text), storage, at_ms - 2 * HOUR_MS, at_ms, step_ms=10 * MINUTE_MS)

    assert matrix
    for step in range(0, 2 * HOUR_MS + 1, 30 * MINUTE_MS):
        moment = _asked(fleet, text, at_ms - step)
        here = {
            dict(one.labels)["model"]: value
            for one in matrix
            for time_ms, value in one.samples()
            if time_ms == at_ms - step
        }
        assert here == pytest.approx(moment)


@pytest.mark.requirement("tenant-isolated")
def test_another_tenants_series_are_not_there(fleet: Db, now_ms: int) -> None:
    assert _asked(fleet, "events_total", _edge(now_ms), tenant="stranger") == {}


def test_a_label_that_the_store_can_look_for_gives_the_same_as_one_it_cannot(
    fleet: Db, now_ms: int
) -> None:
    at_ms = _edge(now_ms)

    every = _asked(fleet, "sum by (agent) (last_over_time(events_total[2d]))", at_ms)

    for name, value in every.items():
        equal = _asked(fleet, f"sum(last_over_time(events_total{{agent='{name}'}}[2d]))", at_ms)
        like = _asked(fleet, f"sum(last_over_time(events_total{{agent=~'{name}'}}[2d]))", at_ms)
        assert equal == like == {"": value}
