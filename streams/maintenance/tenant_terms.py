"""For how long a tenant's rows are kept: as everybody's, or less where the tenant asked for less.

Everybody's terms bound what is there at all, since whole partitions and chunks are dropped by them;
so a tenant can only have less. What a width is made of has to stay as long as it may be made again,
which is as long as everybody's 1-minute windows are kept: within that time the rollups of a tenant
go all at once or not at all. Minutes may go earlier by themselves: they are added up to 5 minutes.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

from analytics.contracts.errors import Refused
from streams.maintenance.retention import Retention

FIELDS: Final = {
    "events": "events_days",
    "10s": "window_10s_days",
    "1m": "window_1m_days",
    "5m": "window_5m_days",
    "1h": "window_1h_days",
    "1d": "window_1d_days",
    "sessions": "sessions_days",
    "dead_letters": "dead_letters_days",
}
"""Every kind of row that has a term, and the setting that says everybody's."""
WIDTHS: Final = ("10s", "1m", "5m", "1h", "1d")
ROLLED: Final = ("5m", "1h")
"""Rollups that a wider one is made of."""


class BadTerm(Refused):
    """A term that a tenant cannot have."""

    code = "bad-term"


def everybodys(kept: Retention) -> dict[str, int]:
    """Return the days that each kind of row is kept, a wider window as long as a narrower one."""
    days = {kind: int(getattr(kept, field)) for kind, field in FIELDS.items()}
    return _widened(days)


def effective(own: Mapping[str, int], kept: Retention) -> dict[str, int]:
    """Return the days that a tenant's rows are kept, whatever everybody's terms became since."""
    bounds = everybodys(kept)
    days = _widened({kind: min(own.get(kind, limit), limit) for kind, limit in bounds.items()})
    for width in ROLLED:
        if days[width] < bounds["1m"]:
            days[width] = min(days["1d"], bounds["1m"])
    return _widened(days)


def check(own: Mapping[str, int], kept: Retention) -> None:
    """Raise `BadTerm`, which says what to do, if a tenant cannot have these terms."""
    bounds = everybodys(kept)
    for kind, days in own.items():
        if kind not in bounds:
            raise BadTerm(f"there is no {kind!r} to keep: set one of {', '.join(FIELDS)}")
        if days < 1:
            raise BadTerm(f"{kind} cannot be kept for {days} days: 1 is the least")
        if days > bounds[kind]:
            setting = f"MAINSTEM_STREAMS_{FIELDS[kind].upper()}"
            raise BadTerm(
                f"{kind} is kept for {bounds[kind]} days for everybody, and a tenant may have less "
                f"but not {days}: raise {setting} first"
            )
    days_of = {kind: own.get(kind, limit) for kind, limit in bounds.items()}
    for narrow, wide in pairwise(WIDTHS):
        if days_of[wide] < days_of[narrow]:
            raise BadTerm(
                f"{wide} windows cannot be kept for {days_of[wide]} days and the narrower {narrow} "
                f"ones for {days_of[narrow]}: set both"
            )
    for width in ROLLED:
        if days_of[width] < bounds["1m"] and days_of[width] != days_of["1d"]:
            raise BadTerm(
                f"{width} rollups cannot be kept for {days_of[width]} days: either as long as "
                f"everybody's 1-minute windows ({bounds['1m']} days) or more, or as long as 1d "
                f"({days_of['1d']} days), so that all go at once"
            )


def _widened(days: Mapping[str, int]) -> dict[str, int]:
    widened = dict(days)
    longest = 0
    for width in WIDTHS:
        longest = widened[width] = max(longest, widened[width])
    return widened
