"""What senders' own metrics say of tokens, cost, lines and active time.

They are one of a session's two accounts, see `accounts`. A metric that is not in the table is kept
raw and counts in no sum. Running totals are turned into growth: each start of a series is a counter
of its own, so two programs that send totals in turn both count; a smaller total of one start is a
counter that began again; a point older than the last one adds nothing.
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
from analytics.measures.event_step import EventStep
from analytics.measures.merging import CounterState
from analytics.measures.session_memory import SessionMemory

VALUE_MAX: Final = 2.0**53
"""A scaled value beyond this is no count of anything and adds nothing."""

ANY_KIND: Final = "*"
"""The kind of a metric whose points all mean the same."""


Columns = tuple[tuple[int, int], ...]
"""Columns that a point is counted in, each with the sign."""


class Meaning(Struct, frozen=True):
    """What a metric's points count, by their kind, and in how many of our units one is."""

    scale: int
    columns: dict[str, Columns]
    costless: bool = False
    """Whether the points count tokens of which the sender's metrics never state a cost."""


_INPUT: Final[Columns] = ((USAGE_INPUT_TOKENS, 1),)
_OUTPUT: Final[Columns] = ((USAGE_OUTPUT_TOKENS, 1),)
_TOKENS: Final = Meaning(
    1,
    {
        "input": _INPUT,
        "output": _OUTPUT,
        "cacheRead": ((USAGE_CACHE_READ_TOKENS, 1),),
        "cacheCreation": ((USAGE_CACHE_WRITE_TOKENS, 1),),
    },
)
_GEMINI_TOKENS: Final = Meaning(
    1,
    {
        "input": _INPUT,
        "output": _OUTPUT,
        "thought": _OUTPUT,
        "tool": _INPUT,
        "cache": ((USAGE_CACHE_READ_TOKENS, 1), (USAGE_INPUT_TOKENS, -1)),
    },
    costless=True,
)
"""As its events are read: what was cached is part of the input, thoughts and tools of neither."""
_LINES: Final = Meaning(
    1, {"added": ((USAGE_LINES_ADDED, 1),), "removed": ((USAGE_LINES_REMOVED, 1),)}
)

MEANINGS: Final[dict[str, Meaning]] = {
    "claude_code.token.usage": _TOKENS,
    "claude_code.cost.usage": Meaning(1_000_000_000, {ANY_KIND: ((USAGE_COST_NANOUSD, 1),)}),
    "claude_code.lines_of_code.count": _LINES,
    "claude_code.active_time.total": Meaning(1_000, {ANY_KIND: ((USAGE_ACTIVE_MS, 1),)}),
    "gemini_cli.token.usage": _GEMINI_TOKENS,
    "gemini_cli.lines.changed": _LINES,
}
"""The metrics that are counted here; see `histograms` for those of the GenAI conventions."""


def reading(event: UsageReported) -> tuple[Columns, int] | None:
    """Return the columns that a point counts in and its value in our units, if it counts."""
    meaning = MEANINGS.get(event.metric)
    if meaning is None:
        return None
    columns = meaning.columns.get(event.kind, meaning.columns.get(ANY_KIND))
    scaled = event.value * meaning.scale
    if columns is None or not isfinite(scaled) or abs(scaled) > VALUE_MAX:
        return None
    return columns, round(scaled)


def counter_of(
    memory: SessionMemory, series: str, start_ms: int, at_ms: int
) -> CounterState | None:
    """Return the running total of a series since a start; None where it is too old to know."""
    key = (series, start_ms)
    state = memory.counters.get(key)
    if state is None:
        if start_ms <= memory.counters_floor_ms:
            return None
        state = CounterState(series, start_ms, at_ms, 0)
        memory.add_counter(state)
    memory.new_counters[key] = state
    return state


def growth(state: CounterState, *, at_ms: int, total: int) -> int:
    """Take a running total's next point into `state`; return by how much it grew."""
    if at_ms < state.at_ms or (at_ms == state.at_ms and total <= state.total):
        return 0
    grown = total - state.total if total >= state.total else total
    state.at_ms, state.total = at_ms, total
    return grown


def growth_of(step: EventStep, event: UsageReported, total: int) -> int:
    """Return by how much a running total grew with a point; nothing where that cannot be known."""
    series = event.series or f"{event.metric} {event.kind} {event.model}"
    state = counter_of(step.memory, series, event.start_ms, event.at_ms)
    if state is None:
        step.counters.counters_refused += 1
        return 0
    return growth(state, at_ms=event.at_ms, total=total)
