"""Charts: lines and stacked bars over time, as Vega-Lite with every colour set for contrast.

A chart is a constant specification and a table of numbers, so that a refresh sends numbers only
and the picture moves instead of being redrawn. Columns are numbers throughout and go to the
browser as Arrow without passing through pandas; they are named by place, so that a series may be
called anything. Series differ by dash as well as by colour where they are lines. A chart is drawn
as SVG and has one label; its numbers are beside it as a table.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from apps.dashboard.text import Html, escaped
from apps.dashboard.theme import Palette

HEIGHT: Final = 190
DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 2, 1, 2])
LINES_MAX: Final = len(DASHES)
"""Lines of one chart that can be told apart."""
_TIME: Final = "time"
_SHORT: Final = "format(datum.value, abs(datum.value) < 1 ? '~r' : '~s')"
KEY_LENGTH_MAX: Final = 80

Times = NDArray[Any]

Columns = Mapping[str, NDArray[Any]]


def lines(
    at_ms: Times, columns: Columns, *, colours: Palette, unit: str, alt: str, legend: bool = True
) -> None:
    """Draw one line a column, each with its own dash; a gap where there was nothing.

    Without a legend of its own, `key` tells which line is which.
    """
    names = list(columns)
    spec = _spec(names, unit=unit, colours=colours, days=over_days(at_ms))
    if not legend:
        spec["encoding"]["color"]["legend"] = None
    spec["mark"] = {
        "type": "line", "strokeWidth": 2, "invalid": "break-paths-show-domains", "clip": True,
        "aria": False,
    }  # fmt: skip
    spec["encoding"]["strokeDash"] = {
        "field": "series", "type": "nominal", "legend": _legend(names) if legend else None,
        "scale": {"domain": names, "range": DASHES[: len(names)]},
    }  # fmt: skip
    _draw(at_ms, columns, spec, alt)


def bars(at_ms: Times, columns: Columns, *, colours: Palette, unit: str, alt: str) -> None:
    """Draw stacked steps, one part a column; each point reaches until the next."""
    step_ms = at_ms[-1] - at_ms[-2] if len(at_ms) > 1 else 1
    ended = {name: np.append(column, column[-1:]) for name, column in columns.items()}
    spec = _spec(list(columns), unit=unit, colours=colours, days=over_days(at_ms))
    spec["mark"] = {"type": "area", "interpolate": "step-after", "clip": True, "aria": False}
    spec["encoding"]["y"]["stack"] = "zero"
    _draw(np.append(at_ms, at_ms[-1] + step_ms), ended, spec, alt)


def key(names: Sequence[str], *, colours: Palette) -> Html:
    """Return which line is which, for names that are too many or too long for a chart."""
    drawn = zip(names, colours.series, DASHES, strict=False)
    return swatches((name, f"background:{stroke(dash, colour)}") for name, colour, dash in drawn)


def swatches(items: Iterable[tuple[str, str]]) -> Html:
    """Return names, each beside a piece of what it names, given as CSS."""
    shown = "".join(
        f'<span><span class="ms-stroke" style="{style}"></span>'
        f"{escaped(name, most=KEY_LENGTH_MAX)}</span>"
        for name, style in items
    )
    return Html(f'<div class="ms-legend">{shown}</div>')


def stroke(dash: Sequence[int], colour: str) -> str:
    """Return a piece of a line as a CSS background: strokes and the gaps between them."""
    stops, at = [], 0
    for place, length in enumerate(dash):
        shown = "transparent" if place % 2 else colour
        stops.append(f"{shown} {at}px {at + length}px")
        at += length
    return f"repeating-linear-gradient(90deg,{','.join(stops)})"


def _draw(at_ms: Times, columns: Columns, spec: dict[str, Any], alt: str) -> None:
    held = {f"s{place}": column for place, column in enumerate(columns.values())}
    data = arrow({_TIME: at_ms, **held})
    st.vega_lite_chart(data, spec, theme=None, width="stretch", height=HEIGHT, alt=alt)


def over_days(at_ms: Times) -> bool:
    """Return whether a chart reaches over more than a day."""
    return bool(at_ms[-1] - at_ms[0] > 86_400_000)


def framed(colours: Palette, *, unit: str, days: bool) -> dict[str, Any]:
    """Return a specification without marks: axes of time and of `unit`, and all colours."""
    moment = "%d %b" if days else "%H:%M"
    return {
        "encoding": {
            "x": {
                "field": _TIME, "type": "temporal", "title": None,
                "axis": {"tickCount": 6, "format": moment},
            },
            "y": {
                "type": "quantitative", "title": unit,
                "axis": {"tickCount": 4, "labelExpr": _SHORT},
            },
        },
        "config": _config(colours),
        "background": colours.background,
        "usermeta": {"embedOptions": {"renderer": "svg"}},
    }  # fmt: skip


def _spec(names: list[str], *, unit: str, colours: Palette, days: bool) -> dict[str, Any]:
    colour = {"domain": names, "range": list(colours.series[: len(names)])}
    held = {f"s{place}": name for place, name in enumerate(names)}
    spec = framed(colours, unit=unit, days=days)
    spec["transform"] = [
        {"fold": list(held), "as": ["column", "value"]},
        {"calculate": f"{json.dumps(held)}[datum.column]", "as": "series"},
    ]
    spec["encoding"]["y"] |= {"field": "value", "stack": None}
    spec["encoding"] |= {
        "color": {
            "field": "series", "type": "nominal", "scale": colour, "legend": _legend(names),
        },
        "tooltip": [
            {"field": _TIME, "type": "temporal", "title": "Time", "format": "%d %b %H:%M:%S"},
            {"field": "series", "type": "nominal", "title": "What"},
            {"field": "value", "type": "quantitative", "title": unit, "format": ",.4~g"},
        ],
    }  # fmt: skip
    return spec


def _legend(names: list[str]) -> dict[str, Any] | None:
    """Return where the names of several series stand; one alone is named by the chart's title."""
    if len(names) == 1:
        return None
    return {"orient": "top", "title": None, "direction": "horizontal", "offset": 4}


def _config(colours: Palette) -> dict[str, Any]:
    font = '"Source Sans", sans-serif'
    return {
        "font": font,
        "view": {"stroke": None},
        "axis": {
            "labelColor": colours.muted, "titleColor": colours.muted, "domainColor": colours.line,
            "tickColor": colours.line, "gridColor": colours.line, "labelFontSize": 12,
            "titleFontSize": 12, "titleFontWeight": "normal", "labelFont": font, "titleFont": font,
            "domain": False, "ticks": False, "labelPadding": 6, "titlePadding": 8,
        },
        "axisX": {"grid": False, "domain": True},
        "legend": {
            "labelColor": colours.text, "labelFontSize": 12.5, "labelFont": font, "symbolSize": 90,
            "symbolStrokeWidth": 2.5, "columnPadding": 14,
        },
    }  # fmt: skip


def arrow(columns: Columns) -> object:
    """Return columns as an Arrow table over the arrays' own memory."""
    import pyarrow as pa

    arrays = []
    for column in columns.values():
        data = np.ascontiguousarray(column, dtype=np.float64)
        arrays.append(pa.Array.from_buffers(pa.float64(), len(data), [None, pa.py_buffer(data)]))
    return pa.Table.from_arrays(arrays, names=list(columns))
