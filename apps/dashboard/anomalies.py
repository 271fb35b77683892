"""Anomalies: what was unlike before, why, within which band, and whether it was worth telling.

The address holds the range, the filters, the series that is drawn and the anomaly that is open. A
word on an anomaly reaches the detector of its series at its next minute.
"""

from typing import Any, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from analytics.contracts.ids import TenantId
from analytics.monitoring.catalogue import BY_NAME, STEP_MS
from apps.dashboard import bands, controlling, markup, readings, text, viewer, viewing, watching
from apps.dashboard.bands import Band
from apps.dashboard.markup import Heading
from apps.dashboard.state import Address, Range, link
from apps.dashboard.text import Html, escaped
from apps.local import invocation
from streams.queries import monitoring as asked
from streams.queries.monitoring import AnomalyFilter, AnomalyRow, SeriesReading
from streams.series.measures import Db
from streams.store import controls

LISTED_MAX: Final = 50
BUCKETS_MAX: Final = 600
"""Points that are drawn; of more, the oddest of each stretch."""
WORDS: Final = {"": "Any word", "useful": "Called useful", "noise": "Called noise"}
_COLUMNS: Final = (
    Heading("When", "tight"), Heading("Series", "wide"), Heading("Observed", "number"),
    Heading("Expected", "number", optional=True), Heading("Why", "wide", optional=True),
    Heading("Word", "tight", optional=True),
)  # fmt: skip


def page() -> None:
    """Show what was unusual."""
    found = viewing.address()
    viewing.title("Anomalies", Html("What was unlike before, why, and what was expected."))
    chosen = viewing.range_picker(found)
    measure = found.choice("measure", ("", *BY_NAME), "")
    word = found.choice("word", tuple(WORDS), "")
    opened = found.words("anomaly")
    watch_id = _picks(found, measure, word)
    viewing.problems(found)
    controlling.told()
    viewing.live(
        lambda: _body(chosen, measure, word, watch_id=watch_id, opened=opened),
        on=chosen.live, every_s=viewing.settings().charts_refresh_s,
    )  # fmt: skip


def _picks(found: Address, measure: str, word: str) -> int:
    known = viewing.attempt(("watched",), _watched, otherwise=())
    named = {str(one.watch_id): watching.named(one) for one in known}
    series = found.words("series")
    if series and known and series not in named:
        found.problems.append("The series in the address is not watched; showing another.")
        series = ""
    for key, value in (("measure", measure), ("word", word), ("series", series)):
        st.session_state[f"anomalies_{key}"] = value
    with st.container(horizontal=True, gap="medium"):
        st.selectbox(
            "Measure", ["", *BY_NAME], key="anomalies_measure", width=210,
            format_func=lambda name: watching.LABELS.get(name, "All measures"),
            on_change=_picked, args=("measure",),
        )  # fmt: skip
        st.selectbox(
            "Feedback", list(WORDS), key="anomalies_word", width=170,
            format_func=lambda name: WORDS[name], on_change=_picked, args=("word",),
        )  # fmt: skip
        st.selectbox(
            "Series drawn", ["", *named], key="anomalies_series", width=330,
            format_func=lambda name: named.get(name, "That of the anomaly shown"),
            on_change=_picked, args=("series",),
        )  # fmt: skip
    return int(series) if series in named else 0


def _watched(db: Db, tenant: str) -> tuple[asked.WatchedSeries, ...]:
    return asked.watched(db, TenantId(tenant))


def _picked(name: str) -> None:
    viewing.push(**{name: str(st.session_state[f"anomalies_{name}"] or "")})


def _body(chosen: Range, measure: str, word: str, *, watch_id: int, opened: str) -> None:
    start, end = chosen.bounds(viewing.now_ms())
    which = AnomalyFilter(from_ms=start, until_ms=end, measure=measure, feedback=word)
    answer = viewing.ask(
        ("anomalies", chosen, measure, word, controlling.version()),
        lambda db, tenant: asked.anomalies(db, TenantId(tenant), which, limit=LISTED_MAX),
    )
    viewing.freshness(answer)
    listed = answer.value
    known = {one.watch_id: one for one in viewing.ask(("watched",), _watched).value}
    if not known:
        viewing.show(
            markup.heading(2, "Nothing is watched yet"),
            markup.lede("A worker watches each series from its first minute on. Start one with:"),
        )
        st.code(invocation.command("up"), language=None, wrap_lines=True)
        return
    one = next((one for one in listed if one.anomaly_id == opened), None)
    if opened and one is None:
        viewing.show(markup.note("The anomaly of this link is not in the range and filters."))
    if one is not None:
        _detail(one)
    drawn = watch_id or (one or listed[0]).watch_id if one or listed else watch_id
    if drawn or known:
        _timeline(chosen, known.get(drawn) or next(iter(known.values())), listed)
    viewing.show(_table(listed, chosen))


def _table(listed: tuple[AnomalyRow, ...], chosen: Range) -> Html:
    if not listed:
        return markup.panel(
            Html('<p><strong class="ms-good">Nothing unusual</strong> in this range, '
                 "with these filters.</p>"), kind="calm",
        )  # fmt: skip
    now_ms, zone = viewing.now_ms(), viewing.zone()
    carried = viewing.remembered(chosen)
    rows = (
        (
            markup.link(
                link("anomalies", anomaly=one.anomaly_id, **carried),
                text.clock(one.at_ms, zone, now_ms=now_ms),
            ),
            escaped(watching.named(one), most=90),
            escaped(watching.amount(one.measure, one.value)),
            escaped(_expected(one)),
            escaped(one.reason, most=240),
            _word(one),
        )
        for one in listed
    )
    full = len(listed) == LISTED_MAX
    title = f"The newest {LISTED_MAX} anomalies" if full else _counted(len(listed))
    return markup.table(title, _COLUMNS, rows)


