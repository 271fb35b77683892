"""What is looked at of a series: the value and four views of it, each a number a reading.

- value: the reading.
- level: the mean of the last `width` readings; finds a shift or a trend that single values hide.
- spread: the standard deviation of the same; finds noise that grew or died.
- jump: the reading less its exponential average; finds a step or a broken trend.
- hour: the reading less what was usual at this time of day, or of the week once two weeks were
  seen; finds the right value at the wrong time.

Promise: memory is one window, 24 hours and 168 hours of a week, whatever the length of the series.
"""

import math
from enum import StrEnum
from typing import Final

from msgspec import Struct

HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
WEEK_HOURS: Final = 168
WEEKS_MIN: Final = 2
HOUR_KEEPS: Final = 0.3
MEAN_KEEPS: Final = 0.01


class View(StrEnum):
    """One way to look at a series."""

    VALUE = "value"
    LEVEL = "level"
    SPREAD = "spread"
    JUMP = "jump"
    HOUR = "hour"


VIEWS: Final = tuple(View)


class Usual(Struct):
    """What is usual in one hour: an average that leans to later days, and of how many it is."""

    mean: float
    spans: int
    last: int


class Shapes(Struct):
    """The last readings and the averages that views need."""

    recent: list[float] = []
    average: float = 0.0
    deviation: float = 0.0
    mean: float = 0.0
    rows: int = 0
    days: dict[int, Usual] = {}
    weeks: dict[int, Usual] = {}

    def learn(self, at_ms: int, value: float, *, width: int) -> tuple[float, ...]:
        """Return the numbers of `VIEWS` for a reading, and take it in."""
        if not self.rows:
            self.average = self.mean = value
        recent = self.recent
        recent.append(value)
        if len(recent) > width:
            del recent[0]
        count = len(recent)
        level = math.fsum(recent) / count
        spread = math.sqrt(math.fsum((one - level) ** 2 for one in recent) / count)
        jump = value - self.average
        hour = value - self._usual(at_ms)
        self._keep(at_ms, value, width)
        return value, level, spread, jump, hour

    def expected(self, at_ms: int) -> tuple[float, float]:
        """Return the range in which the next reading is expected, about 99% of the time.

        Around the short average, four mean absolute deviations wide on each side, and wide enough
        to hold what is usual at this hour.
        """
        usual = self._usual(at_ms) if self.rows else 0.0
        width = 4 * self.deviation
        return min(self.average, usual) - width, max(self.average, usual) + width

    def _usual(self, at_ms: int) -> float:
        hours = at_ms // HOUR_MS
        week = self.weeks.get(hours % WEEK_HOURS)
        if week is not None and week.spans >= WEEKS_MIN:
            return week.mean
        day = self.days.get(hours % DAY_HOURS)
        return self.mean if day is None else day.mean

    def _keep(self, at_ms: int, value: float, width: int) -> None:
        hours = at_ms // HOUR_MS
        _lean(self.days, hours % DAY_HOURS, hours // DAY_HOURS, value)
        _lean(self.weeks, hours % WEEK_HOURS, hours // WEEK_HOURS, value)
        self.rows += 1
        jump = value - self.average
        pace = 1 / min(self.rows, 20 * width)
        self.deviation += (abs(jump) - self.deviation) * pace
        self.average += jump / width
        self.mean += (value - self.mean) * MEAN_KEEPS


def _lean(hours: dict[int, Usual], hour: int, span: int, value: float) -> None:
    usual = hours.get(hour)
    if usual is None:
        hours[hour] = Usual(value, 0, span)
        return
    usual.mean += (value - usual.mean) * HOUR_KEEPS
    if usual.last != span:
        usual.spans += 1
        usual.last = span
