"""Time intervals: when a route is mute or active, in a time zone that is named.

An interval holds when each of its parts does: times of the day (end excluded, 24:00 allowed),
weekdays, days of the month (negative ones count from its end), months and years. A part that is
not given always holds. Days a month does not have are cut to those it has. Source: Alertmanager's
`timeinterval` package.
"""

import calendar
import re
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from analytics.alerts.documents import Node

WEEKDAYS: Final = (
    "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
)  # fmt: skip
MONTHS: Final = tuple(name.lower() for name in (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
))  # fmt: skip
_CLOCK: Final = re.compile(r"(?:([01]?[0-9]|2[0-3]):([0-5][0-9])|(24):(00))")
_FIELDS: Final = frozenset({"times", "weekdays", "days_of_month", "months", "years", "location"})
_TIMES: Final = frozenset({"start_time", "end_time"})

Spans = tuple[tuple[int, int], ...]
"""First and last, both included."""


class Interval(Struct, frozen=True, kw_only=True):
    """One time interval; an empty part holds always."""

    minutes: Spans = ()
    """Of the day, the last one excluded."""
    weekdays: Spans = ()
    days: Spans = ()
    months: Spans = ()
    years: Spans = ()
    zone: str = "UTC"

    def holds(self, at_ms: int) -> bool:
        """Say whether a time lies in the interval."""
        at = datetime.fromtimestamp(at_ms // 1_000, zone_named(self.zone))
        minute = at.hour * 60 + at.minute
        if self.minutes and not any(first <= minute < last for first, last in self.minutes):
            return False
        return (
            _within(self.weekdays, at.isoweekday() % 7)
            and self._has_day(at)
            and _within(self.months, at.month)
            and _within(self.years, at.year)
        )

    def _has_day(self, at: datetime) -> bool:
        if not self.days:
            return True
        length = calendar.monthrange(at.year, at.month)[1]
        return any(
            _day(first, length) <= at.day <= _day(last, length) and abs(first) <= length
            for first, last in self.days
        )


def zone_named(name: str) -> tzinfo:
    """Return a time zone; raise `ValueError` if there is none of that name."""
    if name in {"", "UTC"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone, such as Europe/Berlin") from None


def interval(node: Node) -> Interval:
    """Read one interval of a file; refuse what has no meaning."""
    fields = node.fields(_FIELDS)
    zone = fields["location"].text() if "location" in fields else "UTC"
    try:
        zone_named(zone)
    except ValueError as error:
        raise fields["location"].refuse(str(error)) from None
    return Interval(
        minutes=tuple(map(_minutes, _entries(fields, "times"))),
        weekdays=tuple(_span(one, WEEKDAYS, 0, (0, 6)) for one in _entries(fields, "weekdays")),
        days=tuple(_days(one) for one in _entries(fields, "days_of_month")),
        months=tuple(_span(one, MONTHS, 1, (1, 12)) for one in _entries(fields, "months")),
        years=tuple(_span(one, (), 0, (0, 9_999)) for one in _entries(fields, "years")),
        zone=zone,
    )


def _entries(fields: dict[str, Node], name: str) -> list[Node]:
    return fields[name].items() if name in fields else []


def _minutes(node: Node) -> tuple[int, int]:
    fields = node.fields(_TIMES)
    if len(fields) < 2:
        raise node.refuse("both start_time and end_time must be given")
    first, last = _minute(fields["start_time"]), _minute(fields["end_time"])
    if first >= last:
        raise node.refuse("start_time must lie before end_time; split what spans midnight")
    return first, last


def _minute(node: Node) -> int:
    found = _CLOCK.fullmatch(node.text())
    if found is None:
        raise node.refuse(f"{node.text()!r} is no time of day: write it like 08:30")
    return int(found[1] or found[3]) * 60 + int(found[2] or found[4])


def _span(
    node: Node, names: tuple[str, ...], offset: int, bounds: tuple[int, int]
) -> tuple[int, int]:
    parts = node.text().lower().split(":")
    if len(parts) > 2:
        raise node.refuse(f"{node.text()!r} has more than one colon")
    found = []
    for part in map(str.strip, parts):
        if part in names:
            found.append(names.index(part) + offset)
        elif re.fullmatch(r"-?[0-9]{1,4}", part) and names != WEEKDAYS:
            found.append(int(part))
        else:
            raise node.refuse(f"{part!r} is none of {', '.join(names) or 'the whole numbers'}")
    first, last = found[0], found[-1]
    if not bounds[0] <= first <= bounds[1] or not bounds[0] <= last <= bounds[1]:
        raise node.refuse(f"{node.text()!r} lies outside of {bounds[0]} to {bounds[1]}")
    if first > last and bounds[0] >= 0:
        raise node.refuse(f"{node.text()!r} ends before it begins")
    return first, last


def _days(node: Node) -> tuple[int, int]:
    first, last = _span(node, (), 0, (-31, 31))
    if first == 0 or last == 0:
        raise node.refuse("0 is no day of a month; days count from 1, or from -1 at its end")
    if first < 0 < last:
        raise node.refuse(f"{node.text()!r} begins at the end of a month and ends at its start")
    if (first < 0) == (last < 0) and first > last:
        raise node.refuse(f"{node.text()!r} ends before it begins")
    return first, last


def _day(day: int, length: int) -> int:
    return max(1, length + 1 + day) if day < 0 else min(day, length)


def _within(spans: Spans, value: int) -> bool:
    return not spans or any(first <= value <= last for first, last in spans)
