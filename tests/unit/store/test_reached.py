"""How far event time is for those who watch: the watermark, and the clock where that stands."""

from streams.monitoring.progress import Reached

STALLED_MS = 120_000


def test_event_time_is_the_watermark_while_that_moves() -> None:
    reached = Reached(stalled_ms=STALLED_MS)

    seen = [
        reached.at(mark, now_ms=now) for mark, now in ((5, 10_000), (9, 100_000), (11, 215_000))
    ]

    assert seen == [5, 9, 11]


def test_event_time_that_stands_goes_on_by_the_clock_that_much_behind() -> None:
    reached = Reached(stalled_ms=STALLED_MS)
    reached.at(1_000, now_ms=500_000)

    before = reached.at(1_000, now_ms=500_000 + STALLED_MS - 1)
    after = reached.at(1_000, now_ms=500_000 + STALLED_MS)

    assert before == 1_000
    assert after == 500_000


def test_a_watermark_that_moves_again_is_believed_again() -> None:
    reached = Reached(stalled_ms=STALLED_MS)
    reached.at(1_000, now_ms=0)
    reached.at(1_000, now_ms=STALLED_MS)

    assert reached.at(2_000, now_ms=STALLED_MS + 1) == 2_000


def test_a_broker_that_came_back_as_another_has_not_reached_anything() -> None:
    reached = Reached(stalled_ms=STALLED_MS)
    reached.at(900_000, now_ms=950_000)

    assert reached.at(0, now_ms=951_000) == 0
