"""A stretch of time to ask about, and the resolution that answers it.

The step between two points is the finest one that keeps a series within `POINTS_MAX`, and 10-second
windows within `NARROW_POINTS_MAX`; the width is the widest one that divides the step, and that is
kept for the whole span. Sums, rankings and lines over one span all answer for the same edges, so
that they add up to each other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import Refused
from analytics.measures.rows import ROLLED_MS, WIDTHS_MS
from analytics.windows.tumbling import RETENTIONS_MS

POINTS_MAX: Final = 300
"""Points that one series may have."""
NARROW_POINTS_MAX: Final = 120
"""Points that one series of 10-second windows may have: they are of no total, so all are read."""

ASKED_MAX: Final = 11_000
"""Points of one series for a caller who names the step: as many as Prometheus answers with."""

SPAN_MAX_MS: Final = 5 * 366 * 86_400_000
"""The longest span that can be asked for."""

_SECOND: Final = 1_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

STEPS_MS: Final = (
    10 * _SECOND, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE,
    _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 7 * _DAY,
)  # fmt: skip
"""The distances two points of a series may have."""

ALL_MS: Final = (*WIDTHS_MS, *ROLLED_MS)
KEPT_MS: Final = dict(zip(ALL_MS, RETENTIONS_MS, strict=True))
"""How far back windows of each width reach at most: what is older is not counted at it."""
KEPT_BY: Final = dict(
    zip(ALL_MS, ("window_10s", "window_1m", "rollup_5m", "rollup_1h", "rollup_1d"), strict=True)
)
"""The table that tells since when a width is whole."""

WINDOW_TABLES: Final = dict(zip(WIDTHS_MS, ("window_10s", "window_1m"), strict=True))
"""The table of the windows of each width that the stream folds."""


class Span(Struct, frozen=True):
    """From when until when, and how it is cut into points."""

    from_ms: int
    until_ms: int
    step_ms: int
    width_ms: int

    @property
    def starts(self) -> datetime:
        """When it starts."""
        return datetime.fromtimestamp(self.from_ms / 1000, tz=UTC)

    @property
    def ends(self) -> datetime:
        """When it ends."""
        return datetime.fromtimestamp(self.until_ms / 1000, tz=UTC)

    @property
    def points(self) -> int:
        """How many points a series over this span has."""
        return (self.until_ms - self.from_ms) // self.step_ms


def over(
    from_ms: int, until_ms: int, *, now_ms: int, since: Mapping[str, int] | None = None
) -> Span:
    """Return the span that covers `[from_ms, until_ms)`, its edges moved out to whole steps.

    `since` tells from when on each table is whole (`cover.since`), where retention is shorter than
    `KEPT_MS`.
    """
    _check(from_ms, until_ms)
    spans = (
        _cut(from_ms, until_ms, step)
        for step in STEPS_MS
        if _points(from_ms, until_ms, step) <= _points_max(step)
    )
    fitting = (span for span in spans if _is_kept(span, now_ms, since or {}))
    return next(fitting, _cut(from_ms, until_ms, STEPS_MS[-1]))


def stepped(
    from_ms: int, until_ms: int, step_ms: int, *, now_ms: int, since: Mapping[str, int]
) -> Span:
    """Return the span with steps of one width; raise `Refused` if they are too many, or gone."""
    _check(from_ms, until_ms)
    found = _cut(from_ms, until_ms, step_ms)
    if found.points > ASKED_MAX:
        raise Refused(
            f"{found.points} points of {step_ms} ms are too many; ask for at most {ASKED_MAX}, "
            "over a shorter range or in wider steps"
        )
    if not _is_kept(found, now_ms, since):
        raise Refused(
            f"windows of {found.width_ms} ms are not kept that far back; ask for wider ones"
        )
    return found


def narrowest(from_ms: int, until_ms: int, *, now_ms: int, since: Mapping[str, int]) -> Span:
    """Return the span in the narrowest windows that are kept over all of it; raise `Refused`."""
    _check(from_ms, until_ms)
    spans = (_cut(from_ms, until_ms, width) for width in ALL_MS)
    kept = next((one for one in spans if _is_kept(one, now_ms, since)), None)
    width_ms = ALL_MS[-1] if kept is None else kept.width_ms
    return stepped(from_ms, until_ms, width_ms, now_ms=now_ms, since=since)


def _check(from_ms: int, until_ms: int) -> None:
    if not 0 <= from_ms < until_ms:
        raise Refused(
            f"a span from {from_ms!r} until {until_ms!r} is empty; end it after its start"
        )
    if until_ms - from_ms > SPAN_MAX_MS:
        raise Refused(
            f"a span of {until_ms - from_ms!r} ms is too long; ask for {SPAN_MAX_MS} or less"
        )


def _points_max(step_ms: int) -> int:
    return NARROW_POINTS_MAX if step_ms < WIDTHS_MS[-1] else POINTS_MAX


def _cut(from_ms: int, until_ms: int, step_ms: int) -> Span:
    width = max(width for width in ALL_MS if step_ms % width == 0)
    start, end = _edges(from_ms, until_ms, step_ms)
    return Span(start, end, step_ms, width)


def _is_kept(span: Span, now_ms: int, since: Mapping[str, int]) -> bool:
    oldest = max(now_ms - KEPT_MS[span.width_ms], since.get(KEPT_BY[span.width_ms], 0))
    return span.from_ms >= oldest


def _points(from_ms: int, until_ms: int, step_ms: int) -> int:
    start, end = _edges(from_ms, until_ms, step_ms)
    return (end - start) // step_ms


def _edges(from_ms: int, until_ms: int, step_ms: int) -> tuple[int, int]:
    return from_ms // step_ms * step_ms, -(-until_ms // step_ms) * step_ms
