"""Rules on the Alerts page: write a file, see at once what is wrong with it and when it had fired.

The preset pack can be looked at and taken as a start. The check is the one that saving does.
"""

from typing import Final

import streamlit as st

from analytics.alerts import presets
from analytics.alerts.documents import BadFile
from analytics.alerts.kinds import FileKind
from analytics.alerts.rules import files
from analytics.alerts.rules.rules import RuleFile
from analytics.contracts.errors import Refused
from analytics.contracts.ids import TenantId
from apps.dashboard import controlling, markup, rehearsal, text, viewer, viewing
from apps.dashboard.markup import Heading
from apps.dashboard.rehearsal import HOURS, Episode, Rehearsed
from apps.dashboard.state import Address
from apps.dashboard.text import Html, escaped
from streams.queries import monitoring as asked
from streams.series.measures import Db
from streams.store import alert_files

BODY_LENGTH_MAX: Final = 200_000
AROUND: Final = 2
"""Lines shown before and after one that is wrong."""
PRESET: Final = "presets/"
START: Final = """groups:
  - name: mine
    rules:
      - alert: ManyFailedTools
        expr: sum by (tool) (increase(tool_errors_total[10m])) > 5
        for: 5m
        labels:
          severity: warning
        annotations:
          summary: "{{ $labels.tool }} failed {{ $value }} times in 10 minutes"
"""


def editor(found: Address) -> None:
    """Show a file of rules, its check, its rehearsal, and ways to keep it."""
    kept = viewing.attempt(("rule files", controlling.version()), _files, otherwise=())
    bodies = {one.name: one.body for one in kept}
    bodies |= {f"{PRESET}{name}": presets.text(name) for name in presets.RULES}
    chosen = found.words("file")
    chosen = chosen if chosen in bodies else ""
    viewing.show(
        markup.heading(2, "Rules"),
        markup.note("Prometheus rule files work unchanged. The preset pack counts beside yours."),
    )
    st.session_state["rules_file"] = chosen
    st.selectbox(
        "File", ["", *bodies], key="rules_file", format_func=lambda name: name or "A new file",
        on_change=_picked, width=360,
    )  # fmt: skip
    if st.session_state.get("rules_loaded") != chosen:
        st.session_state["rules_loaded"] = chosen
        st.session_state["rules_body"] = bodies.get(chosen, START)
        st.session_state["rules_name"] = chosen.removeprefix(PRESET)
    st.text_area(
        "Rules in YAML", key="rules_body", height=340, max_chars=BODY_LENGTH_MAX,
        help="Ctrl+Enter checks it.",
    )  # fmt: skip
    body = str(st.session_state["rules_body"])
    file = _check(body)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.text_input("Keep as", key="rules_name", max_chars=200, width=240)
        st.button("Check", key="rules_check")
        st.button(
            "Keep the file",
            key="rules_keep",
            on_click=_keep,
            disabled=file is None or not viewer.may_change(),
        )
        st.button(
            "Remove the file", key="rules_remove", on_click=_remove, args=(chosen,),
            disabled=not chosen or chosen.startswith(PRESET) or not viewer.may_change(),
        )  # fmt: skip
    if file is not None:
        _rehearse(file, body)


def _files(db: Db, tenant: str) -> tuple[asked.AlertFileRow, ...]:
    return asked.files(db, TenantId(tenant), kind=FileKind.RULES)


def _picked() -> None:
    viewing.push(file=str(st.session_state["rules_file"]))


def _check(body: str) -> RuleFile | None:
    """Say what is wrong with the file, with its line, or that nothing is."""
    try:
        file = files.load("rules", body)
    except BadFile as error:
        place = f"Line {error.place.line}, column {error.place.column}: the file cannot be read."
        say(place, error.reason)
        st.code(around(body, error.place.line, error.place.column), language=None)
        return None
    except Refused as error:
        say("The file cannot be read.", str(error))
        return None
    rules = sum(len(group.rules) for group in file.groups)
    said = f"{text.plural(rules, 'rule')} in {text.plural(len(file.groups), 'group')}."
    viewing.show(Html(f'<p role="status"><strong class="ms-good">✓ Valid.</strong> {said}</p>'))
    for caution in (*file.cautions, *file.beyond):
        say(f"Line {caution.place.line}:", caution.reason)
    return file


def around(body: str, line: int, column: int) -> str:
    """Return the lines around a place, with a mark under it."""
    rows = body.splitlines() or [""]
    first, last = max(0, line - 1 - AROUND), min(len(rows), line + AROUND)
    shown: list[str] = []
    for number in range(first, last):
        shown.append(f"{number + 1:>4}  {rows[number][:200]}")
        if number == line - 1:
            shown.append(" " * (5 + max(1, column)) + "^")
    return "\n".join(shown)


def say(heading: str, reason: str) -> None:
    """Show what is wrong, or odd."""
    words = Html(f"<p><strong>{escaped(heading)}</strong> {escaped(reason, most=600)}</p>")
    viewing.show(markup.panel(Html(f'<div role="status">{words}</div>'), kind="alarm"))


def _rehearse(file: RuleFile, body: str) -> None:
    now_ms = viewing.now_ms()
    viewing.show(markup.heading(2, f"When it would have fired in the last {HOURS} hours"))
    found = viewing.attempt(
        ("rehearsal", body, now_ms // rehearsal.STEP_MS),
        lambda db, tenant: rehearsal.rehearsed(db, tenant, file, now_ms=now_ms),
        otherwise=None,
    )
    if found is None:
        viewing.show(markup.note("The store does not answer, so the rules were not tried."))
        return
    for words in found.refused:
        say("Not evaluated:", words)
    viewing.show(_rehearsed(found))


def _rehearsed(found: Rehearsed) -> Html:
    tried = min(found.rules, rehearsal.RULES_MAX)
    brief = f"{text.plural(found.pending, 'series', 'series')} not held long enough to fire."
    if not found.episodes:
        return markup.note(f"Never, of {text.plural(tried, 'rule')} that were tried. {brief}")
    now_ms, zone = viewing.now_ms(), viewing.zone()
    heads = (
        Heading("Alert", "wide"),
        Heading("From", "tight"),
        Heading("Until", "tight", optional=True),
        Heading("For", "number"),
    )

    def row(one: Episode) -> tuple[Html, ...]:
        labels = ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items()))
        until = "now" if one.lasts else text.clock(one.until_ms, zone, now_ms=now_ms)
        aside = f'<br><span class="ms-aside">{escaped(labels, most=160)}</span>'
        return (
            Html(f"{escaped(one.rule, most=90)}{aside}"),
            escaped(text.clock(one.from_ms, zone, now_ms=now_ms)),
            escaped(until),
            escaped(text.duration(one.until_ms - one.from_ms)),
        )

    title = f"{text.plural(len(found.episodes), 'time')}, newest first. {brief}"
    return markup.table(title, heads, (row(one) for one in found.episodes))


def _keep() -> None:
    name = str(st.session_state["rules_name"]).strip()
    file = alert_files.UploadedFile(name=name, body=str(st.session_state["rules_body"]))
    if controlling.change(
        lambda db, tenant: alert_files.put(db, tenant, file, by=viewer.who()),
        done=f"“{name}” is kept; the worker evaluates it from its next minute on.",
    ):
        st.session_state["rules_loaded"] = name
        viewing.push(file=name)


def _remove(name: str) -> None:
    if controlling.change(
        lambda db, tenant: alert_files.remove(db, tenant, name, by=viewer.who()),
        done=f"“{name}” is removed.",
    ):
        viewing.push(file="")
