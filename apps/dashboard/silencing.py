"""Silences on the Alerts page: a form with a preview of what it mutes, the list, and an end to one.

The form is filled in by a link's `silence=`, which holds an alert's whole label set.
"""

from typing import Final

import streamlit as st

from analytics.alerts import matchers
from analytics.alerts.silence import silences
from analytics.alerts.silence.silences import BadSilence, Silence
from analytics.contracts.ids import TenantId
from apps.dashboard import controlling, markup, text, viewer, viewing
from apps.dashboard.markup import Heading
from apps.dashboard.text import Html, escaped
from streams.queries import monitoring as asked
from streams.series.measures import Db
from streams.store import controls
from streams.store.controls import MutedAlert

LINK_LENGTH_MAX: Final = 8_000
HOURS: Final = {1: "1 hour", 4: "4 hours", 24: "1 day", 168: "7 days"}
PREVIEWED_MAX: Final = 20
_COLUMNS: Final = (
    Heading("Matchers", "wide"), Heading("Until", "number"), Heading("By", "tight", optional=True),
    Heading("Why", "wide", optional=True),
)  # fmt: skip


def form(filled: str) -> None:
    """Show the form of a silence, and what it would mute."""
    viewing.show(markup.heading(2, "Create a silence"))
    if filled and st.session_state.get("silence_link") != filled:
        st.session_state["silence_link"] = filled
        st.session_state["silence_matchers"] = filled
    st.text_area(
        "Matchers", key="silence_matchers", height=90, max_chars=LINK_LENGTH_MAX,
        placeholder='{alertname="CostSpike", project=~"web.*"}',
        help="Ctrl+Enter previews what the silence would mute.",
    )  # fmt: skip
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.selectbox(
            "For", list(HOURS), key="silence_hours", format_func=lambda hours: HOURS[hours],
            width=130,
        )  # fmt: skip
        st.text_input("Your name", key="silence_by", max_chars=200, width=200)
        st.text_input("Why", key="silence_comment", max_chars=4_000, width=300)
    _preview(str(st.session_state.get("silence_matchers", "")))
    st.button("Create the silence", on_click=_create, disabled=not viewer.may_change())


def _preview(written: str) -> None:
    if not written.strip():
        viewing.show(markup.note("Name at least one label; what it would mute is shown here."))
        return
    try:
        wanted = silences.from_link("silence=" + written.replace("%", "%25").replace("&", "%26"))
    except BadSilence as error:
        _refused(str(error))
        return
    found = viewing.attempt(
        ("silence preview", written, controlling.version()),
        lambda db, tenant: controls.preview_silence(db, tenant, wanted),
        otherwise=None,
    )
    if found is None:
        viewing.show(markup.note("The store does not answer, so there is no preview."))
        return
    said = f"It mutes {text.plural(len(found), 'alert')} of those that there are now."
    viewing.show(Html(f'<p role="status"><strong>{escaped(said)}</strong></p>'))
    if found:
        viewing.show(_previewed(found))


def _previewed(found: tuple[MutedAlert, ...]) -> Html:
    rows = (
        (
            escaped(one.labels.get("alertname", one.fingerprint), most=90),
            escaped(one.state),
            escaped(", ".join(f"{k}={v}" for k, v in sorted(one.labels.items())), most=160),
        )
        for one in found[:PREVIEWED_MAX]
    )
    heads = (Heading("Alert", "wide"), Heading("State", "tight"), Heading("Labels", "wide"))
    return markup.table("What it would mute", heads, rows)


def _refused(words: str) -> None:
    said = Html(f'<p role="status"><strong>Not a matcher.</strong> {escaped(words, most=400)}</p>')
    viewing.show(markup.panel(said, kind="alarm"))


def _create() -> None:
    state, now_ms = st.session_state, viewing.now_ms()
    try:
        draft: Silence = silences.drafted(
            str(state["silence_matchers"]),
            starts_at_ms=now_ms,
            ends_at_ms=now_ms + int(state["silence_hours"]) * 3_600_000,
            created_by=str(state["silence_by"]).strip(),
            comment=str(state["silence_comment"]).strip(),
        )
    except BadSilence as error:
        controlling.refuse(str(error))
        return
    controlling.change(
        lambda db, tenant: controls.add_silence(db, tenant, draft, now_ms=now_ms),
        done=f"{matchers.written(draft.matchers)} is silenced from the worker's next minute on.",
    )


def _known(db: Db, tenant: str) -> tuple[asked.Silence, ...]:
    return asked.silences(db, TenantId(tenant), now_ms=viewing.now_ms())


def listed() -> None:
    """Show the silences that are not over."""
    answer = viewing.ask(("silences", controlling.version()), _known)
    viewing.freshness(answer)
    viewing.show(markup.heading(2, "Silences"))
    if not answer.value:
        viewing.show(markup.note("Nothing is silenced."))
        return
    now_ms, zone = viewing.now_ms(), viewing.zone()
    rows = (
        (
            Html(f'<span class="ms-mono">{escaped(one.matchers, most=300)}</span>'),
            escaped(text.clock(one.ends_ms, zone, now_ms=now_ms)),
            escaped(one.created_by, most=60),
            escaped(one.comment, most=200),
        )
        for one in answer.value
    )
    viewing.show(markup.table(text.plural(len(answer.value), "silence"), _COLUMNS, rows))


def expire() -> None:
    """Let a silence be ended."""
    known = viewing.attempt(("silences", controlling.version()), _known, otherwise=())
    if not known:
        return
    named = {one.silence_id: f"{one.matchers[:80]} by {one.created_by}" for one in known}
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.selectbox(
            "Silence to end", list(named), key="silence_ended", width=420,
            format_func=lambda one: named.get(one, one),
        )  # fmt: skip
        st.button("End it now", on_click=_end, disabled=not viewer.may_change())


def _end() -> None:
    silence_id = str(st.session_state["silence_ended"])
    controlling.change(
        lambda db, tenant: controls.expire_silence(
            db, tenant, silence_id, now_ms=viewing.now_ms()
        ),
        done="The silence has ended.",
    )  # fmt: skip
