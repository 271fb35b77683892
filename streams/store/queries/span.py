"""A stretch of time to ask about, and the resolution that answers it.

The step between two points is the finest one that keeps a series within `POINTS_MAX`; the windows
read are the widest ones that divide the step and that retention has kept for the whole span. Sums,
rankings and lines over one span all read the same windows, so that they add up to each other.
"""

from typing import Final

from msgspec import Struct

from analytics.contracts.errors import Refused
from analytics.measures.rows import WIDTHS_MS

POINTS_MAX: Final = 300
"""Points that one series may have."""

SPAN_MAX_MS: Final = 5 * 366 * 86_400_000
"""The longest span that can be asked for."""

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

STEPS_MS: Final = (
    10 * _SECOND, 30 * _SECOND, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE,
    _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 7 * _DAY,
)  # fmt: skip
"""The distances two points of a series may have."""

KEPT_MS: Final = {10 * _SECOND: 7 * _DAY, _MINUTE: 30 * _DAY}
"""How far back the windows of each width reach."""

WINDOW_TABLES: Final = dict(zip(WIDTHS_MS, ("window_10s", "window_1m"), strict=True))
"""The table of the windows of each width."""


class Span(Struct, frozen=True):
    """From when until when, and how it is cut into points."""

    from_ms: int
    until_ms: int
    step_ms: int
    width_ms: int

    @property
    def table(self) -> str:
        """The table whose windows answer this span."""
        return WINDOW_TABLES[self.width_ms]

    @property
    def points(self) -> int:
        """How many points a series over this span has."""
        return (self.until_ms - self.from_ms) // self.step_ms


def over(from_ms: int, until_ms: int, *, now_ms: int) -> Span:
    """Return the span that covers `[from_ms, until_ms)`, its edges moved out to whole steps."""
    if not 0 <= from_ms < until_ms:
        raise Refused(
            f"a span from {from_ms!r} until {until_ms!r} is empty; end it after its start"
        )
    if until_ms - from_ms > SPAN_MAX_MS:
        raise Refused(
            f"a span of {until_ms - from_ms!r} ms is too long; ask for {SPAN_MAX_MS} or less"
        )
    least = next(
        width for width, kept in KEPT_MS.items() if now_ms - from_ms <= kept or _last(width)
    )
    step = next(
        (
            step
            for step in STEPS_MS
            if step >= least and _points(from_ms, until_ms, step) <= POINTS_MAX
        ),
        STEPS_MS[-1],
    )
    width = max(width for width in WIDTHS_MS if step % width == 0)
    start, end = _edges(from_ms, until_ms, step)
    return Span(start, end, step, width)


def _last(width_ms: int) -> bool:
    return width_ms == WIDTHS_MS[-1]


def _points(from_ms: int, until_ms: int, step_ms: int) -> int:
    start, end = _edges(from_ms, until_ms, step_ms)
    return (end - start) // step_ms


def _edges(from_ms: int, until_ms: int, step_ms: int) -> tuple[int, int]:
    return from_ms // step_ms * step_ms, -(-until_ms // step_ms) * step_ms
