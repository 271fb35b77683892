"""What Explore asks: a question put together from parts, or an expression, and what it comes to.

A question is read from the address, so anyone with the link asks the same. Both kinds of question
come to the same: panels of lines over one grid of time, the largest line first. A point that has
nothing is 0 where it is a sum of the store's, and missing where an expression has no value.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from analytics.contracts.ids import DEFAULT_TENANT
from analytics.measures.rows import Grain
from analytics.promql import Series, parse, ranged
from analytics.promql.series import NAME
from apps.api.questions import AGGREGATIONS, AUTO, RAW, STEPS
from apps.dashboard.state import Address
from streams.monitoring import evaluation
from streams.queries import catalogue, grouped
from streams.queries.grouped import DIMENSIONS, GroupedQuery
from streams.series import cover, span
from streams.series.measures import Db
from streams.series.span import Span
from streams.series.store_series import EverySeries

BUILDER: Final = "builder"
PROMQL: Final = "promql"
MODES: Final = {BUILDER: "Query builder", PROMQL: "PromQL"}
MEASURES_MAX: Final = 4
BY_MAX: Final = 3
GROUPS: Final = ("5", "10", "25", "100")
"""How many groups can be asked for; an export has as many."""
EVALUATED_MS_MAX: Final = 5_000
"""Milliseconds that an expression may take."""
EXPRESSION_LENGTH_MAX: Final = 2_000
LINES_MAX: Final = 1_000
"""Lines of an expression that are kept, the largest."""


class Measure(Struct, frozen=True):
    """One measure: what it is called, in what unit, and what of that one count of it is."""

    label: str
    unit: str
    scale: float = 1.0


MEASURES: Final = {
    "cost_nanousd": Measure("Cost", "US dollars", 1e-9),
    "cost_estimated_nanousd": Measure("Estimated cost", "US dollars", 1e-9),
    "unpriced_calls": Measure("Model calls not priced", "Calls"),
    "unpriced_tokens": Measure("Tokens not priced", "Tokens"),
    "input_tokens": Measure("Input tokens", "Tokens"),
    "output_tokens": Measure("Output tokens", "Tokens"),
    "cache_read_tokens": Measure("Tokens read from cache", "Tokens"),
    "cache_write_tokens": Measure("Tokens written to cache", "Tokens"),
    "calls": Measure("Model calls", "Calls"),
    "call_errors": Measure("Failed model calls", "Calls"),
    "rate_limits": Measure("Rate limits", "Times"),
    "latency_sum_ms": Measure("Time in model calls", "Seconds", 1e-3),
    "latency_count": Measure("Timed model calls", "Calls"),
    "tool_calls": Measure("Tool calls", "Calls"),
    "tool_errors": Measure("Failed tool calls", "Calls"),
    "tool_refusals": Measure("Refused tool calls", "Calls"),
    "sessions": Measure("Sessions begun", "Sessions"),
    "prompts": Measure("Prompts", "Prompts"),
    "lines_added": Measure("Lines added", "Lines"),
    "lines_removed": Measure("Lines removed", "Lines"),
    "active_ms": Measure("Active time", "Seconds", 1e-3),
    "events": Measure("Events", "Events"),
}
"""What can be asked for, by its name in the store."""

BY: Final = {
    "project": "Project", "agent": "Agent", "model": "Model", "tool": "Tool", "skill": "Skill",
    "query_source": "Query source", "session_id": "Session",
}  # fmt: skip
"""What it can be kept apart by."""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked, without its range."""

    mode: str = BUILDER
    measures: tuple[str, ...] = ("cost_nanousd",)
    by: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()
    """Dimensions and the value that each must have."""
    step: str = AUTO
    groups: int = 5
    expression: str = ""


class Line(Struct, frozen=True, eq=False):
    """One group or one series: its labels and its value at each point, NaN where it has none."""

    labels: Mapping[str, str]
    values: NDArray[Any]


class ChartPanel(Struct, frozen=True, eq=False):
    """What one chart shows."""

    name: str
    """The column of an export."""
    title: str
    unit: str
    lines: tuple[Line, ...]


class Findings(Struct, frozen=True, eq=False, kw_only=True):
    """What a question comes to."""

    at_ms: NDArray[Any]
    step_ms: int
    panels: tuple[ChartPanel, ...]
    more: bool
    """Whether there are groups beyond those asked for."""
    zone: str = ""
    """The time zone whose days and hours the points are of; empty for UTC."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing answers the question."""
        return not any(panel.lines for panel in self.panels)


def of(found: Address) -> Question:
    """Return the question of an address; what has no meaning gives way and is named there."""
    default = Question()
    return Question(
        mode=found.choice("mode", MODES, BUILDER),
        measures=found.several("measures", MEASURES, most=MEASURES_MAX) or default.measures,
        by=found.several("by", BY, most=BY_MAX),
        only=tuple((name, value) for name in DIMENSIONS if (value := found.words(name))),
        step=found.choice("step", AGGREGATIONS, AUTO),
        groups=int(found.choice("top", GROUPS, str(default.groups))),
        expression=found.words("expr", most=EXPRESSION_LENGTH_MAX),
    )


