"""The place of each sum in a list of all of them: what folding adds to.

While a batch is folded, sums are plain integers in the order of `rows.MEASURES`. Sums saturate at
what a column of 64 bits holds.
"""

from typing import Final

from msgspec import structs

from analytics.measures.rows import MEASURES, Measures

COLUMN_COUNT: Final = len(MEASURES)
SUM_MAX: Final = 2**63 - 1
"""The largest sum that is kept, either sign."""

SESSIONS: Final = MEASURES.index("sessions")
PROMPTS: Final = MEASURES.index("prompts")
CALLS: Final = MEASURES.index("calls")
CALL_ERRORS: Final = MEASURES.index("call_errors")
RATE_LIMITS: Final = MEASURES.index("rate_limits")
INPUT_TOKENS: Final = MEASURES.index("input_tokens")
OUTPUT_TOKENS: Final = MEASURES.index("output_tokens")
CACHE_READ_TOKENS: Final = MEASURES.index("cache_read_tokens")
CACHE_WRITE_TOKENS: Final = MEASURES.index("cache_write_tokens")
COST_NANOUSD: Final = MEASURES.index("cost_nanousd")
COST_ESTIMATED_NANOUSD: Final = MEASURES.index("cost_estimated_nanousd")
LATENCY_SUM_MS: Final = MEASURES.index("latency_sum_ms")
LATENCY_COUNT: Final = MEASURES.index("latency_count")
TOOL_CALLS: Final = MEASURES.index("tool_calls")
TOOL_ERRORS: Final = MEASURES.index("tool_errors")
TOOL_REFUSALS: Final = MEASURES.index("tool_refusals")
LINES_ADDED: Final = MEASURES.index("lines_added")
LINES_REMOVED: Final = MEASURES.index("lines_removed")
ACTIVE_MS: Final = MEASURES.index("active_ms")
USAGE_INPUT_TOKENS: Final = MEASURES.index("usage_input_tokens")
USAGE_OUTPUT_TOKENS: Final = MEASURES.index("usage_output_tokens")
USAGE_CACHE_READ_TOKENS: Final = MEASURES.index("usage_cache_read_tokens")
USAGE_CACHE_WRITE_TOKENS: Final = MEASURES.index("usage_cache_write_tokens")
USAGE_COST_NANOUSD: Final = MEASURES.index("usage_cost_nanousd")
USAGE_LINES_ADDED: Final = MEASURES.index("usage_lines_added")
USAGE_LINES_REMOVED: Final = MEASURES.index("usage_lines_removed")
USAGE_ACTIVE_MS: Final = MEASURES.index("usage_active_ms")
EVENTS: Final = MEASURES.index("events")
UNPRICED_CALLS: Final = MEASURES.index("unpriced_calls")
UNPRICED_TOKENS: Final = MEASURES.index("unpriced_tokens")

Sums = list[int]
"""A sum for every column."""


def sums_of(measures: Measures) -> Sums:
    """Return the sums that a row holds."""
    return list(structs.astuple(measures))
