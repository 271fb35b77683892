"""Charts of a line within bands: what was expected around it, and which of its points stand out.

A band is a pale area between two dashed strokes; strokes have the contrast of a line, so the area
says nothing that they do not. Points that stand out are diamonds. The key beside the chart and the
table of its numbers say the same in words.
"""

from typing import Any, Final

import numpy as np
import streamlit as st
from msgspec import Struct
from numpy.typing import NDArray

from apps.dashboard import charts
from apps.dashboard.text import Html, join
from apps.dashboard.theme import Palette

HEIGHT: Final = 260
_MARKED: Final = Html(
    '<div class="ms-legend"><span><span class="ms-bad" aria-hidden="true">◆</span> Anomaly</span>'
    "</div>"
)


class Band(Struct, frozen=True, eq=False):
    """A name, and between which values."""

    name: str
    low: NDArray[Any]
    high: NDArray[Any]


def key(line: str, bands: tuple[Band, ...], *, colours: Palette, marked: bool) -> Html:
    """Return which stroke is which."""
    names = charts.key((line, *(band.name for band in bands)), colours=colours)
    return join(names, _MARKED) if marked else names


def draw(
    at_ms: charts.Times,
    line: NDArray[Any],
    bands: tuple[Band, ...],
    *,
    colours: Palette,
    unit: str,
    alt: str,
    marks: NDArray[Any] | None = None,
) -> None:
    """Draw a line, the bands around it, and diamonds where `marks` has a value."""
    columns: dict[str, NDArray[Any]] = {"line": line}
    layers: list[dict[str, Any]] = []
    for place, band in reversed(list(enumerate(bands, start=1))):
        low, high = f"low{place}", f"high{place}"
        columns |= {low: band.low, high: band.high}
        layers.append(_area(low, high, colours.series[place]))
        layers += [_stroke(name, colours.series[place], place) for name in (low, high)]
    layers.append(_stroke("line", colours.series[0], 0))
    if marks is not None and np.isfinite(marks).any():
        columns["mark"] = marks
        layers.append(_diamonds(colours.bad))
    shown = charts.framed(colours, unit=unit, days=charts.over_days(at_ms))
    shown["layer"] = layers
    st.vega_lite_chart(
        charts.arrow({"time": at_ms, **columns}), shown, theme=None, width="stretch",
        height=HEIGHT, alt=alt,
    )  # fmt: skip


def _area(low: str, high: str, colour: str) -> dict[str, Any]:
    return {
        "mark": {"type": "area", "opacity": 0.13, "color": colour, "aria": False,
                 "invalid": "break-paths-show-domains"},
        "encoding": {"y": _y(low), "y2": {"field": high}},
    }  # fmt: skip


def _stroke(column: str, colour: str, place: int) -> dict[str, Any]:
    return {
        "mark": {"type": "line", "color": colour, "strokeWidth": 1.3 if place else 2,
                 "strokeDash": charts.DASHES[place], "aria": False,
                 "invalid": "break-paths-show-domains"},
        "encoding": {"y": _y(column)},
    }  # fmt: skip


def _diamonds(colour: str) -> dict[str, Any]:
    return {
        "mark": {"type": "point", "shape": "diamond", "filled": True, "size": 110, "opacity": 1,
                 "color": colour, "aria": False, "invalid": "filter"},
        "encoding": {"y": _y("mark")},
    }  # fmt: skip


def _y(column: str) -> dict[str, Any]:
    return {"field": column, "type": "quantitative"}
