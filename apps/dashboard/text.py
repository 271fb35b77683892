"""Numbers, times and other people's words, as the dashboard writes them.

One way for each: money with its unit, whole numbers with separators, times in the viewer's zone.
Whatever an agent or a person wrote is untrusted: it reaches a page only through `escaped`.
"""

import html
import math
import unicodedata
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final, NewType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Html = NewType("Html", str)
"""Markup that is safe to show: every foreign text in it was escaped."""

NONE: Final = "–"
"""What stands where there is no value."""

_NANO: Final = 1_000_000_000
_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_UNSEEN: Final = {"Cc", "Cf", "Cs", "Co", "Cn"}


def escaped(foreign: object, *, most: int = 0) -> Html:
    """Return foreign text as safe markup, without control and direction characters.

    A text longer than `most` characters is cut and ends in an ellipsis; 0 cuts nothing.
    """
    words = "".join(
        " " if char in "\n\r\t" else char
        for char in str(foreign)
        if char in "\n\r\t" or unicodedata.category(char) not in _UNSEEN
    )
    if most and len(words) > most:
        words = words[: most - 1].rstrip() + "…"
    return Html(html.escape(words, quote=True))


def told(words: str, *, most: int = 0) -> Html:
    """Return a sentence of ours as safe markup, with what stands between backticks as code."""
    plain, *pairs = escaped(words, most=most).split("`")
    if len(pairs) % 2:
        return escaped(words, most=most)
    codes = (
        f"<code>{code}</code>{after}" for code, after in zip(pairs[::2], pairs[1::2], strict=True)
    )
    return Html(plain + "".join(codes))


def join(*parts: Html) -> Html:
    """Return several pieces of markup as one."""
    return Html("".join(parts))


def whole(number: float) -> str:
    """Return a count with separators: 1,234."""
    return f"{int(number):,}"


def figure(number: float) -> str:
    """Return a reading of a chart: a whole count, three digits of a fraction, or none."""
    if math.isnan(number):
        return NONE
    if math.isfinite(number) and (abs(number) >= 1_000 or float(number).is_integer()):
        return whole(number)
    return f"{Decimal(f'{number:.3g}'):f}"


def short(number: float) -> str:
    """Return a count that fits a tile: 987,654, then 12.3 M."""
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(number) >= size:
            return f"{number / size:,.1f} {unit}"
    return whole(number)


NOT_PRICED: Final = "not priced"
"""What is shown for the cost of tokens of models without a price."""


def money(nanousd: float) -> str:
    """Return an amount in dollars: $3.10; below a cent as far as it says something."""
    dollars = nanousd / _NANO
    if dollars and abs(dollars) < 0.01:
        return f"${dollars:.4f}"
    return f"${dollars:,.2f}"


def cost(nanousd: float, unpriced_tokens: float) -> str:
    """Return what was spent in dollars, or that it is not known, as tokens have no price."""
    return NOT_PRICED if unpriced_tokens and not nanousd else money(nanousd)


def duration(ms: float | None) -> str:
    """Return how long something took: 340 ms, 2.4 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if ms is None or math.isnan(ms):
        return NONE
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1_000:.1f} s"
    for size, unit, small, small_unit in (
        (_DAY_MS, "d", _HOUR_MS, "h"),
        (_HOUR_MS, "h", _MINUTE_MS, "min"),
        (_MINUTE_MS, "min", 1_000, "s"),
    ):
        if ms >= size:
            rest = int(ms % size // small)
            return f"{int(ms // size)} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{ms / 1_000:.0f} s"


def since(ms: float) -> str:
    """Return an age coarsely, so that it changes seldom: under a minute, 4 min, 2 h, 3 d."""
    if ms < _MINUTE_MS:
        return "under a minute"
    for size, unit in ((_DAY_MS, "d"), (_HOUR_MS, "h"), (_MINUTE_MS, "min")):
        if ms >= size:
            return f"{int(ms // size)} {unit}"
    raise AssertionError(ms)


def size(amount: float) -> str:
    """Return a size in bytes: 512 B, 3.4 MB."""
    for step, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= step:
            return f"{amount / step:,.1f} {unit}"
    return f"{amount:.0f} B"


def share(part: float, of: float) -> str:
    """Return a share in percent; none of nothing."""
    return f"{100 * part / of:.1f}%" if of else NONE


def zone(name: str | None) -> tzinfo:
    """Return the viewer's time zone, or UTC where the browser names none we know."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def clock(at_ms: float, zone: tzinfo, *, now_ms: float | None = None, seconds: bool = False) -> str:
    """Return a moment: 14:02 today, 21 Nov 14:02 this year, else with the year."""
    at = datetime.fromtimestamp(at_ms / 1000, tz=zone)
    time = f"{at:%H:%M:%S}" if seconds else f"{at:%H:%M}"
    if now_ms is None:
        return f"{at.day} {at:%b %Y} {time}"
    now = datetime.fromtimestamp(now_ms / 1000, tz=zone)
    if at.date() == now.date():
        return time
    if at.year == now.year:
        return f"{at.day} {at:%b} {time}"
    return f"{at.day} {at:%b %Y} {time}"


def plural(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 session, 2 sessions."""
    return f"{whole(number)} {one if number == 1 else many or one + 's'}"
