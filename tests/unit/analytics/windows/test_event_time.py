"""Event time: clocks that run ahead, partitions that fall idle, windows that are too old."""

from itertools import pairwise

from analytics.measures.rows import ROLLED_MS, WIDTHS_MS
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
    for narrow, wide in pairwise((*WIDTHS_MS, *ROLLED_MS)):
        assert wide % narrow == 0


def test_what_is_older_than_a_width_is_kept_goes_to_wider_ones_only() -> None:
    def widths(days: int, more_ms: int = 1) -> list[int]:
        received_ms = T0_MS + days * DAY_MS + more_ms
        number = tumbling.place_of(T0_MS, received_ms=received_ms, watermark_ms=0, apart=False)
        return [tumbling.ALL_MS[level] for level in tumbling.place(number).levels]

    assert widths(0) == widths(7, 0) == [10_000, 60_000]
    assert widths(7) == widths(30, 0) == [60_000]
    assert widths(30) == widths(90, 0) == [300_000, 3_600_000, DAY_MS]
    assert widths(90) == widths(365, 0) == [3_600_000, DAY_MS]
    assert widths(365) == widths(1_826, 0) == [DAY_MS]
    assert widths(1_826) == []


def test_a_width_that_is_rolled_up_is_never_open() -> None:
    number = tumbling.place_of(T0_MS, received_ms=T0_MS + 31 * DAY_MS, watermark_ms=0, apart=False)

    where = tumbling.place(number)
    assert [where.is_apart(level) for level in where.levels] == [True, True, True]


def test_a_reading_may_be_late_for_narrow_windows_and_on_time_for_wide_ones() -> None:
    number = tumbling.place_of(T0_MS, received_ms=T0_MS, watermark_ms=T0_MS + 10_000, apart=False)

    assert tumbling.place(number) == tumbling.WindowPlace(T0_MS, 1, 0)
    assert tumbling.is_late(number)
    assert not tumbling.is_open(number)
