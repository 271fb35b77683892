"""Series and samples as PromQL sees them, and where evaluation reads them.

`Labels` are pairs sorted by name, the metric's name under `__name__`, without empty values: two
label sets are the same series if and only if the tuples are equal. Times are milliseconds, rising
within a series. `STALE` is the value that says that a series ended, the very NaN of Prometheus
(`model/value`); any other NaN is a value. A `Storage` gives whole series between two times, both
included; what it gives is never written to.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from analytics import patterns

NAME: Final = "__name__"
"""The label that holds a metric's name."""

Labels = tuple[tuple[str, str], ...]
Sample = tuple[int, float]
"""When, in milliseconds, and what."""
Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_STALE_BITS: Final = 0x7FF0000000000002
STALE: Final = float(np.array([_STALE_BITS], dtype=np.uint64).view(np.float64)[0])
"""The value of a sample that says: the series ends here."""


class MatchOperator(StrEnum):
    """How a matcher compares."""

    EQUAL = "="
    UNEQUAL = "!="
    LIKE = "=~"
    UNLIKE = "!~"


class SeriesMatcher(Struct, frozen=True):
    """A condition on one label; a label that is missing is empty."""

    name: str
    sign: MatchOperator
    value: str

    def holds(self, value: str) -> bool:
        """Say whether a label's value satisfies it; patterns match the whole value."""
        match self.sign:
            case MatchOperator.EQUAL:
                return value == self.value
            case MatchOperator.UNEQUAL:
                return value != self.value
            case MatchOperator.LIKE:
                return pattern(self.value).matches(value)
            case MatchOperator.UNLIKE:
                return not pattern(self.value).matches(value)


class Series(Struct, frozen=True, eq=False):
    """The samples of one label set."""

    labels: Labels
    times: Times
    values: Floats

    def samples(self) -> list[Sample]:
        """Return the samples as pairs."""
        return list(zip(self.times.tolist(), self.values.tolist(), strict=True))


class Sketches(Struct, frozen=True, eq=False):
    """The sketches of one label set: each counts the values since the one before it."""

    labels: Labels
    times: Times
    counts: tuple[Mapping[int, int], ...]


class InstantPoint(Struct, frozen=True):
    """One row of an instant's answer."""

    labels: Labels
    value: float


Vector = tuple[InstantPoint, ...]
Matrix = tuple[Series, ...]


class Storage(Protocol):
    """Where series are read."""

    def select(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Sequence[Series]:
        """Return the series for which all of `matchers` hold, each once, from and to included."""


@runtime_checkable
class SketchStorage(Protocol):
    """A storage that holds sketches too, for `histogram_quantile`."""

    def select_sketches(
        self, matchers: Sequence[SeriesMatcher], from_ms: int, to_ms: int
    ) -> Sequence[Sketches]:
        """Return the sketches for which all of `matchers` hold, from and to included."""


def labelled(pairs: Mapping[str, str]) -> Labels:
    """Return a label set in order, without labels that are empty."""
    return tuple(sorted(pair for pair in pairs.items() if pair[1]))


def made(labels: Mapping[str, str], samples: Iterable[Sample]) -> Series:
    """Return a series of samples that are in order of time."""
    pairs = list(samples)
    times = np.array([at_ms for at_ms, _ in pairs], dtype=np.int64)
    values = np.array([value for _, value in pairs], dtype=np.float64)
    return Series(labelled(labels), times, values)


def value_of(labels: Labels, name: str) -> str:
    """Return the value of a label, empty if it is not there."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def kept(labels: Labels, names: frozenset[str]) -> Labels:
    """Return only the labels called so."""
    return tuple(pair for pair in labels if pair[0] in names)


def dropped(labels: Labels, names: frozenset[str]) -> Labels:
    """Return all but the labels called so."""
    return tuple(pair for pair in labels if pair[0] not in names)


def unnamed(labels: Labels) -> Labels:
    """Return the labels without the metric's name."""
    if labels and labels[0][0] == NAME:  # most other names sort after it
        return labels[1:]
    return tuple(pair for pair in labels if pair[0] != NAME)


def is_stale(values: Floats) -> Mask:
    """Say which values mark the end of a series."""
    found: Mask = values.view(np.uint64) == np.uint64(_STALE_BITS)
    return found


def pattern(text: str) -> patterns.Pattern:
    """Return a selector's pattern, in which `.` stands for every character, as in Prometheus 3."""
    return patterns.compiled(text, dot_is_any=True)
