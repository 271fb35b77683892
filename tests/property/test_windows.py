"""Laws of event time: the watermark never goes back, every moment has its windows."""

from hypothesis import given
from hypothesis import strategies as st

from analytics.windows import tumbling, watermark

times = st.integers(0, 4_000_000_000_000)


@given(seen=st.lists(times), lateness_ms=st.integers(0, 100_000))
def test_the_watermark_is_the_newest_time_less_the_lateness_and_never_goes_back(
    seen: list[int], lateness_ms: int
) -> None:
    mark, marks = watermark.UNSEEN_MS, []
    for at_ms in seen:
        mark = watermark.advanced(mark, seen_ms=at_ms, lateness_ms=lateness_ms)
        marks.append(mark)

    assert marks == sorted(marks)
    assert mark == max([0, *(at_ms - lateness_ms for at_ms in seen)])


@given(mark=times, since=times, now=times, idle_ms=st.integers(1, 100_000))
def test_idling_moves_the_watermark_only_forward(
    mark: int, since: int, now: int, idle_ms: int
) -> None:
    moved = watermark.idled(mark, quiet_since_ms=since, now_ms=now, idle_ms=idle_ms)

    assert moved >= mark
    assert moved in {mark, now - idle_ms}


@given(at_ms=times, mark=times, age_ms=st.integers(-1_000, 200_000_000_000), apart=st.booleans())
def test_a_place_says_for_every_width_whether_its_window_is_closed(
    at_ms: int, mark: int, age_ms: int, *, apart: bool
) -> None:
    number = tumbling.place_of(at_ms, received_ms=at_ms + age_ms, watermark_ms=mark, apart=apart)

    where = tumbling.place(number)
    for level, width_ms in enumerate(tumbling.ALL_MS):
        start_ms = tumbling.start_of(at_ms, width_ms)
        assert start_ms <= at_ms < start_ms + width_ms
        assert tumbling.start_of(where.start_ms, width_ms) == start_ms
        closed = tumbling.is_closed(start_ms, width_ms, watermark_ms=mark)
        is_rolled = level >= tumbling.WIDTH_COUNT
        assert where.is_apart(level) == (apart or closed or is_rolled)
        is_kept = age_ms <= tumbling.RETENTIONS_MS[level]
        assert (level in where.levels) == (
            is_kept and is_rolled == (age_ms > tumbling.RETENTIONS_MS[tumbling.WIDTH_COUNT - 1])
        )
    assert tumbling.is_late(number) == (where.closed_count > 0)
    assert tumbling.is_open(number) == (where.closed_count == where.skipped_count == 0)
