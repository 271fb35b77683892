"""Event time: clocks that run ahead, partitions that fall idle, windows that are too old."""

from itertools import pairwise

from analytics.measures.rows import WIDTHS_MS
from analytics.windows import tumbling, watermark
from tests.support.facts import T0_MS

DAY_MS = 86_400_000


def test_a_clock_that_runs_ahead_is_held_to_the_brokers() -> None:
    assert watermark.seen_ms(500, received_ms=100, future_skew_ms=50) == 150
    assert watermark.seen_ms(120, received_ms=100, future_skew_ms=50) == 120
    assert watermark.seen_ms(10, received_ms=100, future_skew_ms=50) == 10


def test_an_idle_partition_follows_the_wall_clock_once_it_was_idle_long_enough() -> None:
    assert watermark.idled(0, quiet_since_ms=1_000, now_ms=1_999, idle_ms=1_000) == 0
    assert watermark.idled(0, quiet_since_ms=1_000, now_ms=2_000, idle_ms=1_000) == 1_000
    assert watermark.idled(9_000, quiet_since_ms=0, now_ms=2_000, idle_ms=1_000) == 9_000


def test_widths_divide_one_another() -> None:
    for narrow, wide in pairwise(WIDTHS_MS):
        assert wide % narrow == 0


def test_what_is_older_than_a_width_is_kept_goes_to_wider_ones_only() -> None:
    ages = [0, 7 * DAY_MS + 1, 30 * DAY_MS + 1, 1_826 * DAY_MS + 1]

    skipped = [
        tumbling.place(
            tumbling.place_of(T0_MS, received_ms=T0_MS + age, watermark_ms=0, apart=False)
        ).skipped_count
        for age in ages
    ]

    assert skipped == [0, 1, 2, 3]


def test_a_reading_may_be_late_for_narrow_windows_and_on_time_for_wide_ones() -> None:
    number = tumbling.place_of(T0_MS, received_ms=T0_MS, watermark_ms=T0_MS + 10_000, apart=False)

    assert tumbling.place(number) == tumbling.Place(T0_MS, 1, 0)
    assert tumbling.is_late(number)
    assert not tumbling.is_open(number)
