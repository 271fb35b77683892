"""The benchmark's own score, held to the points that NAB defines."""

import pytest

from tests.bench.nab import Recording, Scored, recordings, score

ONE = Recording(
    name="a/b.csv", at_ms=tuple(range(1_000)), values=(0.0,) * 1_000, windows=((400, 499),)
)


def test_who_says_nothing_has_zero_and_who_is_first_in_every_window_a_hundred() -> None:
    files = recordings()

    nothing = sum((score(one, []) for one in files), Scored())
    perfect = sum((score(one, [left for left, _ in one.windows]) for one in files), Scored())

    assert len(files) == 31
    assert (nothing.normalised, nothing.windows) == (0.0, 60)
    assert perfect.normalised == pytest.approx(100.0)


def test_alarms_cost_and_earn_by_where_they_are() -> None:
    assert score(ONE, [149]).raw == -1.0
    assert score(ONE, [150]).raw == pytest.approx(-1.11)
    assert score(ONE, [999]).raw == pytest.approx(-1.11)
    assert score(ONE, [400]).raw == pytest.approx(1.0)
    assert score(ONE, [400, 450, 499]).raw == pytest.approx(1.0)
    assert 0 < score(ONE, [499]).raw < 0.03
    assert -1.11 < score(ONE, [505]).raw < -1.0
