"""What an evaluation may take: time, cells, and no more, whatever its expression computes.

The engine is ours, so it can be ended anywhere: every loop over rows, steps, series or patterns
goes through a budget, and every block is taken from it before it is made. A clock is the caller's,
as `is_over`; without one the cells alone are counted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from analytics.promql.errors import BadEvaluation
from analytics.promql.series import SeriesMatcher

CELLS_MAX: Final = 5_000_000
"""How many cells, series times steps, one part of an expression may have."""
CELLS_ALL_MAX: Final = 50_000_000
"""How many cells and samples all parts of an expression may have, as in Prometheus."""
STEPS_A_LOOK: Final = 16
"""After how many turns of a loop the clock is looked at."""
SAMPLES_A_LOOK: Final = 1_000_000
"""After how many samples of windows it is: windows overlap, so they hold far more than is read."""

Item = TypeVar("Item")


class TooCostly(BadEvaluation):
    """An evaluation that was ended, since it took more than it may."""

    code = "too-costly"


class TooSlow(TooCostly):
    """An evaluation whose time was over."""

    code = "too-slow"


class Budget:
    """What is left for one evaluation."""

    def __init__(self, is_over: Callable[[], bool] = lambda: False) -> None:
        self.cells = 0
        """Cells and samples taken."""
        self.turns = 0
        """Turns of loops."""
        self._samples = 0
        self._is_over = is_over

    def look(self) -> None:
        """Raise `TooSlow` if the time is over."""
        if self._is_over():
            raise TooSlow(
                "the evaluation took longer than it may; select fewer series,"
                " take a longer step or record a part of it"
            )

    def turn(self) -> None:
        """Count a turn of a loop; raise `TooSlow` if the time is over."""
        self.turns += 1
        if self.turns % STEPS_A_LOOK == 0:
            self.look()

    def gone_through(self, samples: int) -> None:
        """Count samples of a window; raise `TooSlow` if the time is over."""
        self._samples += samples
        if self._samples >= SAMPLES_A_LOOK:
            self._samples = 0
            self.look()

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, each a turn."""
        for item in items:
            self.turn()
            yield item

    def take(self, rows: int, steps: int) -> None:
        """Take the cells of a block that is about to be made; raise `TooCostly`."""
        cells = rows * steps
        if cells > CELLS_MAX:
            raise TooCostly(
                f"{rows} series at {steps} steps are more than {CELLS_MAX} values;"
                " select fewer series or take a longer step"
            )
        self.cells += cells
        if self.cells > CELLS_ALL_MAX:
            raise TooCostly(
                f"the parts of the expression have more than {CELLS_ALL_MAX} values together;"
                " select fewer series, take a longer step or record a part of it"
            )
        self.look()

    def watched(self, matchers: Sequence[SeriesMatcher]) -> list[SeriesMatcher]:
        """Return matchers of which each comparison is a turn."""
        return [_Watched(one.name, one.sign, one.value, self) for one in matchers]


class _Watched(SeriesMatcher, frozen=True, eq=False):
    budget: Budget

    def holds(self, value: str) -> bool:
        self.budget.turn()
        return super().holds(value)
