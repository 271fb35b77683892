"""Receivers on the Alerts page: who is told, a test of each, and the file of routing.

A test goes the way of every notice: the worker sends it, and its outcome is shown below. The
file is shown without its secrets; where it says `<secret>` the kept one stays.
"""

from collections.abc import Iterable
from typing import Final

import streamlit as st

from analytics.alerts import kinds, presets
from analytics.alerts.dispatch import routes
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.documents import BadFile
from analytics.alerts.kinds import FileKind
from analytics.alerts.notify import masking
from analytics.contracts.errors import Refused
from analytics.contracts.ids import TenantId
from apps.dashboard import controlling, markup, rule_editor, text, viewer, viewing
from apps.dashboard.markup import Heading
from apps.dashboard.text import Html, escaped, join
from apps.local import invocation
from streams.queries import notices as told
from streams.queries import receivers
from streams.queries.notices import NoticeFilter, Told
from streams.queries.receivers import ReceiverStatus
from streams.series.measures import Db
from streams.store import alert_files
from streams.store.alert_files import KeptFile, Refusal, UploadedFile

NAME: Final = "alertmanager.yml"
TESTS_MS: Final = 86_400_000
SHOWN_MAX: Final = 10
_OUTCOMES: Final = {
    "sent": '<span class="ms-good">✓ sent</span>',
    "waiting": '<span class="ms-watch">! waiting</span>',
    "given up": '<span class="ms-bad">✗ given up</span>',
}
_HEADS: Final = (
    Heading("When", "tight"), Heading("Receiver", "wide"), Heading("Channel", "tight"),
    Heading("What", "wide", optional=True), Heading("Outcome", "wide"),
)  # fmt: skip


def editor() -> None:
    """Show receivers, tests and the file of routing."""
    files = viewing.attempt(("routing files", controlling.version()), _files, otherwise=())
    viewing.show(
        markup.heading(2, "Receivers"),
        markup.note(
            invocation.told(
                "An Alertmanager configuration works unchanged; `mainstem alerts apply FILE` does "
                "what this page does."
            )
        ),
    )
    _refusals()
    _receivers()
    viewing.live(_tests, on=True)
    _routing(next((one for one in files if one.kind == FileKind.ROUTING), None))


def notices(title: str, found: Iterable[Told]) -> Html:
    """Return a table of notifications and their outcomes."""
    now_ms, zone = viewing.now_ms(), viewing.zone()

    def row(one: Told) -> tuple[Html, ...]:
        outcome = Html(_OUTCOMES.get(one.state, escaped(one.state)))
        tried = f"after {text.plural(one.attempts, 'attempt')}" if one.attempts > 1 else ""
        when = "" if one.sent_ms is None else text.clock(one.sent_ms, zone, now_ms=now_ms)
        asides = escaped(" ".join(part for part in (when, tried, one.error) if part), most=200)
        return (
            escaped(text.clock(one.at_ms, zone, now_ms=now_ms)),
            escaped(one.receiver, most=80),
            escaped(one.channel or "none"),
            escaped(f"{one.why}: {', '.join(one.alerts)}", most=120),
            join(outcome, Html(f'<br><span class="ms-aside">{asides}</span>')),
        )

    return markup.table(title, _HEADS, map(row, found))


def _files(db: Db, tenant: str) -> tuple[KeptFile, ...]:
    return alert_files.kept(db, tenant)


def _refusals() -> None:
    def asked(db: Db, tenant: str) -> tuple[Refusal, ...]:
        return alert_files.refusals(db, tenant)

    for one in viewing.attempt(("refusals", controlling.version()), asked, otherwise=()):
        words = escaped(f"{one.name} of the folder is refused: {one.reason}.", most=600)
        stays = "Its last good version stays in force."
        viewing.show(
            markup.panel(
                Html(f'<p role="status"><strong>{words}</strong> {stays}</p>'), kind="alarm"
            )
        )


