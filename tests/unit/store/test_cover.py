"""What answers a span: every moment of it once, and nothing that is not settled."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.measures.rows import ROLLED_MS
from streams.series import cover, span
from streams.series.cover import Cover, Range, TableCover

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_767_225_600_000 + 13 * HOUR_MS + 17 * MINUTE_MS + 4_321
WIDTHS = {"10s": 10_000, "1m": MINUTE_MS, "5m": 300_000, "1h": HOUR_MS, "1d": DAY_MS}
APART = ("window_5m", "window_1h", "window_1d")

lengths = st.sampled_from([5, 19, 50, 290, 1_440, 10_080, 43_000, 130_000, 525_000])
moments = st.integers(0, 400 * 24 * 60).map(lambda minutes: NOW_MS - minutes * MINUTE_MS)
marks = st.fixed_dictionaries(
    {width: st.lists(moments.map(lambda at, w=width: at // w * w), max_size=40)  # type: ignore[misc]  # bound early
     for width in ROLLED_MS}
)  # fmt: skip


@given(minutes=lengths, marked=marks, whole=st.booleans())
def test_every_moment_of_a_span_is_answered_once_by_what_is_settled(
    minutes: int, marked: dict[int, list[int]], whole: bool
) -> None:
    over = span.over(NOW_MS - minutes * MINUTE_MS, NOW_MS, now_ms=NOW_MS)
    stand = TableCover(
        {}, cover.unsettled({w: sorted(set(some)) for w, some in marked.items()}, {})
    )

    found = (cover.of_whole if whole else cover.of_points)(over, stand)

    answering = _answering(found)
    assert _joined(answering) == [(over.from_ms, over.until_ms)]
    for table, ranges in found.settled:
        width = max(WIDTHS[table.partition("_")[2]], 300_000)
        starts = {mark // width * width for w in ROLLED_MS if w <= width for mark in marked[w]}
        for start, end in ranges:
            assert not any(start <= mark < end for mark in starts), table
            assert whole or over.step_ms % WIDTHS[table.partition("_")[2]] == 0


@pytest.mark.parametrize("days", [40, 100])
def test_rows_apart_of_points_are_those_of_one_width_over_the_whole_span(days: int) -> None:
    over = span.over(NOW_MS - days * DAY_MS, NOW_MS, now_ms=NOW_MS)
    moved = NOW_MS - 30 * DAY_MS

    found = cover.of_points(over, TableCover({"window_1m": moved}, {}))

    apart = dict(found.rows[-2:])
    assert apart["window_1h"] == ((over.from_ms, over.until_ms),)
    assert apart["window_1m"] == ((over.from_ms, moved),)


@pytest.mark.parametrize("days", [1, 40, 100, 900])
def test_rows_apart_of_a_whole_are_of_the_widest_periods_each_moment_once(days: int) -> None:
    over = span.over(NOW_MS - days * DAY_MS, NOW_MS, now_ms=NOW_MS)

    found = cover.of_whole(over, TableCover({}, {}))

    apart = {table: ranges for table, ranges in found.rows if table in APART}
    assert _joined([one for ranges in apart.values() for one in ranges]) == [
        (-(-over.from_ms // 300_000) * 300_000, over.until_ms // 300_000 * 300_000)
    ]
    for start, end in apart.get("window_1h", ()):
        assert -(-start // DAY_MS) * DAY_MS >= end // DAY_MS * DAY_MS


def test_marks_from_before_a_table_was_whole_do_not_count() -> None:
    since = {"window_1m": NOW_MS // DAY_MS * DAY_MS}

    found = cover.unsettled({300_000: [since["window_1m"] - 300_000, since["window_1m"]]}, since)

    assert found[300_000] == ((since["window_1m"], since["window_1m"] + 300_000),)


def test_many_marks_are_few_stretches_that_hold_them_all() -> None:
    starts = [n * 900_000 for n in range(cover.MARKS_MAX)] + [10**12 // 300_000 * 300_000]

    found = cover.unsettled({300_000: starts}, {})[300_000]

    assert len(found) <= cover.RANGES_MAX
    assert all(any(first <= start < end for first, end in found) for start in starts)


@pytest.mark.parametrize(
    ("days", "width"), [(0.01, 10_000), (0.2, MINUTE_MS), (25, HOUR_MS), (200, DAY_MS)]
)
def test_a_span_is_answered_by_the_widest_windows_that_divide_its_step(
    days: float, width: int
) -> None:
    over = span.over(NOW_MS - int(days * DAY_MS), NOW_MS, now_ms=NOW_MS)

    assert over.width_ms == width
    assert over.points <= span.POINTS_MAX


def test_a_span_from_before_a_width_was_whole_takes_a_wider_one() -> None:
    start = NOW_MS - HOUR_MS

    over = span.over(start, NOW_MS, now_ms=NOW_MS, since={"window_1m": start + MINUTE_MS})

    assert over.width_ms == 300_000


def _answering(found: Cover) -> list[Range]:
    """Return all stretches but those of rows apart, which are added to them."""
    kept: Sequence[tuple[str, tuple[Range, ...]]] = (*found.settled, *found.rows)
    return [one for table, ranges in kept if table not in APART for one in ranges]


def _joined(ranges: list[Range]) -> list[Range]:
    """Return stretches with those that touch as one; those that overlap stay apart."""
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
