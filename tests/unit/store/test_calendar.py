"""Steps in a time zone: each moment in one, and days begin at the place's midnight."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.contracts.errors import Refused
from streams.series import calendar, span

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ZONES = (
    "UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Asia/Kathmandu",
    "Australia/Lord_Howe", "America/Havana", "America/Sao_Paulo", "Pacific/Apia", "Asia/Tehran",
)  # fmt: skip
STEPS_MS = (600_000, HOUR_MS, 3 * HOUR_MS, 12 * HOUR_MS, DAY_MS, 7 * DAY_MS)

moments = st.integers(
    int(datetime(2010, 1, 1, tzinfo=UTC).timestamp()),
    int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()),
).map(lambda second: second * 1_000)


@given(
    name=st.sampled_from(ZONES),
    start=moments,
    days=st.integers(1, 40),
    step=st.sampled_from(STEPS_MS),
)
def test_steps_follow_each_other_and_cover_the_range(
    name: str, start: int, days: int, step: int
) -> None:
    zone, until = ZoneInfo(name), start + days * DAY_MS

    edges = calendar.starts(start, until, step, zone)

    assert edges[0] <= start < calendar.end(edges[0], step, zone)
    assert edges[-1] < until <= calendar.end(edges[-1], step, zone)
    for one, after in pairwise(edges):
        assert calendar.end(one, step, zone) == after
        assert one < after <= one + step + HOUR_MS
    assert calendar.fit(edges, 300_000)


@given(name=st.sampled_from(ZONES), start=moments)
def test_every_moment_is_in_the_step_of_its_own_day(name: str, start: int) -> None:
    zone = ZoneInfo(name)
    edges = calendar.starts(start, start + 5 * DAY_MS, DAY_MS, zone)

    for at_ms in range(start, start + 5 * DAY_MS, 47 * 60_000):
        begun = max(edge for edge in edges if edge <= at_ms)
        assert _local(begun, zone).date() == _local(at_ms, zone).date()


def test_a_week_begins_on_the_monday_of_the_place() -> None:
    zone = ZoneInfo("America/Los_Angeles")
    start = int(datetime(2026, 11, 4, 12, tzinfo=zone).timestamp() * 1_000)

    edges = calendar.starts(start, start + 8 * DAY_MS, 7 * DAY_MS, zone)

    assert [_local(one, zone).isoformat() for one in edges] == [
        "2026-11-02T00:00:00-08:00", "2026-11-09T00:00:00-08:00",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "a" * 500, "Europe"])
def test_what_is_no_zone_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(calendar.BadZone, match="Europe/Berlin"):
        calendar.zone_of(name)


NOW_MS = int(datetime(2026, 11, 30, 13, 17, 5, tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("name", "width"),
    [("Europe/Berlin", HOUR_MS), ("Asia/Kolkata", 300_000), ("Asia/Kathmandu", 300_000)],
)
def test_days_are_made_of_the_widest_windows_that_lie_in_them(name: str, width: int) -> None:
    found = span.stepped(
        NOW_MS - 30 * DAY_MS, NOW_MS, DAY_MS, now_ms=NOW_MS, since={}, zone=ZoneInfo(name)
    )

    assert found.width_ms == width
    assert found.zone == name


@pytest.mark.parametrize(
    ("name", "days", "setting"),
    [
        ("Europe/Berlin", 366, "MAINSTEM_STREAMS_WINDOW_1H_DAYS"),
        ("Asia/Kolkata", 91, "MAINSTEM_STREAMS_WINDOW_5M_DAYS"),
    ],
)
def test_days_of_a_place_from_before_what_they_are_made_of_are_refused(
    name: str, days: int, setting: str
) -> None:
    start = NOW_MS - days * DAY_MS

    with pytest.raises(Refused, match=setting):
        span.stepped(start, NOW_MS, DAY_MS, now_ms=NOW_MS, since={}, zone=ZoneInfo(name))


@example(minutes=109_479, step=3_600_000, name="Australia/Lord_Howe")  # moves by half an hour
@given(
    minutes=st.integers(2, 800 * 1_440), step=st.sampled_from((60_000, *STEPS_MS)),
    name=st.sampled_from(("", *ZONES)),
)  # fmt: skip
def test_a_range_is_moved_out_by_less_than_what_is_kept_there(
    minutes: int, step: int, name: str
) -> None:
    from_ms, zone = NOW_MS - minutes * 60_000 - 12_345, ZoneInfo(name) if name else None
    try:
        whole = span.stepped(from_ms, NOW_MS, step, now_ms=NOW_MS, since={}, zone=zone)
    except Refused:
        return

    found = span.within(whole, from_ms, NOW_MS, now_ms=NOW_MS, since={})

    age = NOW_MS - from_ms
    room = next(w for w in span.ALL_MS[1:] if age + w <= span.KEPT_MS[w] or w == span.ALL_MS[-1])
    assert from_ms - max(room, 60_000) < found.from_ms <= from_ms
    assert NOW_MS <= found.until_ms < NOW_MS + max(room, 60_000)
    assert found.points_ms == whole.points_ms


def _local(at_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, tz=UTC).astimezone(zone)