def _counted(number: int) -> str:
    return text.plural(number, "anomaly", "anomalies")


def _expected(one: AnomalyRow) -> str:
    low = watching.amount(one.measure, one.expected_low)
    return f"{low} to {watching.amount(one.measure, one.expected_high)}"


def _word(one: AnomalyRow) -> Html:
    if not one.feedback:
        return escaped(text.NONE)
    return markup.tag(one.feedback, "good" if one.feedback == "useful" else "muted")


def _detail(one: AnomalyRow) -> None:
    at = text.clock(one.at_ms, viewing.zone(), now_ms=viewing.now_ms())
    said = Html(
        f"<p><strong>{escaped(watching.named(one), most=120)}, {escaped(at)}</strong></p>"
        f"<p>{escaped(one.reason, most=600)}</p>"
        f"<p>Observed {escaped(watching.amount(one.measure, one.value))}, expected "
        f"{escaped(_expected(one))}; score {one.score:.3f}, found by {escaped(one.ingredient)}.</p>"
    )
    viewing.show(markup.heading(2, "This anomaly"), markup.panel(said, kind="alarm"))
    if one.contributors:
        viewing.show(_contributors(one))
    with st.container(horizontal=True, gap="small"):
        for word, label in (("useful", "Useful"), ("noise", "Noise"), ("", "Take back")):
            st.button(
                label, key=f"anomalies_say_{word}", on_click=_say, args=(one.anomaly_id, word),
                disabled=one.feedback == word or not viewer.may_change(),
            )  # fmt: skip


def _contributors(one: AnomalyRow) -> Html:
    heads = (Heading("What", "wide"), Heading("Change", "number"), Heading("Share", "number"))
    rows = (
        (
            escaped(
                f"{part.get('dimension', '')} {part.get('part', '') or 'none'}",
                most=90,
            ),
            escaped(watching.amount(one.measure, float(part.get("change", 0)))),
            escaped(f"{100 * float(part.get('share', 0)):.0f}%"),
        )
        for part in one.contributors[:8]
    )
    return markup.table("What contributed most", heads, rows)


def _say(anomaly_id: str, word: str) -> None:
    done = f"This anomaly is called {word}." if word else "The word on this anomaly is taken back."
    controlling.change(
        lambda db, tenant: controls.set_feedback(
            db, tenant, anomaly_id, word, by=viewer.who()
        ),
        done=done,
    )  # fmt: skip


def _timeline(chosen: Range, series: asked.WatchedSeries, listed: tuple[AnomalyRow, ...]) -> None:
    start, end = chosen.bounds(viewing.now_ms())
    seen = viewing.ask(
        ("timeline", chosen, series.watch_id),
        lambda db, tenant: asked.timeline(
            db, TenantId(tenant), series.watch_id, from_ms=start, until_ms=end
        ),
    ).value
    viewing.show(markup.heading(2, watching.named(series)))
    if not seen:
        viewing.show(markup.note("No reading of this series in the range."))
        return
    odd = {one.at_ms for one in listed if one.watch_id == series.watch_id}
    at_ms, value, low, high, marks = thinned(seen, odd, is_count=BY_NAME[series.measure].is_count)
    place, zone = int(np.nanargmax(value)), viewing.zone()
    at = text.clock(at_ms[place], zone, now_ms=viewing.now_ms())
    said = (
        f"Highest at {at}, with {watching.amount(series.measure, float(value[place]))}; "
        f"{_counted(len(odd))} marked."
    )
    drawn = (Band("Expected band", low, high),)
    colours, unit = viewing.colours(), watching.UNITS[series.measure]
    viewing.show(markup.note(said), bands.key("Observed", drawn, colours=colours, marked=bool(odd)))
    alt = f"{watching.named(series)} over time. {said}"
    bands.draw(at_ms, value, drawn, colours=colours, unit=unit, alt=alt, marks=marks)
    with st.expander("Show the numbers"):
        numbers = {"Observed": value, "Expected from": low, "to": high}
        readings.show(f"{watching.named(series)}, {unit}", at_ms, numbers)


def thinned(
    seen: tuple[SeriesReading, ...], odd: set[int], *, is_count: bool
) -> tuple[NDArray[Any], ...]:
    """Return times, values, bands and marks, few enough to draw; a quiet minute of a count is 0."""
    at_ms = np.array([one.at_ms for one in seen], dtype=np.int64)
    columns = np.array([(one.value, one.low, one.high, one.score) for one in seen])
    if is_count and len(at_ms) > 1:
        grid = np.arange(at_ms[0], at_ms[-1] + 1, STEP_MS)
        if len(grid) <= asked.POINTS_MAX:
            every = np.full((len(grid), 4), np.nan)
            every[:, (0, 3)] = 0.0
            every[(at_ms - at_ms[0]) // STEP_MS] = columns
            at_ms, columns = grid, every
    marked = np.isin(at_ms, np.array(sorted(odd), dtype=np.int64))
    stretch = -(-len(at_ms) // BUCKETS_MAX)
    if stretch > 1:
        oddness = columns[:, 3] + 2.0 * marked
        kept = [
            start + int(np.argmax(oddness[start : start + stretch]))
            for start in range(0, len(at_ms), stretch)
        ]
        at_ms, columns, marked = at_ms[kept], columns[kept], marked[kept]
    value, low, high = columns[:, 0], columns[:, 1], columns[:, 2]
    return at_ms, value, low, high, np.where(marked, value, np.nan)
