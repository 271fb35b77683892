"""Explore: any measures by any dimensions, or an expression, as charts, tables and files.

The address holds the whole question, so a view is saved by keeping its link. An expression that
cannot be read is answered with its line and column; one that cannot be evaluated with the reason.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from analytics.contracts.errors import Refused
from analytics.promql import BadExpression, parse
from apps.api.questions import AGGREGATIONS
from apps.dashboard import charts, exports, inquiry, markup, readings, text, viewing
from apps.dashboard.inquiry import (
    BUILDER,
    BY,
    MEASURES,
    MODES,
    PROMQL,
    ChartPanel,
    Findings,
    Line,
    Question,
)
from apps.dashboard.markup import Heading
from apps.dashboard.source import CachedAnswer
from apps.dashboard.state import CUSTOM, Range, link, of_range
from apps.dashboard.text import Html, escaped, join
from streams.queries import sessions
from streams.series.measures import Db

ROWS_MAX: Final = 100
"""Rows of a table; a file has all."""
POINTS_MAX: Final = 1_500
"""Points of a line that is drawn."""
STEP_NAMES: Final = {
    "auto": "As fits", "raw": "Narrowest kept", "10s": "10 seconds", "1m": "1 minute",
    "5m": "5 minutes", "1h": "1 hour", "1d": "1 day",
}  # fmt: skip
VIEWS: Final = {
    "Cost by model, last 7 days": {"measures": "cost_nanousd", "by": "model", "range": "7d"},
    "Where the tokens come from, last 24 hours": {
        "measures": "input_tokens,output_tokens,cache_read_tokens,cache_write_tokens",
        "range": "24h",
    },
    "Tools that fail, last 24 hours": {
        "measures": "tool_errors,tool_calls", "by": "tool", "range": "24h",
    },
    "The dearest sessions, last 24 hours": {
        "measures": "cost_nanousd", "by": "session_id", "range": "24h", "top": "10",
    },
    "Share of tool calls that fail": {
        "mode": PROMQL,
        "expr": "sum by (tool) (rate(tool_errors_total[10m]))\n"
                "  / sum by (tool) (rate(tool_calls_total[10m]))",
    },
    "Slowest twentieth of model calls, by model": {
        "mode": PROMQL,
        "expr": "histogram_quantile(0.95, sum by (model) (rate(request_duration_ms[10m])))",
    },
}  # fmt: skip
"""Questions to start from, by what they show."""
PARTS: Final = ("measures", "by", "step", "top", "expr", *BY)
NO_OPTIONS: Final[dict[str, tuple[str, ...]]] = {}


def page() -> None:
    """Show the question and what it comes to."""
    found = viewing.address()
    viewing.title("Explore", Html("Ask for any measure by any dimension, or in PromQL."))
    chosen = viewing.range_picker(found)
    asked = inquiry.of(found)
    wants_numbers = found.choice("numbers", ("0", "1"), "0") == "1"
    _mode(asked)
    if asked.mode == PROMQL:
        _expression(asked)
    else:
        _parts(asked)
        _filters(asked)
    viewing.problems(found)
    if asked.mode == PROMQL and not asked.expression.strip():
        viewing.show(markup.note("Write an expression above, or start from a view below."))
    elif _is_readable(asked):
        viewing.live(
            lambda: _body(asked, chosen, numbers=wants_numbers),
            on=chosen.live,
            every_s=viewing.settings().charts_refresh_s,
        )
    _links(chosen)


def _mode(asked: Question) -> None:
    st.session_state["explore_mode"] = asked.mode
    st.segmented_control(
        "Ask by", list(MODES), key="explore_mode", format_func=lambda name: MODES[name],
        required=True, on_change=_changed, args=("mode", BUILDER),
    )  # fmt: skip


def _parts(asked: Question) -> None:
    st.session_state["explore_measures"] = list(asked.measures)
    st.session_state["explore_by"] = list(asked.by)
    st.session_state["explore_top"] = str(asked.groups)
    with st.expander(f"Measures: {', '.join(MEASURES[name].label for name in asked.measures)}"):
        st.pills(
            f"Measures, at most {inquiry.MEASURES_MAX}", list(MEASURES), key="explore_measures",
            selection_mode="multi", format_func=lambda name: MEASURES[name].label, wrap=True,
            on_change=_changed, args=("measures", "cost_nanousd"),
        )  # fmt: skip
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.pills(
            f"Group by, at most {inquiry.BY_MAX}", list(BY), key="explore_by",
            selection_mode="multi", format_func=lambda name: BY[name], wrap=True,
            on_change=_changed, args=("by", ""),
        )  # fmt: skip
        _step(asked)
        st.selectbox(
            "Groups", list(inquiry.GROUPS), key="explore_top", on_change=_changed,
            args=("top", "5"), width=125, format_func=lambda number: f"Largest {number}",
        )  # fmt: skip


def _step(asked: Question) -> None:
    st.session_state["explore_step"] = asked.step
    st.selectbox(
        "Points every", list(AGGREGATIONS), key="explore_step", on_change=_changed,
        args=("step", "auto"), width=150, format_func=lambda name: STEP_NAMES[name],
    )  # fmt: skip


def _filters(asked: Question) -> None:
    known = viewing.attempt(("explore options",), inquiry.options, otherwise=NO_OPTIONS)
    only = dict(asked.only)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        for name, label in BY.items():
            here, key = only.get(name, ""), f"explore_{name}"
            st.session_state[key] = here
            if name == "session_id":
                st.text_input(
                    "Session id", key=key, on_change=_changed, args=(name, ""), width=150,
                    max_chars=200, placeholder="All",
                )  # fmt: skip
                continue
            st.selectbox(
                f"Only {label.lower()}", list(dict.fromkeys(("", here, *known.get(name, ())))),
                key=key, on_change=_changed, args=(name, ""), width=138,
                format_func=lambda value: value or "All",
            )  # fmt: skip


def _expression(asked: Question) -> None:
    st.session_state["explore_expr"] = asked.expression
    st.text_area(
        "Expression", key="explore_expr", on_change=_changed, args=("expr", ""), height=104,
        max_chars=inquiry.EXPRESSION_LENGTH_MAX,
        placeholder="sum by (model) (rate(cost_usd_total[5m]))",
        help="PromQL over the series of this fleet. Ctrl+Enter evaluates it.",
    )  # fmt: skip
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        _step(asked)
        st.button("Evaluate")


def _changed(name: str, default: str) -> None:
    given = st.session_state[f"explore_{name}"]
    value = ",".join(given) if isinstance(given, list) else str(given or "")
    viewing.push(**{name: "" if value == default else value})


def _is_readable(asked: Question) -> bool:
    """Say where an expression cannot be read, without asking the store."""
    if asked.mode != PROMQL:
        return True
    try:
        parse(asked.expression)
    except BadExpression as error:
        place = f"Line {error.line}, column {error.column}"
        _refused(f"{place}: the expression cannot be read.", error.reason)
        st.code(_marked(error), language=None)
        return False
    return True


def _marked(error: BadExpression) -> str:
    """Return the expression with a mark under the place that is wrong."""
    rows = error.text.splitlines() or [""]
    rows.insert(min(error.line, len(rows)), " " * max(0, error.column - 1) + "^")
    return "\n".join(rows)


def _refused(heading: str, reason: str) -> None:
    words = Html(f"<p><strong>{escaped(heading)}</strong> {escaped(reason, most=600)}</p>")
    viewing.show(markup.panel(Html(f'<div role="status">{words}</div>'), kind="alarm"))


def _ask(asked: Question, chosen: Range) -> CachedAnswer[tuple[Findings, int | None]]:
    now_ms = viewing.now_ms()
    start, end = chosen.bounds(now_ms)
    zone = viewing.place()

    def query(db: Db, tenant: str) -> tuple[Findings, int | None]:
        found = inquiry.answered(
            db, tenant, asked, from_ms=start, until_ms=end, now_ms=now_ms, zone=zone
        )
        return found, sessions.newest_ms(db, tenant)

    return viewing.ask(("explore", asked, chosen, zone), query)


def _body(asked: Question, chosen: Range, *, numbers: bool) -> None:
    try:
        answer = _ask(asked, chosen)
    except Refused as error:
        _refused("This cannot be answered.", str(error))
        return
    found, newest_ms = answer.value
    viewing.freshness(answer)
    if newest_ms is None:
        viewing.nothing_yet()
        return
    if found.is_empty:
        viewing.show(
            markup.heading(2, "Nothing answers this"),
            markup.lede("Take a filter away, choose a longer range, or ask for something else."),
        )
        return
    _tools(asked, chosen, numbers=numbers)
    viewing.days_of(found.zone, found.step_ms)
    for panel in found.panels:
        _panel(asked, found, panel, numbers=numbers)
    viewing.show(_table(asked, found))


def _tools(asked: Question, chosen: Range, *, numbers: bool) -> None:
    st.session_state["explore_numbers"] = numbers
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.toggle("Show the numbers of each chart", key="explore_numbers", on_change=_toggled)
        for kind, label, mime, write in (
            ("csv", "Download CSV", "text/csv", exports.as_csv),
            ("parquet", "Download Parquet", "application/vnd.apache.parquet", exports.as_parquet),
        ):
            st.download_button(
                label, data=partial(_exported, write, asked, chosen), file_name=f"explore.{kind}",
                mime=mime, on_click="ignore",
            )  # fmt: skip


def _exported(write: Callable[[Findings], bytes], asked: Question, chosen: Range) -> bytes:
    return write(_ask(asked, chosen).value[0])


def _toggled() -> None:
    viewing.push(numbers="1" if st.session_state["explore_numbers"] else "")


def _panel(asked: Question, found: Findings, panel: ChartPanel, *, numbers: bool) -> None:
    if not panel.lines:
        viewing.show(markup.heading(2, panel.title), markup.note("Nothing in this range."))
        return
    drawn = panel.lines[: charts.LINES_MAX]
    names = _names(drawn, asked.mode)
    said = _said(asked, found, panel)
    if len(panel.lines) > len(drawn):
        said += f" The {len(drawn)} largest of {len(panel.lines)} are drawn."
    viewing.show(markup.heading(2, panel.title), markup.note(said))
    columns = {name: _finite(line.values) for name, line in zip(names, drawn, strict=True)}
    if len(found.at_ms) > POINTS_MAX:
        viewing.show(markup.note(f"{len(found.at_ms):,} points are too many for a chart: choose "
                                 "wider steps, or download them."))  # fmt: skip
    elif len(drawn) == 1 and asked.mode == BUILDER:
        charts.bars(found.at_ms, columns, colours=viewing.colours(), unit=panel.unit,
                    alt=f"{panel.title} over time. {said}")  # fmt: skip
    else:
        viewing.show(charts.key(names, colours=viewing.colours()))
        charts.lines(found.at_ms, columns, colours=viewing.colours(), unit=panel.unit,
                     alt=f"{panel.title} over time. {said}", legend=False)  # fmt: skip
    if numbers:
        readings.show(
            panel.title if panel.title == panel.unit else f"{panel.title}, {panel.unit}",
            found.at_ms,
            columns,
        )


def _names(lines: tuple[Line, ...], mode: str) -> list[str]:
    names: list[str] = []
    for line in lines:
        name = inquiry.named(line.labels, mode=mode)
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isfinite(values), values, np.nan)


def _said(asked: Question, found: Findings, panel: ChartPanel) -> str:
    """Say in one sentence what the chart shows."""
    now_ms, zone = viewing.now_ms(), viewing.zone()
    if asked.mode == BUILDER:
        total = np.sum([line.values for line in panel.lines], axis=0)
        place = int(total.argmax())
        at = text.clock(found.at_ms[place], zone, now_ms=now_ms)
        whole, most = _amount(total.sum(), panel.unit), _amount(total[place], panel.unit)
        of = f"by the {len(panel.lines)} largest groups" if found.more else "in all"
        return f"{whole} {of}; most at {at}, with {most} in {text.duration(found.step_ms)}."
    grid = np.array([_finite(line.values) for line in panel.lines])
    if np.isnan(grid).all():
        return "No value is a number."
    row, place = divmod(int(np.nanargmax(grid)), grid.shape[1])
    at = text.clock(found.at_ms[place], zone, now_ms=now_ms)
    name = inquiry.named(panel.lines[row].labels)
    name = name if len(name) <= charts.KEY_LENGTH_MAX else name[: charts.KEY_LENGTH_MAX] + "…"
    series = text.plural(len(panel.lines), "series", "series")
    return f"{series}; highest at {at}, with {text.figure(grid[row, place])} for {name}."


def _amount(value: float, unit: str) -> str:
    return text.money(value * 1e9) if unit == "US dollars" else text.figure(value)


def _table(asked: Question, found: Findings) -> Html:
    if asked.mode == PROMQL:
        return _series(found.panels[0])
    totals: dict[tuple[str, ...], list[str]] = {}
    for place, panel in enumerate(found.panels):
        for line in panel.lines:
            row = totals.setdefault(tuple(line.labels.values()), ["0"] * len(found.panels))
            row[place] = _amount(float(line.values.sum()), panel.unit)
    heads = (
        *(Heading(BY[name], "wide" if place == 0 else "") for place, name in enumerate(asked.by)),
        *(Heading(panel.title, "number") for panel in found.panels),
    )
    rows = (
        (*_labels(asked.by, key), *(escaped(cell) for cell in cells))
        for key, cells in list(totals.items())[:ROWS_MAX]
    )
    more = ", and there are more" if found.more else ""
    title = f"Totals of the {text.plural(len(totals), 'largest group')}{more}"
    return markup.table(title if asked.by else "Totals", heads, rows)


def _labels(by: tuple[str, ...], values: tuple[str, ...]) -> tuple[Html, ...]:
    return tuple(
        markup.link(link("session", session=value), value, most=60)
        if name == "session_id" and value
        else escaped(value or "none", most=80)
        for name, value in zip(by, values, strict=True)
    )


def _series(panel: ChartPanel) -> Html:
    heads = (
        Heading("Series", "wide"), Heading("Newest", "number"),
        Heading("Least", "number", optional=True), Heading("Most", "number", optional=True),
    )  # fmt: skip
    rows = (_row(line) for line in panel.lines[:ROWS_MAX])
    of = f"The largest {ROWS_MAX} of " if len(panel.lines) > ROWS_MAX else ""
    return markup.table(f"{of}{len(panel.lines)} series", heads, rows)


def _row(line: Line) -> tuple[Html, ...]:
    there = line.values[~np.isnan(line.values)]
    if not len(there):
        return escaped(inquiry.named(line.labels), most=200), *(escaped(text.NONE),) * 3
    figures = (there[-1], there.min(), there.max())
    name = Html(f'<span class="ms-mono">{escaped(inquiry.named(line.labels), most=200)}</span>')
    return name, *(escaped(text.figure(float(one))) for one in figures)


def _links(chosen: Range) -> None:
    viewing.show(markup.heading(2, "Keep or share this view"))
    given = {name: st.query_params[name] for name in st.query_params}
    viewing.show(markup.note("Whoever opens this link asks the same question of the newest data."))
    viewing.show(_written(_link(given)))
    if chosen.name != CUSTOM:
        start, end = chosen.bounds(viewing.now_ms() // 60_000 * 60_000)
        fixed = of_range(Range(name=CUSTOM, from_ms=start, until_ms=end))
        viewing.show(markup.note("This one holds on to the time that is shown now."))
        viewing.show(_written(_link(given | fixed)))
    items = join(*(Html(f"<li>{markup.link(link('explore', **view), name)}</li>")
                   for name, view in VIEWS.items()))  # fmt: skip
    listed = Html(f'<ul class="ms-views">{items}</ul>')
    viewing.show(markup.heading(2, "Views to start from"), listed)


def _written(address: str) -> Html:
    # A block of code would load a highlighter for it.
    return Html(f'<p class="ms-mono">{markup.link(address, address)}</p>')


def _link(given: dict[str, str]) -> str:
    here = st.context.url or "explore"
    return f"{here.partition('?')[0]}?{urlencode(given)}" if given else here
