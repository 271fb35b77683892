"""Grouped measures add up to what rankings and sessions say, whatever they are grouped by."""

import pytest

from streams.queries import grouped, rankings, sessions, trends
from streams.queries.grouped import BadQuestion, GroupedQuery
from streams.queries.sessions import Filter
from streams.series import span
from streams.series.measures import Db
from streams.series.span import Span
from streams.store import holdings

pytestmark = pytest.mark.embedded

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MEASURES = ("cost_nanousd", "calls", "input_tokens")


def _over(now_ms: int, hours: int) -> Span:
    return span.over(now_ms - hours * HOUR_MS, now_ms + 60_000, now_ms=now_ms)


def _sums(found: grouped.Grouped, place: int = 1) -> dict[tuple[str, ...], int]:
    return {
        tuple(one.labels.values()): sum(point[place] for point in one.points)
        for one in found.groups
    }


@pytest.mark.parametrize("hours", [1, 25, 24 * 7])
@pytest.mark.parametrize("dimension", holdings.DIMENSIONS)
def test_one_dimension_says_what_its_ranking_says(
    fleet: Db, now_ms: int, hours: int, dimension: str
) -> None:
    over = _over(now_ms, hours)

    found = grouped.query(
        fleet, "local", GroupedQuery(span=over, measures=MEASURES, group_by=(dimension,))
    )

    top = rankings.top(fleet, "local", over, limit=50)[dimension]
    named = {key: value for key, value in _sums(found).items() if key != ("",)}
    assert named == {(one.name,): one.cost_nanousd for one in top}
    assert not found.more


@pytest.mark.parametrize("hours", [1, 25, 24 * 7])
@pytest.mark.parametrize(
    "group_by", [(), ("agent", "model"), ("project", "tool"), ("session_id",), ("query_source",)]
)
def test_any_grouping_adds_up_to_the_whole(
    fleet: Db, now_ms: int, hours: int, group_by: tuple[str, ...]
) -> None:
    over = _over(now_ms, hours)

    found = grouped.query(
        fleet, "local", GroupedQuery(span=over, measures=MEASURES, group_by=group_by)
    )

    trend = trends.measures(fleet, "local", over)
    for place, name in enumerate(MEASURES, start=1):
        assert sum(_sums(found, place).values()) == trend.total(name), name


def test_sessions_are_told_apart_as_the_list_does(fleet: Db, now_ms: int) -> None:
    over = _over(now_ms, 25)

    found = grouped.query(
        fleet, "local", GroupedQuery(span=over, measures=MEASURES, group_by=("session_id",)),
    )  # fmt: skip

    day = Filter(from_ms=now_ms - DAY_MS - HOUR_MS, until_ms=now_ms + 60_000)
    listed = sessions.listed(fleet, "local", day, limit=1_000)
    assert {key: value for key, value in _sums(found).items() if value} == {
        (one.session_id,): one.cost_nanousd for one in listed if one.cost_nanousd
    }


def test_a_filter_keeps_the_groups_that_it_names(fleet: Db, now_ms: int) -> None:
    over = _over(now_ms, 25)
    every = grouped.query(
        fleet, "local", GroupedQuery(span=over, measures=MEASURES, group_by=("model",))
    )
    model = next(one.labels["model"] for one in every.groups if one.labels["model"])

    found = grouped.query(
        fleet, "local", GroupedQuery(span=over, measures=MEASURES, only={"model": (model,)})
    )

    assert _sums(found)[()] == _sums(every)[(model,)]


def test_of_more_groups_than_asked_for_the_largest_come(fleet: Db, now_ms: int) -> None:
    over = _over(now_ms, 25)
    every = _sums(
        grouped.query(
            fleet, "local", GroupedQuery(span=over, measures=MEASURES, group_by=("model",))
        )
    )

    found = grouped.query(
        fleet, "local", GroupedQuery(span=over, measures=MEASURES, group_by=("model",), limit=1)
    )

    assert found.more
    assert list(_sums(found).values()) == [max(every.values())]


@pytest.mark.requirement("tenant-isolated")
def test_another_tenant_is_told_nothing(fleet: Db, now_ms: int) -> None:
    wanted = GroupedQuery(span=_over(now_ms, 25), measures=MEASURES, group_by=("session_id",))

    assert grouped.query(fleet, "stranger", wanted).groups == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"measures": ("kittens",)}, "no measure 'kittens'"),
        ({"measures": ()}, "at least one measure"),
        ({"group_by": ("planet",)}, "no dimension 'planet'"),
        ({"group_by": ("model", "model")}, "each dimension once"),
        ({"only": {"planet": ("x",)}}, "no dimension 'planet'"),
        ({"group_by": ("session_id", "tool")}, "sessions are kept apart by"),
    ],
)
def test_what_no_series_answers_is_refused_with_the_reason(
    wrong: dict[str, object], said: str
) -> None:
    fields = {"span": Span(0, 60_000, 60_000, 60_000), "measures": ("calls",), **wrong}
    wanted = GroupedQuery(**fields)  # type: ignore[arg-type]  # wrong on purpose

    with pytest.raises(BadQuestion, match=said):
        grouped.check(wanted)
