"""Durations as Prometheus writes them: `1h30m`, units in falling order, `0` alone allowed.

Source: `ParseDuration` and `Duration.String` of prometheus/common's `model/time.go`.
"""

import re
from typing import Final

UNITS_MS: Final = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
"""Every unit with its length, longest first."""
DURATION_MAX_MS: Final = 2**63 // 1_000_000
"""The longest duration: what Prometheus holds in 64 bits of nanoseconds."""
_SHAPE: Final = re.compile("".join(rf"(?:(?P<{unit}>[0-9]+){unit})?" for unit in UNITS_MS))


def milliseconds(text: str) -> int:
    """Return the length of `text`; raise `ValueError` that says what is wrong."""
    if text == "0":
        return 0
    matched = _SHAPE.fullmatch(text)
    if not text or matched is None:
        raise ValueError(f"{text!r} is no duration: write it like 30s, 5m or 1h30m")
    total = sum(int(matched[unit] or 0) * length for unit, length in UNITS_MS.items())
    if total > DURATION_MAX_MS:
        raise ValueError(f"{text!r} is longer than {DURATION_MAX_MS // UNITS_MS['d']}d")
    return total


def written(length_ms: int) -> str:
    """Return the shortest way to write a duration; years and weeks only where exact."""
    if length_ms == 0:
        return "0s"
    parts = []
    for unit, length in UNITS_MS.items():
        if unit in {"y", "w"} and length_ms % length:
            continue
        count, length_ms = divmod(length_ms, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
