"""Alerts: what fires and why, what is silenced, rules, receivers, and what was told to whom.

The address holds the part that is shown and the alert that is open; a link with `silence=` opens
the form of a silence, filled in.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import streamlit as st
from msgspec import structs

from analytics.alerts import labels as label_sets
from analytics.alerts.notify import links
from analytics.alerts.rules.states import Alert as Told
from analytics.alerts.rules.states import AlertState
from analytics.alerts.silence import silences
from analytics.contracts.ids import TenantId
from apps.dashboard import (
    controlling,
    markup,
    receiving,
    rule_editor,
    silencing,
    text,
    viewer,
    viewing,
)
from apps.dashboard.markup import Heading, Tile
from apps.dashboard.source import CachedAnswer
from apps.dashboard.state import Address, link
from apps.dashboard.text import Html, escaped, join
from streams.queries import monitoring as asked
from streams.queries import notices
from streams.queries.monitoring import Alert
from streams.queries.notices import NoticeFilter
from streams.series.measures import Db
from streams.store import controls

T = TypeVar("T")

PARTS: Final = {
    "now": "Now", "silences": "Silences", "rules": "Rules", "receivers": "Receivers",
    "history": "History",
}  # fmt: skip
HISTORY_MS: Final = 7 * 86_400_000
LISTED_MAX: Final = 200
_COLUMNS: Final = (
    Heading("Alert", "wide"), Heading("State", "tight"), Heading("Since", "number"),
    Heading("Value", "number", optional=True), Heading("Do", "tight"),
)  # fmt: skip
_STATES: Final = {
    "firing": '<span class="ms-bad">✗ firing</span>',
    "pending": '<span class="ms-watch">! pending</span>',
    "resolved": '<span class="ms-good">✓ resolved</span>',
}


def page() -> None:
    """Show alerts."""
    found = viewing.address()
    viewing.title("Alerts", Html("What fires and why, who is told, and what is silenced."))
    filled = found.words("silence", most=silencing.LINK_LENGTH_MAX)
    part = found.choice("part", tuple(PARTS), "silences" if filled else "now")
    st.session_state["alerts_part"] = part
    st.segmented_control(
        "Shown", list(PARTS), key="alerts_part", format_func=lambda name: PARTS[name],
        required=True, on_change=_picked,
    )  # fmt: skip
    viewing.problems(found)
    controlling.told()
    if part == "silences":
        silencing.form(filled)
        viewing.live(silencing.listed, on=True)
        silencing.expire()
    elif part == "rules":
        rule_editor.editor(found)
    elif part == "receivers":
        receiving.editor()
    elif part == "history":
        viewing.live(_history, on=True)
    else:
        viewing.live(lambda: _now(found), on=True)


def _picked() -> None:
    part = str(st.session_state["alerts_part"])
    viewing.push(part="" if part == "now" else part, silence="")


def _ask(name: str, query: Callable[[Db, TenantId], T]) -> CachedAnswer[T]:
    return viewing.ask(
        (name, controlling.version()), lambda db, tenant: query(db, TenantId(tenant))
    )


def _now(found: Address) -> None:
    answer = _ask("alerts", lambda db, tenant: asked.alerts(db, tenant, limit=LISTED_MAX))
    viewing.freshness(answer)
    now_ms = viewing.now_ms()
    shown = answer.value
    mute = [one for one in shown if is_quiet(one) and one.state != "resolved"]
    loud = {
        state: [one for one in shown if one.state == state and one not in mute]
        for state in asked.STATES
    }
    viewing.show(_tiles(loud, mute))
    opened = found.words("alert")
    one = next((one for one in shown if one.fingerprint == opened), None)
    if one is not None:
        _detail(one, now_ms)
    elif opened:
        viewing.show(markup.note("The alert of this link is over or was never there."))
    if not loud["firing"] and not loud["pending"]:
        viewing.show(
            markup.panel(
                Html('<p><strong class="ms-good">Nothing fires.</strong> '
                     "No condition of a rule holds that is not silenced.</p>"), kind="calm",
            )
        )  # fmt: skip
    for title, rows in (
        ("Firing", loud["firing"]), ("Pending", loud["pending"]),
        ("Silenced or inhibited", mute), ("Resolved", loud["resolved"]),
    ):  # fmt: skip
        if rows:
            cells = (_row(row, now_ms) for row in rows)
            viewing.show(
                markup.heading(2, f"{title}: {len(rows)}"),
                markup.table(text.plural(len(rows), f"{title.lower()} alert"), _COLUMNS, cells),
            )


def is_quiet(one: Alert) -> bool:
    """Say whether nobody is notified of an alert."""
    return bool(one.silenced_by or one.inhibited_by)


def _tiles(loud: dict[str, list[Alert]], mute: list[Alert]) -> Html:
    taken = sum(1 for one in loud["firing"] if one.acknowledged_by)
    silenced = sum(1 for one in mute if one.silenced_by)
    return markup.tiles((
        Tile("Firing", text.whole(len(loud["firing"])), escaped(f"{taken} acknowledged")),
        Tile("Pending", text.whole(len(loud["pending"])), escaped("not held long enough yet")),
        Tile("Silenced", text.whole(silenced), escaped(f"{len(mute) - silenced} inhibited")),
        Tile("Resolved", text.whole(len(loud["resolved"])), escaped("lately")),
    ))  # fmt: skip


def _row(one: Alert, now_ms: int) -> tuple[Html, ...]:
    since_ms = one.starts_ms or one.active_ms
    severity = one.labels.get("severity", "")
    mark = markup.tag(severity, "bad" if severity == "critical" else "watch") if severity else ""
    said = one.annotations.get("summary") or one.annotations.get("description") or _written(one)
    name = join(
        markup.link(link("alerts", alert=one.fingerprint), one.rule, most=90),
        Html(f" {mark}"),
        Html(f'<br><span class="ms-aside">{escaped(said, most=240)}</span>'),
    )
    value = text.NONE if one.value is None else text.figure(one.value)
    return (
        name,
        _state(one),
        escaped(text.since(max(0, now_ms - since_ms))),
        escaped(value),
        join(
            markup.link(view_of(one), "View"),
            Html("<br>"),
            markup.link(silences.link(".", one.labels), "Silence"),
        ),
    )


def _state(one: Alert) -> Html:
    shown = Html(_STATES.get(one.state, escaped(one.state)))
    asides = []
    if one.silenced_by:
        asides.append("silenced")
    if one.inhibited_by:
        asides.append("inhibited")
    if one.acknowledged_by:
        asides.append(f"taken by {one.acknowledged_by}")
    if not asides:
        return shown
    return join(
        shown, Html(f'<br><span class="ms-aside">{escaped(", ".join(asides), most=60)}</span>')
    )


def view_of(one: Alert) -> str:
    """Return the address of the view that an alert is about."""
    alert = Told(
        labels=one.labels,
        source=label_sets.frozen(one.labels),
        annotations=one.annotations,
        state=AlertState.RESOLVED if one.state == "resolved" else AlertState.FIRING,
        active_at_ms=one.active_ms,
        starts_at_ms=one.starts_ms or one.active_ms,
        ends_at_ms=one.ends_ms,
    )
    if not alert.annotations.get("view") and not alert.labels.get("session_id"):
        alert = structs.replace(alert, annotations={**alert.annotations, "view": "anomalies"})
    return links.view(".", alert)


def _written(one: Alert) -> str:
    shown = (f"{name}={value}" for name, value in sorted(one.labels.items()) if name != "alertname")
    return ", ".join(shown)


def _detail(one: Alert, now_ms: int) -> None:
    zone = viewing.zone()
    rows = [(escaped(name), escaped(value, most=200)) for name, value in sorted(one.labels.items())]
    says = [
        Html(f"<p><strong>{escaped(name)}</strong> {escaped(value, most=600)}</p>")
        for name, value in sorted(one.annotations.items())
        if name not in {"silence", "dashboard", "session", "view"}
    ]
    since = text.clock(one.active_ms, zone, now_ms=now_ms)
    viewing.show(
        markup.heading(2, one.rule or "Alert"),
        markup.panel(
            join(Html(f"<p>{_state(one)}, its condition holds since {escaped(since)}.</p>"), *says),
            kind="alarm",
        ),
        markup.table("Labels", (Heading("Label", "tight"), Heading("Value", "wide")), rows),
    )
    st.button(
        "Acknowledge", key="alerts_acknowledge", on_click=_acknowledge, args=(one.fingerprint,),
        disabled=one.state != "firing" or bool(one.acknowledged_by) or not viewer.may_change(),
        help="Say that you take it on; who is told next waits.",
    )  # fmt: skip


def _acknowledge(fingerprint: str) -> None:
    controlling.change(
        lambda db, tenant: controls.acknowledge(
            db, tenant, fingerprint, by=viewer.who(), now_ms=viewing.now_ms()
        ),
        done="The alert is acknowledged; it is shown at the worker's next minute.",
    )


def _history() -> None:
    now_ms, zone = viewing.now_ms(), viewing.zone()
    changes = _ask(
        "alert changes",
        lambda db, tenant: asked.alert_changes(
            db, tenant, from_ms=now_ms - HISTORY_MS, until_ms=now_ms
        ),
    )
    which = NoticeFilter(from_ms=now_ms - HISTORY_MS, until_ms=now_ms)
    sent = _ask("notices", lambda db, tenant: notices.notices(db, tenant, which))
    viewing.freshness(changes, sent)
    viewing.show(markup.heading(2, "How alerts changed in 7 days"))
    if not changes.value:
        viewing.show(markup.note("No alert changed its state."))
    else:
        heads = (
            Heading("When", "tight"),
            Heading("Alert", "wide"),
            Heading("Was", "tight", optional=True),
            Heading("Became", "tight"),
        )
        rows = (
            (
                escaped(text.clock(one.at_ms, zone, now_ms=now_ms)),
                markup.link(
                    link("alerts", alert=one.fingerprint),
                    one.labels.get("alertname", one.fingerprint), most=90,
                ),
                escaped(one.was or text.NONE),
                Html(_STATES.get(one.state, escaped(one.state))),
            )
            for one in changes.value
        )  # fmt: skip
        viewing.show(markup.table("The newest changes", heads, rows))
    viewing.show(markup.heading(2, "Who was told in 7 days"))
    if not sent.value:
        viewing.show(markup.note("No notification was sent."))
        return
    viewing.show(receiving.notices("The newest notifications", sent.value))
