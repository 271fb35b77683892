"""Which samples a window holds at its edges: Prometheus 3's, unless 2's are asked for."""

from typing import Final

import numpy as np
import pytest

from analytics.alerts.rules.memory_series import MemorySeries
from analytics.promql import (
    Dialect,
    InstantPoint,
    MemoryStorage,
    Result,
    Series,
    instant,
    labelled,
    parse,
)

MINUTE_MS: Final = 60_000
AT_MS: Final = 30 * MINUTE_MS
TIMES: Final = np.arange(0, 61, dtype=np.int64) * MINUTE_MS
STORAGE: Final = MemoryStorage([Series(labelled({"__name__": "m"}), TIMES, TIMES / MINUTE_MS * 3)])


def _value(found: Result) -> float:
    assert isinstance(found, tuple)
    [point] = found
    assert isinstance(point, InstantPoint)
    return point.value


@pytest.mark.parametrize(("dialect", "count"), [(Dialect.TWO, 6), (Dialect.THREE, 5)])
def test_a_window_leaves_out_its_left_edge_where_prometheus_3_does(
    dialect: Dialect, count: int
) -> None:
    def answer(text: str) -> float:
        return _value(instant(parse(text), STORAGE, AT_MS, dialect=dialect))

    assert answer("count_over_time(m[5m])") == count
    assert answer("increase(m[5m])") == pytest.approx(15)


def test_a_rule_and_a_query_see_the_same() -> None:
    world = MemorySeries()
    world.load({"__name__": "m"}, [float(one) for one in range(61)], MINUTE_MS)

    [row] = world.rows("count_over_time(m[5m])", AT_MS)

    assert row.value == 5
    assert _value(instant(parse("count_over_time(m[5m])"), STORAGE, AT_MS)) == row.value