def answered(
    db: Db,
    tenant: str,
    asked: Question,
    *,
    from_ms: int,
    until_ms: int,
    now_ms: int,
    zone: ZoneInfo | None = None,
) -> Findings:
    """Return what a question comes to over a range; raise `Refused` if it has no answer.

    Days are those of `zone`; where the step is chosen for the viewer, of UTC beyond what is kept.
    """
    since = cover.since(db, tenant)
    if asked.mode == PROMQL:
        over = _span(asked.step, from_ms, until_ms, now_ms=now_ms, since=since, zone=None)
        return _of_expression(db, tenant, asked.expression, over, now_ms=now_ms)
    whole = _span(asked.step, from_ms, until_ms, now_ms=now_ms, since=since, zone=zone)
    over = span.within(whole, from_ms, until_ms, now_ms=now_ms, since=since)
    wanted = GroupedQuery(
        span=over,
        measures=asked.measures,
        group_by=asked.by,
        only={name: (value,) for name, value in asked.only},
        limit=asked.groups,
    )
    answer = grouped.query(db, tenant, wanted)
    at_ms = np.array(over.points_ms, dtype=np.int64)
    panels = tuple(
        _panel(name, place, answer.groups, at_ms)
        for place, name in enumerate(asked.measures, start=1)
    )
    return Findings(
        at_ms=at_ms, step_ms=over.step_ms, panels=panels, more=answer.more, zone=over.zone
    )


def options(db: Db, tenant: str) -> dict[str, tuple[str, ...]]:
    """Return the values of each dimension among the first series of a tenant."""
    known = catalogue.listed(
        db, tenant, grain=Grain.FLEET, only={}, limit=catalogue.PAGE_MAX
    )  # fmt: skip
    found: dict[str, set[str]] = {name: set() for name in DIMENSIONS}
    for one in known:
        for name, value in one.labels.items():
            found[name].add(value)
    return {name: tuple(sorted(values)) for name, values in found.items()}


def _span(
    step: str,
    from_ms: int,
    until_ms: int,
    *,
    now_ms: int,
    since: Mapping[str, int],
    zone: ZoneInfo | None,
) -> Span:
    if step == AUTO:
        return span.near(from_ms, until_ms, now_ms=now_ms, since=since, zone=zone)
    if step == RAW:
        return span.narrowest(from_ms, until_ms, now_ms=now_ms, since=since)
    return span.stepped(from_ms, until_ms, STEPS[step], now_ms=now_ms, since=since, zone=zone)


def _panel(
    name: str, place: int, groups: Iterable[grouped.Group], at_ms: NDArray[Any]
) -> ChartPanel:
    measure = MEASURES[name]
    lines = []
    for group in groups:
        values = np.zeros(len(at_ms))
        points = np.array(group.points, dtype=np.int64)
        values[np.searchsorted(at_ms, points[:, 0])] = points[:, place] * measure.scale
        if values.any():
            lines.append(Line(group.labels, values))
    shown = tuple(sorted(lines, key=lambda line: -float(line.values.sum())))
    return ChartPanel(name, measure.label, measure.unit, shown)


def _of_expression(db: Db, tenant: str, text: str, over: Span, *, now_ms: int) -> Findings:
    until_ms = max(over.from_ms, min(over.until_ms, now_ms // over.step_ms * over.step_ms))
    storage = EverySeries(db, tenant, until_ms=now_ms, operator=tenant == DEFAULT_TENANT)
    budget = evaluation.within(EVALUATED_MS_MAX)
    found = ranged(
        parse(text), storage, over.from_ms, until_ms, step_ms=over.step_ms, budget=budget
    )
    at_ms = np.arange(over.from_ms, until_ms + 1, over.step_ms, dtype=np.int64)
    lines = sorted(
        (_line(one, at_ms, over.step_ms) for one in found), key=_size, reverse=True
    )  # fmt: skip
    panel = ChartPanel("value", "Value", "Value", tuple(lines[:LINES_MAX]))
    return Findings(
        at_ms=at_ms, step_ms=over.step_ms, panels=(panel,), more=len(lines) > LINES_MAX
    )  # fmt: skip


def _line(series: Series, at_ms: NDArray[Any], step_ms: int) -> Line:
    values = np.full(len(at_ms), np.nan)
    values[(series.times - at_ms[0]) // step_ms] = series.values
    return Line(dict(series.labels), values)


def _size(line: Line) -> float:
    finite = line.values[np.isfinite(line.values)]
    return float(np.abs(finite).mean()) if len(finite) else -1.0


def named(labels: Mapping[str, str], *, mode: str = PROMQL) -> str:
    """Return how a line is called: the values of its group, or as PromQL writes a series."""
    if mode == BUILDER:
        return ", ".join(value or "none" for value in labels.values()) or "All"
    pairs = ", ".join(f'{name}="{value}"' for name, value in labels.items() if name != NAME)
    return f"{labels.get(NAME, '')}{{{pairs}}}"
