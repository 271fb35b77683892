"""Requests without a known cost are told as not priced, whatever is asked."""

import pytest

from analytics.promql import instant, parse
from analytics.promql.series import InstantPoint
from streams.queries import grouped, sessions, trends
from streams.queries.grouped import GroupedQuery
from streams.series import span
from streams.series.measures import Db
from streams.series.promql_series import StoreSeries
from tests.support import seeds

pytestmark = pytest.mark.embedded

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MEASURES = ("unpriced_calls", "unpriced_tokens")
GROUPINGS = ((), ("model",), ("agent",), ("agent", "model"), ("project", "skill"))


@pytest.fixture
def mixed(db: Db, now_ms: int) -> Db:
    """Write two sessions of models with a price, and one that went on with one without."""
    rows = seeds.Seeds()
    for number, (name, age_ms) in enumerate((("s1", 2 * MINUTE_MS), ("s2", 40 * HOUR_MS))):
        at_ms = now_ms - age_ms
        rows.session(name, at_ms=at_ms, project=f"p{number}", model="claude-opus-5")
        rows.call(name, at_ms, model="claude-opus-5", duration_ms=9, input_tokens=1_000,
                  cost_nanousd=5_000_000)  # fmt: skip
        rows.call(name, at_ms + 1, model="glm-4.6", duration_ms=9, input_tokens=100_000,
                  output_tokens=6_000, cache_read_tokens=500)  # fmt: skip
    rows.call("s1", now_ms - MINUTE_MS, model="kimi-k2", duration_ms=9, output_tokens=500)
    rows.failure("s1", now_ms - MINUTE_MS, model="glm-4.6", kind="server")
    rows.write(db)
    return db


@pytest.mark.parametrize("hours", [1, 24 * 3])
@pytest.mark.parametrize("group_by", GROUPINGS)
def test_any_grouping_adds_up_to_what_has_no_price(
    mixed: Db, now_ms: int, hours: int, group_by: tuple[str, ...]
) -> None:
    over = span.over(now_ms - hours * HOUR_MS, now_ms + MINUTE_MS, now_ms=now_ms)

    found = grouped.query(
        mixed, "local", GroupedQuery(span=over, measures=MEASURES, group_by=group_by)
    )

    points = [point for one in found.groups for point in one.points]
    calls, tokens = (2, 107_000) if hours == 1 else (3, 213_500)
    assert sum(point[1] for point in points) == calls
    assert sum(point[2] for point in points) == tokens
    trend = trends.measures(mixed, "local", over)
    assert tuple(trend.total(name) for name in MEASURES) == (calls, tokens)
    if group_by == ("model",):
        named = {one.labels["model"] for one in found.groups if any(p[2] for p in one.points)}
        assert named == {"glm-4.6", "kimi-k2"}


@pytest.mark.parametrize("step_ms", [10_000, MINUTE_MS, 300_000, HOUR_MS])
@pytest.mark.parametrize("group_by", [*GROUPINGS, ("session_id",), ("session_id", "model")])
def test_a_model_that_came_with_and_without_a_cost_counts_the_same_at_every_step(
    db: Db, now_ms: int, step_ms: int, group_by: tuple[str, ...]
) -> None:
    rows = seeds.Seeds()
    at_ms = now_ms // HOUR_MS * HOUR_MS - HOUR_MS
    rows.session("s1", at_ms=at_ms, model="m")
    costs: tuple[dict[str, int], ...] = ({"cost_nanousd": 7}, {}, {"cost_nanousd": 0}, {}, {})
    for number, cost in enumerate(costs):
        for apart_ms in (0, 2 * MINUTE_MS, 40 * MINUTE_MS):
            rows.call(
                "s1", at_ms + apart_ms + number * 1_000, model="m", duration_ms=9, agent_id="",
                skill="", estimated=False, input_tokens=100, **cost,
            )  # fmt: skip
    rows.write(db)
    over = span.stepped(at_ms, at_ms + HOUR_MS, step_ms, now_ms=now_ms, since={})

    found = grouped.query(
        db,
        "local",
        GroupedQuery(
            span=over, measures=("unpriced_calls", "unpriced_tokens", "calls"), group_by=group_by
        ),
    )

    points = [point[1:] for one in found.groups for point in one.points]
    assert [sum(column) for column in zip(*points, strict=True)] == [9, 900, 15]


def test_a_session_says_its_own(mixed: Db) -> None:
    found = [sessions.one(mixed, "local", name) for name in ("s1", "s2")]

    told = [(one.unpriced_calls, one.unpriced_tokens) for one in found if one is not None]
    assert told == [(2, 107_000), (1, 106_500)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "sum by (model) (last_over_time(unpriced_tokens_total[7d]))",
            {"glm-4.6": 213_000, "kimi-k2": 500},
        ),
        (
            "sum by (model) (last_over_time(unpriced_requests_total[7d]))",
            {"glm-4.6": 2, "kimi-k2": 1},
        ),
        (
            "sum by (session_id) (last_over_time(session_unpriced_tokens_total[7d]))",
            {"s1": 107_000, "s2": 106_500},
        ),
    ],
)
def test_an_expression_says_the_same(
    mixed: Db, now_ms: int, text: str, told: dict[str, int]
) -> None:
    at_ms = now_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS
    storage = StoreSeries(mixed, "local", until_ms=at_ms)

    found = instant(parse(text), storage, at_ms)

    assert isinstance(found, tuple)
    rows = [one for one in found if isinstance(one, InstantPoint)]
    said = {one.labels[0][1]: one.value for one in rows if one.value}
    assert said == told
