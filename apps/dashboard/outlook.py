"""Forecasts: what is expected of the next hour, day or week, how sure that is, and budgets.

What was and what is expected are of the same steps, so that the one goes on where the other ends.
One question to the store answers the page; budgets are set and removed by a click alone.
"""

import math
from typing import Any, Final

import msgspec
import numpy as np
import streamlit as st
from msgspec import Struct
from numpy.typing import NDArray

from analytics.contracts.ids import TenantId
from analytics.monitoring.catalogue import Key, watch_id
from apps.dashboard import budgeting, fan, markup, text, viewing
from apps.dashboard.fan import Point
from apps.dashboard.markup import Heading
from apps.dashboard.text import Html, escaped
from apps.local import invocation
from streams.queries import monitoring, sessions
from streams.queries.monitoring import BudgetStatus, Forecast
from streams.series.measures import Db

HOUR_MS: Final = 3_600_000
HORIZONS: Final = {"hour": "Next hour", "day": "Next day", "week": "Next week"}
BACK_MS: Final = {"hour": 4 * HOUR_MS, "day": 48 * HOUR_MS, "week": 168 * HOUR_MS}
"""How much of what was is shown before each horizon."""
MEASURES: Final = {
    "cost_usd": ("Cost", "US dollars"), "tokens": ("Tokens", "Tokens"),
    "requests": ("Model requests", "Requests"),
    "request_errors": ("Failed requests", "Requests"), "sessions": ("Sessions", "Sessions"),
    "events": ("Events", "Events"),
}  # fmt: skip
"""What is forecast: its name and unit."""
ROWS_MAX: Final = 28
PARTS_MAX: Final = 200
NO_PARTS: Final[tuple[str, ...]] = ()


class Asked(Struct, frozen=True):
    """Which forecast is looked at."""

    measure: str
    project: str
    horizon: str


class Seen(Struct, frozen=True, kw_only=True, eq=False):
    """All that the page shows."""

    forecast: Forecast | None
    points: tuple[Point, ...]
    past_ms: NDArray[Any]
    past: NDArray[Any]
    budgets: tuple[BudgetStatus, ...]
    newest_ms: int | None


def page() -> None:
    """Show a forecast and the budgets."""
    found = viewing.address()
    viewing.title(
        "Forecasts", Html("What comes next, how sure that is, and how long budgets last.")
    )
    asked = Asked(
        found.choice("measure", MEASURES, "cost_usd"),
        found.words("project"),
        found.choice("horizon", HORIZONS, "day"),
    )
    live = found.choice("live", ("0", "1"), "1") == "1"
    _choices(asked, _projects(asked.measure), live=live)
    viewing.problems(found)
    viewing.live(lambda: _body(asked), on=live, every_s=viewing.settings().charts_refresh_s)
    budgeting.forms(_projects("cost_usd"))


def _projects(measure: str) -> tuple[str, ...]:
    """Return the projects of which a measure is forecast."""

    def query(db: Db, tenant: str) -> tuple[str, ...]:
        known = monitoring.forecasts(
            db, TenantId(tenant), measure=measure, horizon="day", limit=PARTS_MAX
        )
        return tuple(one.part for one in known if one.dimension == "project")

    return viewing.attempt(("forecast projects", measure), query, otherwise=NO_PARTS)


def _choices(asked: Asked, parts: tuple[str, ...], *, live: bool) -> None:
    st.session_state["forecast_horizon"] = asked.horizon
    st.session_state["forecast_measure"] = asked.measure
    st.session_state["forecast_project"] = asked.project
    st.session_state["forecast_live"] = live
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            f"Horizon, in {viewing.zone_name()} time", list(HORIZONS), key="forecast_horizon",
            format_func=lambda name: HORIZONS[name], required=True, on_change=_changed,
            args=("horizon", "day"),
        )  # fmt: skip
        st.selectbox(
            "Series", list(MEASURES), key="forecast_measure", on_change=_changed,
            args=("measure", "cost_usd"), format_func=lambda name: MEASURES[name][0], width=190,
        )  # fmt: skip
        st.selectbox(
            "Of", list(dict.fromkeys(("", *parts, asked.project))), key="forecast_project",
            on_change=_changed, args=("project", ""), width=240,
            format_func=lambda name: f"Project {name}" if name else "Whole fleet",
        )  # fmt: skip
        st.toggle("Live", key="forecast_live", on_change=_paused)


def _changed(name: str, default: str) -> None:
    value = str(st.session_state[f"forecast_{name}"] or "")
    forgotten = {"project": ""} if name == "measure" else {}
    viewing.push(**{name: "" if value == default else value}, **forgotten)


def _paused() -> None:
    viewing.push(live="" if st.session_state["forecast_live"] else "0")


def _body(asked: Asked) -> None:
    key = ("forecasts", asked, budgeting.changed())
    answer = viewing.ask(key, lambda db, tenant: _seen(db, tenant, asked))
    seen = answer.value
    viewing.freshness(answer)
    if seen.newest_ms is None:
        viewing.nothing_yet()
        return
    if seen.forecast is None:
        _none_yet(asked)
    else:
        _forecast(asked, seen, seen.forecast)
    budgeting.show(seen.budgets)


