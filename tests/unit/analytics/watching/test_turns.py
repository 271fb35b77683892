"""Nobody's minute waits for a tenant of very many series; work is counted in series, not timed."""

import random

import pytest

from analytics.monitoring.turns import SERIES_A_PASS, next_turn

LARGE = 10_000


def finished(series: dict[int, int]) -> dict[int, int]:
    """Return after how many series of work each shard is done with one moment."""
    left, work = dict(series), 0
    done: dict[int, int] = {}
    while left:
        turn = next_turn(left)
        assert turn
        work += sum(left.pop(shard) for shard in turn)
        done |= dict.fromkeys(turn, work)
    return done


@pytest.mark.parametrize(("large", "small"), [(0, 1), (1, 0)])
def test_three_series_do_not_wait_for_ten_thousand(large: int, small: int) -> None:
    done = finished({large: LARGE, small: 3})

    assert done[small] <= SERIES_A_PASS
    assert done[large] == LARGE + 3


def test_however_many_are_large_the_small_ones_are_done_before_the_first_of_them() -> None:
    draw = random.Random(12)
    for _ in range(500):
        series = {shard: draw.choice((0, 1, 3, 50, LARGE)) for shard in range(16)}

        done = finished(series)

        small = {shard: held for shard, held in series.items() if held < LARGE}
        assert done.keys() == series.keys()
        assert all(done[shard] <= sum(small.values()) for shard in small)


def test_shards_of_few_series_share_a_pass() -> None:
    assert next_turn(dict.fromkeys(range(16), 10)) == list(range(16))
    assert next_turn({}) == []
    assert next_turn({3: LARGE}) == [3]
