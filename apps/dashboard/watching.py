"""How watched series are called and their readings written, the same on each page."""

from typing import Final, Protocol

from apps.dashboard import text

LABELS: Final = {
    "cost_usd": "Cost", "tokens": "Tokens", "requests": "Model requests",
    "request_errors": "Failed model requests", "request_p95_ms": "Model latency p95",
    "tool_calls": "Tool calls", "tool_errors": "Failed tool calls", "sessions": "Sessions begun",
    "events": "Events",
}  # fmt: skip
UNITS: Final = {
    "cost_usd": "US dollars a minute", "tokens": "Tokens a minute",
    "requests": "Requests a minute", "request_errors": "Failures a minute",
    "request_p95_ms": "Milliseconds", "tool_calls": "Calls a minute",
    "tool_errors": "Failures a minute", "sessions": "Sessions a minute",
    "events": "Events a minute",
}  # fmt: skip


class Known(Protocol):
    """What is known by a measure, and a part of a dimension."""

    @property
    def measure(self) -> str:
        """What is measured."""

    @property
    def dimension(self) -> str:
        """By what, or empty."""

    @property
    def part(self) -> str:
        """Of which part."""


def named(series: Known) -> str:
    """Return how a series is called: Cost, or Cost of model sonnet."""
    label = LABELS.get(series.measure, series.measure)
    if not series.dimension:
        return label
    return f"{label} of {series.dimension} {series.part or 'without a name'}"


def amount(measure: str, value: float | None) -> str:
    """Return a reading with its unit where it needs one."""
    if value is None:
        return text.NONE
    if measure == "cost_usd":
        return text.money(value * 1e9)
    if measure.endswith("_ms"):
        return text.duration(value)
    return text.figure(value)
