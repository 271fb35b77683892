"""A stretch of time to ask about, and the resolution that answers it.

The step between two points is the finest one that keeps a series within `POINTS_MAX`, and 10-second
windows within `NARROW_POINTS_MAX`; the width is the widest one that divides the step, and that is
kept for the whole span. In a time zone the steps are those of its clocks (`calendar`), and the
width is the widest that none of their edges lies in: hours for its days, in most zones. Sums,
rankings and lines over one span all answer for the same edges, so that they add up to each other.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

from analytics.contracts.errors import Refused
from analytics.measures.rows import ROLLED_MS, WIDTHS_MS
from analytics.windows.tumbling import RETENTIONS_MS
from streams.series import calendar
from streams.store import holdings

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
KEPT_BY: Final = holdings.WHOLE_BY
"""The table that tells since when a width is whole."""

WINDOW_TABLES: Final = {width: holdings.WINDOWS[width].table for width in WIDTHS_MS}
"""The table of the windows of each width that the stream folds."""


class Span(Struct, frozen=True):
    """From when until when, and how it is cut into steps, of which the outer ones may be cut."""

    from_ms: int
    until_ms: int
    step_ms: int
    width_ms: int
    zone: str = ""
    """The time zone whose clocks the steps follow; empty for UTC."""
    edges: tuple[int, ...] = ()
    """When the steps begin, where they do not begin at multiples of their length."""

    @property
    def starts(self) -> datetime:
        """When it starts."""
        return datetime.fromtimestamp(self.from_ms / 1000, tz=UTC)

    @property
    def ends(self) -> datetime:
        """When it ends."""
        return datetime.fromtimestamp(self.until_ms / 1000, tz=UTC)

    @property
    def points_ms(self) -> Sequence[int]:
        """When its steps begin, oldest first."""
        if self.edges:
            return self.edges
        return range(self.from_ms // self.step_ms * self.step_ms, self.until_ms, self.step_ms)

    @property
    def points(self) -> int:
        """How many points a series over this span has."""
        return len(self.points_ms)


def over(
    from_ms: int,
    until_ms: int,
    *,
    now_ms: int,
    since: Mapping[str, int] | None = None,
    zone: ZoneInfo | None = None,
) -> Span:
    """Return the span that covers `[from_ms, until_ms)`, its edges moved out to whole steps.

    `since` tells from when on each table is whole (`cover.since`), where retention is shorter than
    `KEPT_MS`. Raise `Refused` if nothing is kept that the steps of a zone are made of.
    """
    _check(from_ms, until_ms)
    known = since or {}
    spans = (
        _cut(from_ms, until_ms, step, zone)
        for step in STEPS_MS
        if _points(from_ms, until_ms, step) <= _points_max(step)
    )
    found = next((one for one in spans if _is_kept(one, now_ms, known)), None)
    if found is not None:
        return found
    widest = _cut(from_ms, until_ms, STEPS_MS[-1], zone)
    if zone is not None:
        _check_kept(widest, now_ms, known)
    return widest


def near(
    from_ms: int,
    until_ms: int,
    *,
    now_ms: int,
    since: Mapping[str, int],
    zone: ZoneInfo | None,
) -> Span:
    """Return the span as `over` does, in steps of UTC where nothing is kept of those of a zone."""
    try:
        return over(from_ms, until_ms, now_ms=now_ms, since=since, zone=zone)
    except Refused:
        return over(from_ms, until_ms, now_ms=now_ms, since=since)


def stepped(
    from_ms: int,
    until_ms: int,
    step_ms: int,
    *,
    now_ms: int,
    since: Mapping[str, int],
    zone: ZoneInfo | None = None,
) -> Span:
    """Return the span with steps of one width; raise `Refused` if they are too many, or gone."""
    _check(from_ms, until_ms)
    points = _points(from_ms, until_ms, step_ms)
    if points > ASKED_MAX:
        raise Refused(
            f"{points} points of {step_ms} ms are too many; ask for at most {ASKED_MAX}, "
            "over a shorter range or in wider steps"
        )
    found = _cut(from_ms, until_ms, step_ms, zone)
    _check_kept(found, now_ms, since)
    return found


def narrowest(
    from_ms: int,
    until_ms: int,
    *,
    now_ms: int,
    since: Mapping[str, int],
    zone: ZoneInfo | None = None,
) -> Span:
    """Return the span in the narrowest windows that are kept over all of it; raise `Refused`."""
    _check(from_ms, until_ms)
    spans = (_cut(from_ms, until_ms, width, zone) for width in ALL_MS)
    kept = next((one for one in spans if _is_kept(one, now_ms, since)), None)
    width_ms = ALL_MS[-1] if kept is None else kept.step_ms
    return stepped(from_ms, until_ms, width_ms, now_ms=now_ms, since=since, zone=zone)


def within(
    whole: Span, from_ms: int, until_ms: int, *, now_ms: int, since: Mapping[str, int]
) -> Span:
    """Return a span that counts only `[from_ms, until_ms)` of its first and last step.

    The edges are moved out to whole minutes (where the step is narrower: to whole steps), and where
    minutes are not kept any more, to the narrowest windows that are.
    """
    oldest = {width: _oldest(width, now_ms, since) for width in ALL_MS}
    finest = [width for width in ALL_MS if width <= whole.width_ms][-4:]
    if whole.step_ms > ALL_MS[0]:
        finest = [width for width in finest if width > ALL_MS[0]]
    first = next((w for w in finest if from_ms // w * w >= oldest[w]), 0)
    last = next((w for w in finest if max(from_ms, whole.points_ms[-1]) >= oldest[w]), 0)
    return structs.replace(
        whole,
        from_ms=max(whole.from_ms, from_ms // first * first if first else 0),
        until_ms=min(whole.until_ms, -(-until_ms // last) * last if last else whole.until_ms),
    )


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


def _cut(from_ms: int, until_ms: int, step_ms: int, zone: ZoneInfo | None = None) -> Span:
    width = max(width for width in ALL_MS if step_ms % width == 0)
    if zone is not None:
        edges = calendar.starts(from_ms, until_ms, step_ms, zone)
        end = calendar.end(edges[-1], step_ms, zone)
        if any(edge % step_ms for edge in edges):
            width = max(one for one in ALL_MS if one <= width and calendar.fit((*edges, end), one))
            return Span(edges[0], end, step_ms, width, zone.key, edges)
    start, end = _edges(from_ms, until_ms, step_ms)
    return Span(start, end, step_ms, width, "" if zone is None else zone.key)


def _check_kept(span: Span, now_ms: int, since: Mapping[str, int]) -> None:
    if _is_kept(span, now_ms, since):
        return
    if span.zone and span.width_ms < span.step_ms:
        oldest = datetime.fromtimestamp(_oldest(span.width_ms, now_ms, since) / 1_000, tz=UTC)
        kind = KEPT_BY[span.width_ms].partition("_")[2].upper()
        raise Refused(
            f"steps of {span.step_ms} ms in {span.zone!r} are made of windows of "
            f"{span.width_ms} ms, which are kept since {oldest:%Y-%m-%dT%H:%MZ}: begin later, ask "
            f"without a time zone, or keep them longer (MAINSTEM_STREAMS_WINDOW_{kind}_DAYS)"
        )
    raise Refused(f"windows of {span.width_ms} ms are not kept that far back; ask for wider ones")


def _is_kept(span: Span, now_ms: int, since: Mapping[str, int]) -> bool:
    return span.from_ms >= _oldest(span.width_ms, now_ms, since)


def _oldest(width_ms: int, now_ms: int, since: Mapping[str, int]) -> int:
    return max(now_ms - KEPT_MS[width_ms], since.get(KEPT_BY[width_ms], 0))


def _points(from_ms: int, until_ms: int, step_ms: int) -> int:
    start, end = _edges(from_ms, until_ms, step_ms)
    return (end - start) // step_ms


def _edges(from_ms: int, until_ms: int, step_ms: int) -> tuple[int, int]:
    return from_ms // step_ms * step_ms, -(-until_ms // step_ms) * step_ms
