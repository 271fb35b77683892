"""What a caller asks, read from the parameters of a URL; whatever has no meaning is refused.

Times are epoch milliseconds, RFC 3339 text, or a distance back from now such as `-24h`. Nothing
here knows of HTTP or of the store.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from streams.queries.grouped import DIMENSIONS, VALUES_MAX, BadQuestion, GroupedQuery
from streams.queries.sessions import FACETS, SORTS, Filter
from streams.series import calendar, span
from streams.series.span import Span

AUTO: Final = "auto"
RAW: Final = "raw"
"""The narrowest windows that are still kept over the whole range."""
STEPS: Final = {
    "10s": 10_000, "1m": 60_000, "5m": 300_000, "1h": 3_600_000, "1d": 86_400_000,
}  # fmt: skip
AGGREGATIONS: Final = (AUTO, RAW, *STEPS)
DAY_MS: Final = 86_400_000
UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
_BACK: Final = re.compile(r"-(\d{1,9})([smhdw])")

Parameters = Mapping[str, Sequence[str]]


def instant(text: str, *, now_ms: int, zone: tzinfo = UTC) -> int:
    """Return a time in epoch ms, read in `zone` if it names none; raise `BadQuestion`."""
    if text == "now":
        return now_ms
    back = _BACK.fullmatch(text)
    if back is not None:
        return now_ms - int(back[1]) * UNITS_MS[back[2]]
    if text.isdecimal() and len(text) <= _DIGITS_MAX:
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadQuestion(
            f"{text[:40]!r} is no time; give epoch milliseconds, RFC 3339 or a distance like -24h"
        ) from error
    zoned = found if found.tzinfo is not None else found.replace(tzinfo=zone)
    return int(zoned.timestamp() * 1_000)


def range_of(asked: Parameters, *, now_ms: int, zone: tzinfo = UTC) -> tuple[int, int]:
    """Return from when until when; a day up to now where nothing is said."""
    from_ms = instant(one(asked, "from", "-24h"), now_ms=now_ms, zone=zone)
    until_ms = instant(one(asked, "until", "now"), now_ms=now_ms, zone=zone)
    if not 0 <= from_ms < until_ms:
        raise BadQuestion(f"the range from {from_ms} until {until_ms} is empty")
    return from_ms, until_ms


def zone_of(asked: Parameters) -> ZoneInfo | None:
    """Return the time zone whose days are asked for; None for UTC."""
    name = one(asked, "tz", "")
    return calendar.zone_of(name) if name not in {"", "UTC"} else None


def span_of(asked: Parameters, *, now_ms: int, since: Mapping[str, int]) -> Span:
    """Return the range cut into steps of the aggregation that is asked for."""
    zone = zone_of(asked)
    from_ms, until_ms = range_of(asked, now_ms=now_ms, zone=zone or UTC)
    aggregation = one(asked, "aggregation", AUTO)
    if aggregation == AUTO:
        found = span.over(from_ms, until_ms, now_ms=now_ms, since=since, zone=zone)
    elif aggregation == RAW:
        found = span.narrowest(from_ms, until_ms, now_ms=now_ms, since=since, zone=zone)
    elif aggregation in STEPS:
        step_ms = STEPS[aggregation]
        found = span.stepped(from_ms, until_ms, step_ms, now_ms=now_ms, since=since, zone=zone)
    else:
        raise BadQuestion(f"no aggregation {aggregation!r}; there are {', '.join(AGGREGATIONS)}")
    return span.within(found, from_ms, until_ms, now_ms=now_ms, since=since)


def wanted_of(asked: Parameters, over: Span) -> GroupedQuery:
    """Return which measures are asked for, by what and of what."""
    return GroupedQuery(
        span=over,
        measures=tuple(_listed(asked, "measures")) or ("events",),
        group_by=tuple(_listed(asked, "group_by")),
        only=only_of(asked),
        limit=number(asked, "limit", 100, least=1, most=1_000),
    )


def only_of(asked: Parameters) -> dict[str, tuple[str, ...]]:
    """Return the values that dimensions must have one of."""
    return {name: _values(asked, name) for name in DIMENSIONS if name in asked}


def filter_of(asked: Parameters, *, from_ms: int, until_ms: int) -> Filter:
    """Return which sessions of a range are asked for."""
    facets = {name: one(asked, name, "") for name in FACETS}
    return Filter(from_ms=from_ms, until_ms=until_ms, search=one(asked, "search", ""), **facets)


def sort_of(asked: Parameters, default: str = "recent") -> str:
    """Return by what sessions are sorted."""
    sort = one(asked, "sort", default)
    if sort not in SORTS:
        raise BadQuestion(f"no order {sort!r}; there are {', '.join(SORTS)}")
    return sort


def one(asked: Parameters, name: str, default: str) -> str:
    """Return the one value of a parameter."""
    values = asked.get(name) or (default,)
    if len(values) > 1:
        raise BadQuestion(f"{name!r} is given {len(values)} times; give it once")
    return values[0]


def number(asked: Parameters, name: str, default: int, *, least: int, most: int) -> int:
    """Return a whole number within its bounds."""
    text = one(asked, name, str(default))
    if not (text.isdecimal() and len(text) <= _DIGITS_MAX and least <= int(text) <= most):
        raise BadQuestion(f"{name!r} is a whole number from {least} to {most}, not {text[:40]!r}")
    return int(text)


def _listed(asked: Parameters, name: str) -> list[str]:
    """Return values that are given one by one, or with commas between them."""
    return [part for value in asked.get(name, ()) for part in value.split(",") if part]


def _values(asked: Parameters, name: str) -> tuple[str, ...]:
    values = tuple(asked[name])
    if len(values) > VALUES_MAX:
        raise BadQuestion(f"{name!r} names {len(values)} values; at most {VALUES_MAX}")
    return values


_DIGITS_MAX: Final = 15
"""Digits of a number that is looked at."""
