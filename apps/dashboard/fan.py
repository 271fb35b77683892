"""The fan chart of a forecast: what was, what is expected, and how sure that is.

The bands of 80 and 95 % are areas with an edge; the edge, not the pale area, is what stands out
from the background. What was is a solid line and what is expected a dashed one.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import streamlit as st
from msgspec import Struct
from numpy.typing import NDArray

from apps.dashboard import charts
from apps.dashboard.text import Html
from apps.dashboard.theme import Palette

HEIGHT: Final = 300
NAMES: Final = ("Until now", "Expected", "80 % of the time within", "95 % of the time within")


class Point(Struct, frozen=True, kw_only=True):
    """What is expected of one step, which ends at `at_ms`."""

    at_ms: int
    mean: float
    low80: float
    high80: float
    low95: float
    high95: float


def draw(
    past_ms: NDArray[Any],
    past: NDArray[Any],
    points: Sequence[Point],
    *,
    colours: Palette,
    unit: str,
    alt: str,
) -> None:
    """Draw the fan after what was."""
    ahead = np.array([[getattr(one, name) for name in _BANDS] for one in points])
    gap = np.full((len(past), len(_BANDS)), np.nan)
    columns: dict[str, NDArray[Any]] = {
        "time": np.append(past_ms, [one.at_ms for one in points]),
        "past": np.append(past, np.full(len(points), np.nan)),
    }
    columns |= dict(zip(_BANDS, np.vstack([gap, ahead]).T, strict=True))
    spec = charts.framed(colours, unit=unit, days=charts.over_days(columns["time"]))
    first, second = colours.series[:2]
    spec["layer"] = [
        _band("low95", "high95", second, 0.14),
        _band("low80", "high80", second, 0.26),
        _line("past", first, [1, 0], unit),
        _line("mean", second, [6, 3], unit),
    ]
    data = charts.arrow(columns)
    st.vega_lite_chart(data, spec, theme=None, width="stretch", height=HEIGHT, alt=alt)


def key(colours: Palette) -> Html:
    """Return what is what in the chart."""
    first, second = colours.series[:2]
    inner, outer = f"{second}42", f"{second}24"
    return charts.swatches(
        zip(NAMES, (
            f"background:{charts.stroke([1, 0], first)}",
            f"background:{charts.stroke([6, 3], second)}",
            f"background:{inner};border:1px solid {second};height:10px",
            f"background:{outer};border:1px solid {second};height:10px",
        ), strict=True)
    )  # fmt: skip


def _band(low: str, high: str, colour: str, opacity: float) -> dict[str, Any]:
    return {
        "transform": [{"filter": f"isValid(datum.{low})"}],
        "mark": {
            "type": "area", "color": colour, "fillOpacity": opacity, "stroke": colour,
            "strokeWidth": 1, "aria": False, "tooltip": False,
        },
        "encoding": {
            "y": {"field": low, "type": "quantitative"}, "y2": {"field": high},
        },
    }  # fmt: skip


def _line(field: str, colour: str, dash: list[int], unit: str) -> dict[str, Any]:
    shown = [(field, NAMES[0 if field == "past" else 1])]
    if field == "mean":
        shown += [("low80", "80 % from"), ("high80", "80 % to"),
                  ("low95", "95 % from"), ("high95", "95 % to")]  # fmt: skip
    return {
        "transform": [{"filter": f"isValid(datum.{field})"}],
        "mark": {
            "type": "line", "color": colour, "strokeWidth": 2, "strokeDash": dash,
            "strokeCap": "round" if field == "past" else "butt", "aria": False,
        },
        "encoding": {
            "y": {"field": field, "type": "quantitative", "title": unit},
            "tooltip": [
                {"field": "time", "type": "temporal", "title": "Until", "format": "%d %b %H:%M"},
                *({"field": name, "type": "quantitative", "title": title, "format": ",.4~g"}
                  for name, title in shown),
            ],
        },
    }  # fmt: skip


_BANDS: Final = ("mean", "low80", "high80", "low95", "high95")
