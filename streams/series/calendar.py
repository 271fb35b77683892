"""Steps of time as the clocks of a place show them: its days, its weeks and the parts of its days.

A day begins at the place's midnight and has 23 to 25 hours where clocks change; a week begins on
Monday. Parts of a day begin at 00:00, 03:00 and so on of the place's clocks; hours and narrower
steps are as long as they say, and begin at whole ones of the place's clocks. Everything here is
plain reckoning over the rules of the IANA database.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from analytics.contracts.errors import Refused

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
WEEK_MS: Final = 7 * DAY_MS
NAME_LENGTH_MAX: Final = 64


class BadZone(Refused):
    """A name that is no time zone."""

    code = "bad-zone"


def zone_of(name: str) -> ZoneInfo:
    """Return a zone by its IANA name; raise `BadZone` if there is none."""
    try:
        if name and len(name) <= NAME_LENGTH_MAX:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise BadZone(
        f"no time zone {name[:NAME_LENGTH_MAX]!r}; give an IANA name such as 'Europe/Berlin'"
    )


def starts(from_ms: int, until_ms: int, step_ms: int, zone: ZoneInfo) -> tuple[int, ...]:
    """Return when the steps begin that `[from_ms, until_ms)` touches, oldest first."""
    found: list[int] = []
    for start in _starts(from_ms, step_ms, zone):
        if start >= until_ms:
            break
        if start <= from_ms:
            found = [start]
        elif start > found[-1]:
            found.append(start)
    return tuple(found)


def end(start_ms: int, step_ms: int, zone: ZoneInfo) -> int:
    """Return when the step ends that begins at `start_ms`."""
    if step_ms <= HOUR_MS:
        return start_ms + step_ms  # also where clocks moved by half an hour since the first step
    return next(one for one in _starts(start_ms, step_ms, zone) if one > start_ms)


def _starts(from_ms: int, step_ms: int, zone: ZoneInfo) -> Iterator[int]:
    """Yield when steps begin, from one that is not after `from_ms` on."""
    if step_ms <= HOUR_MS:
        shift = _offset_ms(from_ms, zone) % step_ms
        start = (from_ms + shift) // step_ms * step_ms - shift
        while True:
            yield start
            start += step_ms
    day = datetime.fromtimestamp(from_ms / 1_000, tz=zone).date()
    days, hours = max(1, step_ms // DAY_MS), range(0, 24, max(1, min(24, step_ms // HOUR_MS)))
    day -= timedelta(days=1 if days == 1 else day.weekday())
    while True:
        yield from (_instant(day, hour, zone) for hour in (hours if days == 1 else (0,)))
        day += timedelta(days=days)


def _instant(day: date, hour: int, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time(hour), tzinfo=zone)
    return int(local.astimezone(UTC).timestamp() * 1_000)


def _offset_ms(at_ms: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(at_ms / 1_000, tz=zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds() * 1_000)


def fit(edges: Sequence[int], width_ms: int) -> bool:
    """Say whether no window of a width lies across one of these edges."""
    return all(edge % width_ms == 0 for edge in edges)
