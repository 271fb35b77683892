"""What watching left in a store, asked for by people and by rules."""

from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from analytics import promql
from analytics.contracts.ids import TenantId
from analytics.promql import InstantPoint
from streams.queries import monitoring
from streams.queries.monitoring import AnomalyFilter
from streams.series.promql_series import follow
from streams.series.recent import Recent
from streams.series.store_series import GAUGES, EverySeries
from tests.support import watching_run
from tests.support.database import fresh, migrated_template, postgres
from tests.support.facts import T0_MS
from tests.support.watched_windows import TENANT, Window, fleet, session, write

__all__ = ["migrated_template", "postgres"]

MINUTES: Final = 125
REACHED_MS: Final = T0_MS + MINUTES * 60_000
LOCAL: Final = TenantId(TENANT)
Db = Connection[TupleRow]


def _windows() -> Iterator[Window]:
    for minute in range(MINUTES):
        cost = 500_000_000 if minute == MINUTES - 1 else 9_000_000 + minute % 7 * 100_000
        counts = {"cost_nanousd": cost, "calls": 5, "latency_bucket": 80 + minute % 9}
        yield fleet(model="m"), minute, counts
        yield session("s1"), minute, {"cost_nanousd": 1_000_000, "tool_calls": 1}
        yield fleet("stranger", model="m"), minute, {"cost_nanousd": 10, "calls": 1}


@pytest.fixture(scope="module")
def watched_url(postgres: str, migrated_template: str) -> Iterator[str]:
    """Give a store that was watched for two hours."""
    for url in fresh(postgres, template=migrated_template):
        _watched(url)
        yield url


@pytest.fixture
def db(watched_url: str) -> Iterator[Db]:
    """Give a connection to the store."""
    with psycopg.connect(watched_url) as connection:
        yield connection


def _watched(database_url: str) -> None:
    write(database_url, _windows(), reached_minutes=MINUTES)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into budgets (tenant, name, period, limit_usd) values (%s, 'daily', 'day', 2)",
            [TENANT],
        )
        connection.execute(
            "insert into dead_letters (at, topic, partition, log_offset, tenant, origin, reason,"
            " payload) select to_timestamp(%s / 1000.0 - 600), 't', 0, n, %s, '', '', ''"
            " from generate_series(1, 3) as n",
            [REACHED_MS, TENANT],
        )
    watching_run.watched(database_url, reached_ms=REACHED_MS)


def _asked(db: Db, text: str) -> dict[tuple[tuple[str, str], ...], float]:
    series = EverySeries(db, TENANT, until_ms=REACHED_MS)
    found = promql.instant(promql.parse(text), series, REACHED_MS)
    assert isinstance(found, tuple)
    return {one.labels: one.value for one in found if isinstance(one, InstantPoint)}


@pytest.mark.embedded
def test_what_was_found_is_told_to_its_tenant_alone(db: Db) -> None:
    which = AnomalyFilter(from_ms=T0_MS, until_ms=REACHED_MS, measure="cost_usd")

    found = monitoring.anomalies(db, LOCAL, which)
    [newest] = monitoring.anomalies(db, LOCAL, which, limit=1)
    after = monitoring.anomalies(db, LOCAL, which, after=(newest.at_ms, newest.anomaly_id))

    assert {(one.dimension, one.part) for one in found} == {("", ""), ("model", "m")}
    assert found == (newest, *after)
    assert all(one.at_ms == REACHED_MS and one.value == pytest.approx(0.5) for one in found)
    assert monitoring.anomalies(db, TenantId("nobody"), which) == ()


@pytest.mark.embedded
def test_a_timeline_shows_every_reading_of_the_whole_with_its_band(db: Db) -> None:
    first, *_ = monitoring.watched(db, LOCAL)

    line = monitoring.timeline(
        db, LOCAL, first.watch_id, from_ms=REACHED_MS - 3_600_000, until_ms=REACHED_MS
    )
    strangers = monitoring.timeline(
        db, TenantId("stranger"), first.watch_id, from_ms=0, until_ms=REACHED_MS
    )

    assert (first.measure, first.dimension) == ("cost_usd", "")
    assert len(line) == 60
    assert all(one.low <= one.value <= one.high for one in line[:-1])
    assert line[-1].value > line[-1].high
    assert strangers == ()