def _receivers() -> None:
    def asked(db: Db, tenant: str) -> tuple[ReceiverStatus, ...]:
        return receivers.listed(db, tenant)

    found = viewing.attempt(("receivers", controlling.version()), asked, otherwise=())
    heads = (Heading("Receiver", "tight"), Heading("Told by", "wide"), Heading("Routes", "tight"))
    rows = (
        (
            escaped(one.name, most=80),
            escaped(_channels(one), most=300),
            escaped("lead here" if one.is_routed else "none"),
        )
        for one in found
    )
    viewing.show(markup.table("Receivers of the routing in force", heads, rows))
    names = [one.name for one in found if one.channels]
    if not names:
        viewing.show(markup.note("No receiver tells anybody yet: add one to the file below."))
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.selectbox("Receiver", names, key="receivers_chosen", width=260)
        st.button("Send a test", key="receivers_test", on_click=_test)


def _channels(one: ReceiverStatus) -> str:
    told_by = (f"{way.kind} {way.target}".strip() for way in one.channels)
    return ", ".join(told_by) or "nobody: it has no channel"


def _test() -> None:
    name = str(st.session_state["receivers_chosen"])
    controlling.change(
        lambda db, tenant: receivers.send_test(
            db, tenant, name, by=viewer.who(), now_ms=viewing.now_ms()
        ),
        done=f"A test goes to “{name}”; what comes of it is shown below within seconds.",
    )


def _tests() -> None:
    now_ms = viewing.now_ms()
    which = NoticeFilter(from_ms=now_ms - TESTS_MS, until_ms=now_ms + 1_000, why="test")
    answer = viewing.ask(
        ("tests", controlling.version()),
        lambda db, tenant: told.notices(db, TenantId(tenant), which, limit=SHOWN_MAX),
    )
    if answer.value:
        viewing.show(notices("Tests of the last day", answer.value))


def _routing(kept: KeptFile | None) -> None:
    body = kept.shown if kept is not None else presets.text(presets.ROUTING)
    etag = "" if kept is None else kept.etag
    viewing.show(markup.heading(2, "Routing"))
    if kept is not None and kept.origin == alert_files.FOLDER:
        viewing.show(markup.note(f"{kept.name} is kept in the folder of alerts: change it there."))
        st.code(body, language="yaml")
        return
    if st.session_state.get("routing_loaded") != etag:
        st.session_state["routing_loaded"] = etag
        st.session_state["routing_body"] = body
    st.text_area(
        "Routing and receivers in YAML", key="routing_body", height=340,
        max_chars=rule_editor.BODY_LENGTH_MAX, help="Ctrl+Enter checks it.",
    )  # fmt: skip
    good = _check(str(st.session_state["routing_body"]), "" if kept is None else kept.body)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.button("Check", key="routing_check")
        st.button(
            "Save", key="routing_keep", on_click=_keep, disabled=not good,
            args=(NAME if kept is None else kept.name,),
        )  # fmt: skip
        st.button(
            "Remove the file", key="routing_remove", on_click=_remove, disabled=kept is None,
            args=("" if kept is None else kept.name,),
        )  # fmt: skip


def _check(body: str, kept: str) -> bool:
    """Show what is wrong with the file, or where alerts go; return whether it is good."""
    try:
        file = kinds.loaded("routing", masking.restored("routing", body, kept))
    except BadFile as error:
        place = f"Line {error.place.line}, column {error.place.column}: the file cannot be read."
        rule_editor.say(place, error.reason)
        st.code(rule_editor.around(body, error.place.line, error.place.column), language=None)
        return False
    except Refused as error:
        rule_editor.say("The file cannot be read.", str(error))
        return False
    if not isinstance(file, Routing):
        rule_editor.say("This is no file of routing.", "It needs route and receivers.")
        return False
    viewing.show(Html('<p role="status"><strong class="ms-good">✓ Valid.</strong></p>'))
    for caution in kinds.warnings(file).cautions:
        rule_editor.say("Warning:", caution)
    st.code("\n".join(routes.drawn(file.root)), language=None)
    return True


def _keep(name: str) -> None:
    file = UploadedFile(name=name, body=str(st.session_state["routing_body"]))
    controlling.change(
        lambda db, tenant: alert_files.put(db, tenant, file, by=viewer.who()),
        done=f"“{name}” is saved; the worker goes by it within seconds.",
    )


def _remove(name: str) -> None:
    controlling.change(
        lambda db, tenant: alert_files.remove(db, tenant, name, by=viewer.who()),
        done=f"“{name}” is removed; nobody is told until another one is there.",
    )
