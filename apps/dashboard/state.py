"""What a viewer looks at, as the address says it: range, filters, sort, page.

Everything is read from the query parameters with defaults and bounds; a value that has no meaning
gives way to the default and leaves a sentence in `problems`. Writing changes only what differs
from the address, and what is at its default is left out of it.
"""

import re
from collections.abc import Collection, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from msgspec import Struct, structs

from streams.series.span import SPAN_MAX_MS

_MINUTE_MS: Final = 60_000
RANGES: Final = {
    "15m": 15 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "6h": 360 * _MINUTE_MS,
    "24h": 1_440 * _MINUTE_MS,
    "7d": 7 * 1_440 * _MINUTE_MS,
    "30d": 30 * 1_440 * _MINUTE_MS,
}
"""The ranges that end now, by their name in the address."""

CUSTOM: Final = "custom"
RANGE_NAMES: Final = {
    "15m": "15 min", "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d",
    CUSTOM: "Custom",
}  # fmt: skip
RANGE_WORDS: Final = {
    "15m": "The last 15 minutes", "1h": "The last hour", "6h": "The last 6 hours",
    "24h": "The last 24 hours", "7d": "The last 7 days", "30d": "The last 30 days",
    CUSTOM: "The chosen range",
}  # fmt: skip
DEFAULT_RANGE: Final = "1h"
CUSTOM_MIN_MS: Final = _MINUTE_MS
VALUE_LENGTH_MAX: Final = 200
"""Characters of a value in the address that are read."""

_SHOWN_MAX: Final = 40
_OWN_LINK: Final = re.compile(r'(<a\b[^>]*? href=")([^":#][^":#]*)(")')
"""A link that names no other place than a page of this dashboard."""


class Range(Struct, frozen=True, kw_only=True):
    """Which time is looked at: a named range that ends now, or a fixed one."""

    name: str = DEFAULT_RANGE
    from_ms: int = 0
    until_ms: int = 0
    live: bool = True
    """Whether the page follows what happens; never true of a fixed range in the past."""

    def bounds(self, now_ms: int) -> tuple[int, int]:
        """Return from when until when, as of `now_ms`."""
        if self.name == CUSTOM:
            return self.from_ms, self.until_ms
        return now_ms - RANGES[self.name], now_ms

    def is_past(self, now_ms: int) -> bool:
        """Return whether nothing new can fall into the range."""
        return self.name == CUSTOM and self.until_ms < now_ms


class Address:
    """The query parameters of one view: read with bounds, with sentences for what had none."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.problems: list[str] = []

    def choice(self, name: str, options: Collection[str], default: str) -> str:
        """Return one of `options`."""
        value = self._given.get(name, default)
        if value in options:
            return value
        shown = ", ".join(option for option in list(options)[:8] if option)
        return self._fallback(name, value, default, f"it can be {shown}")

    def number(self, name: str, default: int, *, least: int = 0, most: int) -> int:
        """Return a whole number within bounds."""
        value = self._given.get(name)
        if value is None:
            return default
        try:
            number = int(value[:20])
        except ValueError:
            self._fallback(name, value, str(default), "it is a whole number")
            return default
        if least <= number <= most:
            return number
        self._fallback(name, value, str(default), f"it goes from {least} to {most}")
        return default

    def several(self, name: str, options: Collection[str], *, most: int) -> tuple[str, ...]:
        """Return those of `options` that are named, with commas between, each once."""
        named = [part for part in self._given.get(name, "").split(",")[: len(options)] if part]
        known = tuple(dict.fromkeys(part for part in named if part in options))
        for part in named:
            if part not in options:
                self._fallback(name, part, "", f"it can be {', '.join(list(options)[:8])}")
        if len(known) > most:
            self._fallback(name, ",".join(known), ",".join(known[:most]), f"at most {most}")
        return known[:most]

    def words(self, name: str, *, most: int = VALUE_LENGTH_MAX) -> str:
        """Return free text, cut to what is read of one."""
        value = self._given.get(name, "")
        if len(value) > most:
            self.problems.append(f"“{name}” in the address was cut to {most} characters.")
        return value[:most]

    def range(self, now_ms: int) -> Range:
        """Return the range; a fixed one needs a start before its end and at most five years."""
        name = self.choice("range", RANGE_NAMES, DEFAULT_RANGE)
        live = self.choice("live", ("0", "1"), "1") == "1"
        if name != CUSTOM:
            return Range(name=name, live=live)
        start, end = self._moment("from"), self._moment("to")
        if start is None or end is None:
            return Range(live=live)
        if end - start < CUSTOM_MIN_MS or end - start > SPAN_MAX_MS or start > now_ms:
            self._fallback(
                "from", f"{self._given.get('from')} to {self._given.get('to')}",
                RANGE_NAMES[DEFAULT_RANGE],
                "a range starts before now and lasts from one minute to five years",
            )  # fmt: skip
            return Range(live=live)
        fixed = Range(name=CUSTOM, from_ms=start, until_ms=end, live=live)
        return structs.replace(fixed, live=live and not fixed.is_past(now_ms))

    def _moment(self, name: str) -> int | None:
        value = self._given.get(name, "")
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self._fallback(name, value, RANGE_NAMES[DEFAULT_RANGE], "write 2026-01-31T12:00Z")
            return None
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)

    def _fallback(self, name: str, value: str, default: str, hint: str) -> str:
        shown = value if len(value) <= _SHOWN_MAX else value[:_SHOWN_MAX] + "…"
        instead = f"showing “{default}” instead" if default else "leaving it out"
        self.problems.append(f"“{name}” cannot be “{shown}” ({hint}): {instead}.")
        return default


def moment(at_ms: int) -> str:
    """Return a moment as the address writes it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def of_range(chosen: Range) -> dict[str, str]:
    """Return the parameters that say `chosen`; what is at its default is empty."""
    fixed = chosen.name == CUSTOM
    return {
        "range": "" if chosen.name == DEFAULT_RANGE else chosen.name,
        "from": moment(chosen.from_ms) if fixed else "",
        "to": moment(chosen.until_ms) if fixed else "",
    }


def carried(markup: str, tenant: str) -> str:
    """Return markup whose links to pages of ours say the tenant too; empty text says none."""
    if not tenant:
        return markup
    words = urlencode({"tenant": tenant})

    def told(found: re.Match[str]) -> str:
        joint = "&amp;" if "?" in found[2] else "?"
        return f"{found[1]}{found[2]}{joint}{words}{found[3]}"

    return _OWN_LINK.sub(told, markup)


def write(address: MutableMapping[str, str], changes: Mapping[str, str]) -> bool:
    """Bring `changes` into the address, removing what is empty; return whether any differed."""
    differing = {name: value for name, value in changes.items() if address.get(name, "") != value}
    for name, value in differing.items():
        if value:
            address[name] = value
        else:
            del address[name]
    return bool(differing)


def link(page: str, **parameters: str) -> str:
    """Return the address of a page with its parameters, relative to the page at hand."""
    given = {name: value for name, value in parameters.items() if value}
    return f"{page or '.'}?{urlencode(given)}" if given else page or "."
