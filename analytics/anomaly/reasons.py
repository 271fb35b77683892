"""A verdict on a reading, and why, in words: what was expected, what came, how rare, what fired."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

WORDS: Final[Mapping[str, str]] = {
    "value": "a value far from any seen before",
    "level": "an average over the last readings far from any before",
    "spread": "readings that vary more or less than ever before",
    "jump": "a step away from the readings before it unlike any other",
    "hour": "a value unusual for this time of day or week",
    "silence": "no reading for far longer than ever before",
}
"""What each ingredient found when it fired."""


class ReadingScore(Struct, frozen=True, kw_only=True):
    """What a detector says of one reading; `rarities` are minus the logarithms of p-values."""

    at_ms: int
    value: float
    score: float
    is_anomaly: bool
    expected_low: float
    expected_high: float
    ingredient: str
    rarities: dict[str, float]
    reason: str


def reason_of(ingredient: str, value: float, *, low: float, high: float, rarity: float) -> str:
    """Return why a reading is an anomaly, in one sentence."""
    once_in = max(1, round(10 ** min(rarity, 15.0)))
    observed = "nothing" if value != value else f"{value:.6g}"  # noqa: PLR0124 - NaN alone differs
    return (
        f"{WORDS[ingredient]} ({ingredient}): observed {observed}, expected {low:.6g} to "
        f"{high:.6g}, as rare as once in {once_in:,} readings"
    )
