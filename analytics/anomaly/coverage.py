"""How new a number is among all earlier ones, and how rare such newness was, in bounded memory.

Novelty is the distance to the nearest earlier number (the first neighbour of Ramaswamy et al.,
"Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000, in one dimension and
online). It is not compared with a limit but ranked among the novelties of the stream's own past,
which gives a p-value whatever the unit and the distribution (conformal anomaly detection, Laxhammar
and Falkman 2010).

Noise without heavy tails brings forth new extremes for ever, each of them new. So while the
kurtosis of a view is below `LIGHT_KURTOSIS` (3 is Gaussian), a number between `EDGE_MIN` and
`EDGE_MAX` standard deviations from the mean counts by `NOISE_SHARE` only.

Promise: at most `VALUES_MAX` numbers and `LARGEST_MAX` novelties are kept. Numbers are kept at
least `apart` from each other, which doubles when there are too many, so a novelty is wrong by at
most `apart`; past `ROWS_MAX` readings the past weighs half.
"""

import math
from bisect import bisect_left, insort
from itertools import pairwise
from typing import Final

from msgspec import Struct

VALUES_MAX: Final = 400
LARGEST_MAX: Final = 400
ROWS_MAX: Final = 65_536
LIGHT_KURTOSIS: Final = 4.5
EDGE_MIN: Final = 2.0
EDGE_MAX: Final = 4.75
NOISE_SHARE: Final = 0.5
SEEN_MIN: Final = 8
SAME: Final = 1e-9


class Coverage(Struct):
    """The numbers seen, thinned, and the largest novelties among them."""

    values: list[float] = []
    largest: list[float] = []
    apart: float = 0.0
    rows: int = 0
    mean: float = 0.0
    second: float = 0.0
    fourth: float = 0.0

    def learn(self, value: float, *, seen_min: int = SEEN_MIN) -> float:
        """Return how rare a number is, as minus the logarithm to ten of its p-value; keep it.

        Nothing is rare before `seen_min` numbers were new: there is nothing to rank it among.
        """
        distance = self._distance(value)
        rarity = self._rarity(distance, seen_min)
        if rarity and self._is_usual_noise(value):
            rarity *= NOISE_SHARE
        self._keep(value, distance)
        return rarity

    def _distance(self, value: float) -> float:
        values = self.values
        if not values:
            return 0.0
        at = bisect_left(values, value)
        below = value - values[at - 1] if at else math.inf
        above = values[at] - value if at < len(values) else math.inf
        distance = min(below, above)
        if distance <= SAME * max(abs(values[0]), abs(values[-1])):
            return 0.0
        return distance

    def _rarity(self, distance: float, seen_min: int) -> float:
        known = len(self.largest)
        if not distance or known < seen_min:
            return 0.0
        above = known - bisect_left(self.largest, distance)
        return math.log10((self.rows + 1) / (above + 1))

    def _is_usual_noise(self, value: float) -> bool:
        """Say whether a number is where the edge of light-tailed noise brings forth new ones."""
        if self.second <= 0 or self.fourth >= LIGHT_KURTOSIS * self.second**2:
            return False
        return EDGE_MIN**2 < (value - self.mean) ** 2 / self.second < EDGE_MAX**2

    def _keep(self, value: float, distance: float) -> None:
        self.mean = self.mean if self.rows else value
        self.rows += 1
        pace = 1 / self.rows
        off = value - self.mean
        self.mean += off * pace
        square = off * off
        self.second += (square - self.second) * pace
        self.fourth += (square * square - self.fourth) * pace
        if not self.values:
            self.values.append(value)
        if not distance:
            return
        if distance > self.apart:
            insort(self.values, value)
            if len(self.values) > VALUES_MAX:
                self._thin()
        insort(self.largest, distance)
        if len(self.largest) > LARGEST_MAX:
            del self.largest[0]
        if self.rows >= ROWS_MAX:
            self.rows //= 2
            self.largest = self.largest[::2]

    def _thin(self) -> None:
        """Widen `apart` to the median spacing and drop what is nearer to what is kept."""
        values = self.values
        spacings = sorted(b - a for a, b in pairwise(values))
        self.apart = max(2 * self.apart, spacings[len(spacings) // 3])
        kept = values[:1]
        for value in values[1:-1]:
            if value - kept[-1] >= self.apart:
                kept.append(value)
        self.values = [*kept, values[-1]]