def _seen(db: Db, tenant: str, asked: Asked) -> Seen:
    known = monitoring.forecasts(
        db, TenantId(tenant), measure=asked.measure, horizon=asked.horizon, limit=PARTS_MAX
    )
    which = ("project" if asked.project else "", asked.project)
    forecast = next((one for one in known if (one.dimension, one.part) == which), None)
    past_ms, past = np.array([], dtype=np.int64), np.array([])
    if forecast is not None:
        past_ms, past = _past(db, tenant, forecast)
    return Seen(
        forecast=forecast,
        points=() if forecast is None else msgspec.convert(forecast.points, tuple[Point, ...]),
        past_ms=past_ms,
        past=past,
        budgets=monitoring.budgets(db, TenantId(tenant)),
        newest_ms=sessions.newest_ms(db, tenant),
    )


def _past(db: Db, tenant: str, forecast: Forecast) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what was, in the forecast's own steps, from the first reading on."""
    step_ms, until_ms = forecast.step_ms, forecast.made_ms
    key = Key(forecast.measure, forecast.dimension, forecast.part)
    readings = monitoring.timeline(
        db, TenantId(tenant), watch_id(tenant, key),
        from_ms=until_ms - BACK_MS[forecast.horizon], until_ms=until_ms,
    )  # fmt: skip
    if not readings:
        return np.array([], dtype=np.int64), np.array([])
    back = (until_ms - np.array([one.at_ms for one in readings], dtype=np.int64)) // step_ms
    sums = np.bincount(back, weights=[one.value for one in readings])[::-1]
    return until_ms - np.arange(len(sums), dtype=np.int64)[::-1] * step_ms, sums


def _none_yet(asked: Asked) -> None:
    of = f"project {asked.project}" if asked.project else "the whole fleet"
    viewing.show(
        markup.heading(2, "No forecast yet"),
        Html(
            f"<p>Nothing is forecast of {escaped(MEASURES[asked.measure][0].lower())} of "
            f"{escaped(of, most=80)}. A worker makes the first one within an hour of the first "
            "events; see whether it runs with:</p>"
        ),
    )
    st.code(invocation.command("doctor"), language=None, wrap_lines=True)


def _forecast(asked: Asked, seen: Seen, forecast: Forecast) -> None:
    name, unit = MEASURES[asked.measure]
    title = f"{name} of {asked.project}" if asked.project else name
    said = _said(seen.points, unit, forecast.step_ms)
    made = text.clock(forecast.made_ms, viewing.zone(), now_ms=viewing.now_ms())
    viewing.show(
        markup.heading(2, f"{title}, {HORIZONS[asked.horizon].lower()}"),
        markup.note(f"{said} Made at {made}, in steps of {text.duration(forecast.step_ms)}."),
        fan.key(viewing.colours()),
    )
    fan.draw(
        seen.past_ms, seen.past, seen.points, colours=viewing.colours(), unit=unit,
        alt=f"Forecast of {title}. {said}",
    )  # fmt: skip
    viewing.show(_table(seen.points, unit, forecast.step_ms))


def _said(points: tuple[Point, ...], unit: str, step_ms: int) -> str:
    """Say in a sentence what is expected."""
    most = max(points, key=lambda one: one.mean)
    total = _amount(math.fsum(one.mean for one in points), unit)
    counted = "" if unit == "US dollars" else f" {unit.lower()}"
    at = text.clock(most.at_ms, viewing.zone(), now_ms=viewing.now_ms())
    sure = f"95 % sure between {_amount(most.low95, unit)} and {_amount(most.high95, unit)}"
    if all(one.low95 == one.high95 for one in points):
        sure = "too little was seen yet to say how sure that is"
    return (
        f"{total}{counted} expected within {text.duration(step_ms * len(points))}; most in the "
        f"{text.duration(step_ms)} until {at}, with {_amount(most.mean, unit)}, and {sure}."
    )


def _amount(value: float, unit: str) -> str:
    return text.money(value * 1e9) if unit == "US dollars" else text.figure(value)


def _table(points: tuple[Point, ...], unit: str, step_ms: int) -> Html:
    every = -(-len(points) // ROWS_MAX)
    heads = (
        Heading(f"{text.duration(step_ms)} until", "tight"), Heading("Expected", "number"),
        Heading("80 % within", "number"), Heading("95 % within", "number"),
    )  # fmt: skip
    now_ms, zone = viewing.now_ms(), viewing.zone()
    rows = (
        (
            escaped(text.clock(one.at_ms, zone, now_ms=now_ms)),
            escaped(_amount(one.mean, unit)),
            _within(one.low80, one.high80, unit),
            _within(one.low95, one.high95, unit),
        )
        for one in points[every - 1 :: every]
    )
    which = "Each step" if every == 1 else f"Every {every}th step"
    return markup.table(f"{which} in numbers", heads, rows)


def _within(low: float, high: float, unit: str) -> Html:
    return escaped(f"{_amount(low, unit)} to {_amount(high, unit)}")
