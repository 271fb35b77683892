"""The second book: what senders' own metrics say of tokens, cost, lines and active time.

These are shown apart and never added to what events tell. A metric that is not in the table is
kept raw and counts in no sum. Running totals are turned into growth: a smaller total, or a newer
start, is a counter that began anew; a point older than the last one adds nothing.
"""

from math import isfinite
from typing import Final

from msgspec import Struct

from analytics.contracts.agent_events import UsageReported
from analytics.measures.columns import (
    USAGE_ACTIVE_MS,
    USAGE_CACHE_READ_TOKENS,
    USAGE_CACHE_WRITE_TOKENS,
    USAGE_COST_NANOUSD,
    USAGE_INPUT_TOKENS,
    USAGE_LINES_ADDED,
    USAGE_LINES_REMOVED,
    USAGE_OUTPUT_TOKENS,
)
from analytics.measures.merging import CounterState

VALUE_MAX: Final = 2.0**53
"""A scaled value beyond this is no count of anything and adds nothing."""

ANY_KIND: Final = "*"
"""The kind of a metric whose points all mean the same."""


class Meaning(Struct, frozen=True):
    """What a metric's points count, by their kind, and in how many of our units one is."""

    scale: int
    columns: dict[str, int]


_TOKENS: Final = Meaning(
    1,
    {
        "input": USAGE_INPUT_TOKENS,
        "output": USAGE_OUTPUT_TOKENS,
        "cacheRead": USAGE_CACHE_READ_TOKENS,
        "cacheCreation": USAGE_CACHE_WRITE_TOKENS,
        "cache": USAGE_CACHE_READ_TOKENS,
    },
)
_LINES: Final = Meaning(1, {"added": USAGE_LINES_ADDED, "removed": USAGE_LINES_REMOVED})

MEANINGS: Final[dict[str, Meaning]] = {
    "claude_code.token.usage": _TOKENS,
    "claude_code.cost.usage": Meaning(1_000_000_000, {ANY_KIND: USAGE_COST_NANOUSD}),
    "claude_code.lines_of_code.count": _LINES,
    "claude_code.active_time.total": Meaning(1_000, {ANY_KIND: USAGE_ACTIVE_MS}),
    "gemini_cli.token.usage": _TOKENS,
    "gemini_cli.lines.changed": _LINES,
}
"""The metrics that are counted. Gemini's `gen_ai.client.token.usage` repeats its own: not here."""


def reading(event: UsageReported) -> tuple[int, int] | None:
    """Return the column that a point counts in and its value in our units, if it counts."""
    meaning = MEANINGS.get(event.metric)
    if meaning is None:
        return None
    column = meaning.columns.get(event.kind, meaning.columns.get(ANY_KIND))
    scaled = event.value * meaning.scale
    if column is None or not isfinite(scaled) or abs(scaled) > VALUE_MAX:
        return None
    return column, round(scaled)


def growth(state: CounterState, *, start_ms: int, at_ms: int, total: int) -> int:
    """Take a running total's next point into `state`; return by how much it grew."""
    if start_ms < state.start_ms:
        return 0
    if start_ms > state.start_ms:
        state.start_ms, state.at_ms, state.total = start_ms, at_ms, total
        return total
    if at_ms < state.at_ms or (at_ms == state.at_ms and total <= state.total):
        return 0
    grown = total - state.total if total >= state.total else total
    state.at_ms, state.total = at_ms, total
    return grown