@pytest.mark.embedded
def test_forecasts_and_budgets_say_what_is_to_come(db: Db) -> None:
    hour = {one.measure: one for one in monitoring.forecasts(db, LOCAL, horizon="hour")}
    [budget] = monitoring.budgets(db, LOCAL)

    assert {"cost_usd", "requests"} <= hour.keys()
    assert len(hour["cost_usd"].points) == 12
    assert hour["cost_usd"].points[0]["at_ms"] == hour["cost_usd"].made_ms + 300_000
    assert budget.spent_usd is not None
    assert 1 < budget.spent_usd < 2
    assert budget.probability is not None
    assert budget.probability > 0.9


@pytest.mark.embedded
def test_rules_can_ask_for_scores_forecasts_budgets_sessions_and_dead_letters(db: Db) -> None:
    odd = _asked(db, 'max by (model) (anomaly_score{series="cost_usd_total"}) > 0.99')
    whole = _asked(db, 'anomaly_score{series="cost_usd_total", model=""}')
    of_session = _asked(db, 'anomaly_score{series="session_cost_usd_total", session_id="s1"}')

    assert (("model", "m"),) in odd
    assert len(whole) == 1
    assert len(of_session) == 1
    assert _asked(db, "forecast_exhaustion_seconds")
    assert _asked(db, 'forecast_high{level="95",series="cost_usd_total"}')
    assert _asked(db, "sum(increase(dead_letters_total[30m])) > 2")
    assert _asked(db, "cost_usd_total")


@pytest.mark.embedded
def test_every_gauge_has_a_family_and_another_tenant_sees_nothing(db: Db) -> None:
    strangers = EverySeries(db, "nobody", until_ms=REACHED_MS)

    for name in GAUGES:
        assert promql.instant(promql.parse(name), strangers, REACHED_MS) == ()


EXPRESSIONS: Final = (
    "cost_usd_total",
    "sum by (model) (increase(requests_total[10m]))",
    "rate(session_tool_calls_total{session_id=~'s.*'}[5m])",
    "histogram_quantile(0.9, rate(request_duration_ms[30m]))",
    "sum(increase(cost_usd_total[1h]))",
    "requests_total offset 30m",
    "max_over_time(requests_total[20m])",
    "requests_total{model='nobody'}",
    "sum(requests_total offset 1d)",
)


@pytest.mark.embedded
@pytest.mark.parametrize("stepped", [1, 7, MINUTES])
def test_what_is_at_hand_answers_as_the_store_does_at_every_moment(db: Db, stepped: int) -> None:
    recent = Recent(TENANT)
    for minute in range(stepped, MINUTES + 1, stepped):
        at_ms = T0_MS + minute * 60_000
        follow(recent, db, TENANT, at_ms)
        if minute % 31 and minute < MINUTES - stepped:
            continue
        for text in EXPRESSIONS:
            read = EverySeries(db, TENANT, until_ms=at_ms)
            at_hand = EverySeries(db, TENANT, until_ms=at_ms, recent=recent)
            expected = promql.instant(promql.parse(text), read, at_ms)
            found = promql.instant(promql.parse(text), at_hand, at_ms)
            assert _rows(found) == pytest.approx(_rows(expected)), (text, minute)


def _rows(found: promql.Result) -> dict[object, float]:
    assert isinstance(found, tuple)
    return {one.labels: one.value for one in found if isinstance(one, InstantPoint)}


@pytest.mark.embedded
def test_what_is_too_old_is_let_go_and_still_counted(db: Db) -> None:
    recent, late_ms = Recent(TENANT), T0_MS + (MINUTES + 100) * 60_000
    follow(recent, db, TENANT, REACHED_MS)

    follow(recent, db, TENANT, late_ms)

    assert not recent.covers(T0_MS, REACHED_MS)
    assert recent.covers(late_ms - 600_000, late_ms)
    assert len(recent.rows("fleet", 0, late_ms).ids) == 30
    asked = promql.parse("sum(last_over_time(requests_total[2h]))")
    expected = promql.instant(asked, EverySeries(db, TENANT, until_ms=late_ms), REACHED_MS)
    found = promql.instant(
        asked, EverySeries(db, TENANT, until_ms=late_ms, recent=recent), REACHED_MS
    )
    assert found == expected
