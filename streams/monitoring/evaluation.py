"""How long evaluations may take: budgets whose time is that of the process.

Rules are evaluated in a thread beside the loop that folds everybody's events, and the interpreter
goes to one of them at a time. A thread that wants it gets as much as the loop, so the rules of one
tenant with thousands of series would halve the loop's speed for seconds. An evaluation of a `Turn`
that finds others waiting pauses twice as long as it has run since the last pause; one that is alone
never does. Pauses do not count as its time, so it takes three times as long at most.
"""

import time
from collections.abc import Callable
from typing import Final

from analytics.promql import Budget

RUN_S: Final = 0.004
"""How long an evaluation runs before it looks whether others wait."""
ALONE: Final = 0.9
"""The share of a run that a thread computes if nobody else wants the interpreter."""
PAUSE: Final = 2.0
"""How much longer than it ran an evaluation pauses for others."""


class Turn:
    """Takes turns with the other threads of the process; for one thread."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        computed: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock, self._computed, self._sleep = clock, computed, sleep
        self._paused_s = 0.0
        self._begin()

    def now_s(self) -> float:
        """Return seconds since some moment, without the pauses."""
        return self._clock() - self._paused_s

    def _begin(self) -> None:
        self._since_s, self._computed_s = self._clock(), self._computed()

    def look(self) -> None:
        """Pause if this thread has run for long enough and others want the interpreter."""
        ran_s = self._clock() - self._since_s
        if ran_s < RUN_S:
            return
        computed_s = self._computed() - self._computed_s
        if computed_s < ALONE * ran_s:
            before_s = self._clock()
            self._sleep(PAUSE * computed_s)
            self._paused_s += self._clock() - before_s
        self._begin()


def within(limit_ms: int) -> Budget:
    """Return the budget of an evaluation that ends after `limit_ms` at the latest."""
    turn = Turn()
    return _until(turn.now_s() + limit_ms / 1_000, turn)


def shared(each_ms: int, all_ms: int) -> Callable[[], Budget]:
    """Return what gives each evaluation a budget, all of them together at most `all_ms`."""
    turn = Turn()
    all_over_s = turn.now_s() + all_ms / 1_000
    return lambda: _until(min(turn.now_s() + each_ms / 1_000, all_over_s), turn)


def _until(over_at_s: float, turn: Turn) -> Budget:
    def is_over() -> bool:
        turn.look()
        return turn.now_s() >= over_at_s

    return Budget(is_over)
