"""The series that rules, queries and dashboards see: every name with its labels and unit.

This table is the contract between the store and expressions: an adapter exposes exactly these, and
docs/reference/series.md is made of it. A counter is the running sum of a measure over its labels; a
gauge is what holds at a moment; a sketch answers `histogram_quantile`. Labels that are empty are
left out.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct, structs


class Sort(StrEnum):
    """How a series behaves over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    SKETCH = "sketch"


class Exposed(Struct, frozen=True):
    """One family of series."""

    name: str
    sort: Sort
    unit: str
    labels: tuple[str, ...]
    about: str
    measure: str = ""
    """The sum of `analytics.measures` it is made of, where it is made of one."""
    scale: float = 1.0
    """What a unit of the measure is in the unit of the series."""


FLEET: Final = ("project", "agent", "model", "tool", "skill", "query_source")
"""The labels of windows over all sessions."""
SESSION: Final = ("project", "agent", "session_id", "model", "user", "team")
"""The labels of windows of one session; `user` and `team` come from the session."""
_ANY: Final = (*FLEET, "session_id", "user", "team")
_ONE: Final = ("project", "agent", "session_id", "user", "team")


SESSION_PREFIX: Final = "session_"
"""What a series of sessions is called by, before the name of the fleet's."""


def _counter(name: str, measure: str, about: str, unit: str = "", scale: float = 1.0) -> Exposed:
    return Exposed(name, Sort.COUNTER, unit or "1", FLEET, about, measure, scale)


_OF_FLEET: Final = (
    _counter("sessions_total", "sessions", "Sessions that began."),
    _counter("prompts_total", "prompts", "Prompts handed in."),
    _counter("requests_total", "calls", "Model requests that ended, whether they worked or not."),
    _counter("request_errors_total", "call_errors", "Model requests that failed for good."),
    _counter("rate_limits_total", "rate_limits", "Model requests turned down as too many."),
    _counter("input_tokens_total", "input_tokens", "Tokens read, without cached ones.", "tokens"),
    _counter("output_tokens_total", "output_tokens", "Tokens written.", "tokens"),
    _counter("cache_read_tokens_total", "cache_read_tokens", "Tokens from the cache.", "tokens"),
    _counter("cache_write_tokens_total", "cache_write_tokens", "Tokens put there.", "tokens"),
    _counter("cost_usd_total", "cost_nanousd", "Cost, told and estimated.", "USD", 1e-9),
    _counter(
        "cost_estimated_usd_total", "cost_estimated_nanousd", "Of it estimated.", "USD", 1e-9
    ),
    _counter(
        "unpriced_requests_total", "unpriced_calls", "Model requests whose cost is not known."
    ),
    _counter(
        "unpriced_tokens_total", "unpriced_tokens", "Tokens that they took, in 'cost_usd_total' 0.",
        "tokens",
    ),
    _counter("tool_calls_total", "tool_calls", "Tool calls that ended."),
    _counter("tool_errors_total", "tool_errors", "Tool calls that failed."),
    _counter("tool_refusals_total", "tool_refusals", "Tool calls that were not allowed."),
    _counter("lines_added_total", "lines_added", "Lines of code added.", "lines"),
    _counter("lines_removed_total", "lines_removed", "Lines of code removed.", "lines"),
    _counter("active_seconds_total", "active_ms", "Time at work.", "seconds", 1e-3),
    _counter("events_total", "events", "Events counted."),
    Exposed(
        "request_duration_ms", Sort.SKETCH, "ms", FLEET, "How long model requests took.",
        "latency_sum_ms", 1e-3,
    ),
)  # fmt: skip
_OF_SESSIONS: Final = tuple(
    structs.replace(one, name=SESSION_PREFIX + one.name, labels=SESSION) for one in _OF_FLEET
)
EXPOSED: Final = (
    *_OF_FLEET,
    *_OF_SESSIONS,
    Exposed("session_state", Sort.GAUGE, "1", (*_ONE, "state"),
            "1 for the state that a session is in: running, waiting, idle, stuck, …."),
    Exposed("session_state_seconds", Sort.GAUGE, "seconds", (*_ONE, "state"),
            "How long a session has been in its state."),
    Exposed("session_silent_seconds", Sort.GAUGE, "seconds", _ONE,
            "How long a session that runs has sent no event."),
    Exposed("background_tasks", Sort.GAUGE, "1", _ONE,
            "Background tasks of a session, as of its last turn."),
    Exposed("request_attempts_max", Sort.GAUGE, "1", _ONE,
            "The most attempts of a failed model request in the last minute."),
    Exposed("refusals_total", Sort.COUNTER, "1", _ONE, "Model requests refused for good."),
    Exposed("overloads_total", Sort.COUNTER, "1", _ONE, "Model requests turned down as overload."),
    Exposed("compactions_total", Sort.COUNTER, "1", _ONE, "Times a context was made smaller."),
    Exposed("tool_repeats_max", Sort.GAUGE, "1", (*_ONE, "tool"),
            "How often the same tool had the same input within 10 minutes, nothing else changed."),
    Exposed("mcp_server_up", Sort.GAUGE, "1", (*_ONE, "mcp_server"),
            "1 while a session's MCP server is connected, 0 while it failed or is away."),
    Exposed("permission_mode", Sort.GAUGE, "1", (*_ONE, "mode"),
            "1 for the permission mode that a session is in."),
    Exposed("anomaly_score", Sort.GAUGE, "0..1", ("series", *_ANY),
            "How odd the last window of a series was."),
    Exposed("forecast_low", Sort.GAUGE, "as the series", ("series", "level", *_ANY),
            "The lower end of what was forecast for the window, at a level of 80 or 95."),
    Exposed("forecast_high", Sort.GAUGE, "as the series", ("series", "level", *_ANY),
            "The upper end of it."),
    Exposed("forecast_exhaustion_seconds", Sort.GAUGE, "seconds", ("budget", "project", "team"),
            "When a budget is forecast to run out, from the window on."),
    Exposed("watermark_lag_seconds", Sort.GAUGE, "seconds", ("topic", "partition"),
            "How far the watermark is behind the newest event."),
    Exposed("dead_letters_total", Sort.COUNTER, "1", ("topic",), "Records that could not be read."),
    Exposed("review_acceptance_share", Sort.GAUGE, "0..1", ("project",),
            "Share of shown findings that people took, over the last 50 labels."),
    Exposed("ALERTS", Sort.GAUGE, "1", ("alertname", "alertstate"),
            "1 for every alert that is pending or fires, with the alert's own labels."),
    Exposed("ALERTS_FOR_STATE", Sort.GAUGE, "seconds", ("alertname",),
            "Since when it is, in seconds since 1970."),
)  # fmt: skip
"""Every family, in the order of the page."""
BY_NAME: Final = {one.name: one for one in EXPOSED}


def page() -> str:
    """Return docs/reference/series.md."""
    rows = [
        f"| `{one.name}` | {one.sort.value} | {one.unit} | {_listed(one.labels)} "
        f"| `{one.measure}` | {one.about} |".replace("| `` |", "| |")
        for one in EXPOSED
    ]
    return "\n".join(
        (
            "# Series",
            "",
            "Generated by `make docs` from `analytics/alerts/rules/exposed.py`; do not edit.",
            "These are the series that rules of alerts, queries and `/metrics` of results name.",
            "Values lie",
            "on closed windows in event time: every 10 s and, rolled up, every minute and more.",
            "Labels that are empty are left out. Series of sessions and of the fleet are of the",
            "same events, so they have names apart, and a sum counts nothing twice.",
            "",
            "| series | kind | unit | labels | made of | |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        )
    )


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)
