"""An evaluation ends when its time or its cells are used up, wherever it is."""

from itertools import pairwise

import pytest

from analytics.promql import (
    BadEvaluation,
    Budget,
    MemoryStorage,
    TooCostly,
    held,
    instant,
    parse,
    ranged,
    subset,
)
from analytics.promql.budget import CELLS_MAX, SAMPLES_A_LOOK, STEPS_A_LOOK
from analytics.promql.series import made

ROWS, STEPS = 20, 30
STORAGE = MemoryStorage(
    made(
        {"__name__": "x", "l": f"v{row}", "le": str(row)}, [(at * 60_000, row) for at in range(90)]
    )
    for row in range(ROWS)
)
ASKED = {
    **{name: f"{name}(x[5m])" for name in subset.RANGE_FUNCTIONS},
    **{name: f"{name}(x)" for name in subset.VALUE_FUNCTIONS | subset.DATE_FUNCTIONS},
    **{name: f"{name}(x)" for name in subset.AGGREGATIONS},
    **{name: f"{name} by (l) (2, x)" for name in ("topk", "bottomk")},
    "quantile": "quantile by (l) (0.5, x)",
    "quantile_over_time": "quantile_over_time(0.5, x[5m])",
    "predict_linear": "predict_linear(x[5m], 60)",
    **{name: f"x {name} x" for name in subset.OPERATORS},
    "label_replace": 'label_replace(x, "m", "$1", "l", "(.*)")',
    "label_join": 'label_join(x, "m", "-", "l", "le")',
    "histogram_quantile": "histogram_quantile(0.5, x)",
    "selector": 'x{l=~".*v.*"}',
    "negation": "-x",
}
"""Every function, aggregation and operator that is evaluated, over rows."""
LOOPS = {
    "deriv": ROWS * STEPS, "predict_linear": ROWS * STEPS, "quantile_over_time": ROWS * STEPS,
    "stddev_over_time": ROWS * STEPS, "stdvar_over_time": ROWS * STEPS, "quantile": ROWS * STEPS,
    "histogram_quantile": ROWS * STEPS, "hour": ROWS * STEPS, "year": ROWS * STEPS,
    "label_replace": ROWS, "label_join": ROWS, "selector": ROWS, "topk": ROWS, "bottomk": ROWS,
}  # fmt: skip
"""Those that are loops of ours, and their turns at least."""


def _asked(text: str, budget: Budget) -> None:
    end_ms = (STEPS - 1) * 60_000
    ranged(parse(text), STORAGE, 0, end_ms, step_ms=60_000, budget=budget)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_nothing_is_computed_once_the_time_is_over(name: str) -> None:
    with pytest.raises(TooCostly, match="took longer"):
        _asked(ASKED[name], Budget(lambda: True))


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_a_loop_of_ours_looks_at_the_clock_as_it_goes(name: str) -> None:
    looks: list[int] = []

    def is_over() -> bool:
        looks.append(budget.turns)
        return False

    budget = Budget(is_over)

    _asked(ASKED[name], budget)

    assert budget.turns >= LOOPS[name]
    assert max(b - a for a, b in pairwise(looks)) <= STEPS_A_LOOK


def test_the_time_is_over_in_the_middle_of_a_loop_too() -> None:
    budget = Budget(lambda: budget.turns > 100)

    with pytest.raises(TooCostly):
        _asked(ASKED["quantile_over_time"], budget)
    assert budget.turns <= 100 + STEPS_A_LOOK


OVERLAPPING = ("changes", "resets", "max_over_time", "min_over_time", "increase", "rate",
    "sum_over_time", "avg_over_time", "stddev_over_time", "stdvar_over_time", "deriv",
    "quantile_over_time", "predict_linear")  # fmt: skip
"""Functions that go through every sample of every window, however the windows overlap."""
SAMPLES = 10_000
WIDE = MemoryStorage(
    [made({"__name__": "x"}, [(at * 1_000, 0.1 * (at % 7)) for at in range(SAMPLES)])]
)


@pytest.mark.parametrize("name", OVERLAPPING)
def test_windows_that_overlap_are_gone_through_a_portion_at_a_time(name: str) -> None:
    looks = 0

    def is_over() -> bool:
        nonlocal looks
        looks += 1
        return False

    text = ASKED[name].replace("[5m]", f"[{SAMPLES}s]")
    first_ms, steps = (SAMPLES - 1_000) * 1_000, 1_000
    budget = Budget(is_over)
    ranged(
        parse(text), WIDE, first_ms, first_ms + (steps - 1) * 1_000, step_ms=1_000, budget=budget
    )

    assert looks >= (SAMPLES - 1_000) * steps // SAMPLES_A_LOOK


def test_rows_that_meet_many_times_are_counted_before_they_are_made() -> None:
    count = 3_000
    storage = MemoryStorage(
        made({"__name__": name, "l": str(row)}, [(row if name == "a" else row + count, 1.0)])
        for row in range(count)
        for name in ("a", "b")
    )
    budget = Budget()
    with pytest.raises(TooCostly, match="series at"):
        ranged(
            parse("last_over_time(a[1ms]) * on() group_left() last_over_time(b[1ms])"),
            storage, 0, 2 * count, step_ms=1, budget=budget,
        )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        " + ".join(["x"] * 90),
        " or ".join(f'label_replace(x, "m", "{at}", "", "")' for at in range(40)),
    ],
)
def test_the_parts_of_an_expression_share_one_budget(text: str) -> None:
    budget = Budget()
    budget.cells = 50_000_000 - ROWS * STEPS * 30

    with pytest.raises(TooCostly, match="together"):
        _asked(text, budget)


def test_a_part_has_a_limit_of_cells() -> None:
    with pytest.raises(TooCostly, match=str(CELLS_MAX)):
        Budget().take(1_000, 11_000)


def test_labels_made_of_labels_do_not_grow_without_end() -> None:
    text = 'label_replace(vector(1), "y", "' + "c" * 1_000 + '", "", "")'
    for _ in range(10):
        text = f'label_join({text}, "y", "", "y", "y")'

    with pytest.raises(BadEvaluation, match="4096 characters"):
        instant(parse(text), MemoryStorage([]), 0)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_what_an_expression_reads_is_known_before_it_is_evaluated(name: str) -> None:
    expression, end_ms = parse(ASKED[name]), (STEPS - 1) * 60_000

    read = held(expression, STORAGE, 0, end_ms, budget=Budget())

    over_read = ranged(expression, read, 0, end_ms, step_ms=60_000)
    over_all = ranged(expression, STORAGE, 0, end_ms, step_ms=60_000)
    shown = [[(one.labels, repr(one.samples())) for one in rows] for rows in (over_read, over_all)]
    assert shown[0] == shown[1]
