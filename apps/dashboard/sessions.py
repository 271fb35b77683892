"""Sessions: all of them, filtered, searched, sorted, paged, and as CSV."""

import csv
import io
from typing import Final

import streamlit as st

from apps.dashboard import markup, text, viewing
from apps.dashboard.markup import Heading
from apps.dashboard.state import Address, Range, link
from apps.dashboard.text import Html, escaped, join
from streams.queries import sessions as asked
from streams.queries.sessions import FACETS, Filter, Session
from streams.series.measures import Db

PAGE_ROWS: Final = 25
PAGES_MAX: Final = 4_000
EXPORTED_MAX: Final = 10_000
"""Rows of a CSV; `listed` is asked page by page."""

SORTS: Final = {
    "recent": "Newest activity", "started": "Newest start", "cost": "Cost", "tokens": "Tokens",
    "errors": "Errors", "duration": "Longest",
}  # fmt: skip
NO_OPTIONS: Final[dict[str, tuple[str, ...]]] = {}
_LABELS: Final = {
    "state": "State", "agent": "Agent", "project": "Project", "model": "Model", "user": "User",
}  # fmt: skip
_COLUMNS: Final = (
    Heading("Session", "wide"),
    Heading("State", "tight"),
    Heading("Agent, model", "", optional=True),
    Heading("Project, user", "", optional=True),
    Heading("Prompts", "number", optional=True),
    Heading("Tokens", "number", optional=True),
    Heading("Errors", "number", optional=True),
    Heading("Cost", "number"),
    Heading("Last event", "number", optional=True),
)
_EXPORTED: Final = (
    "session_id", "state", "attention", "agent", "version", "model", "project", "user_name", "team",
    "started_ms", "last_ms", "ended_ms", "prompts", "calls", "call_errors", "rate_limits",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_nanousd",
    "cost_estimated_nanousd", "tool_calls", "tool_errors", "tool_refusals", "lines_added",
    "lines_removed", "active_ms", "events", "metrics_only", "first_prompt",
)  # fmt: skip


def page() -> None:
    """Show the list of sessions."""
    found = viewing.address()
    viewing.title("Sessions", Html("Every session with an event in the range."))
    chosen = viewing.range_picker(found)
    _filters(found, chosen)
    _place(found)
    viewing.problems(found)
    viewing.live(lambda: _body(chosen), on=chosen.live)


def _filters(found: Address, chosen: Range) -> None:
    options = viewing.attempt(
        ("facets", chosen),
        lambda db, tenant: asked.facets(db, tenant, _within(chosen, viewing.now_ms())),
        otherwise=NO_OPTIONS,
    )
    values = {name: found.words(name) for name in FACETS}
    st.session_state["q"] = found.words("q")
    st.session_state["sort"] = found.choice("sort", SORTS, "recent")
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.text_input(
            "Search", key="q", on_change=_changed, args=("q",), max_chars=200, width=230,
            placeholder="Id, prompt, project or user",
        )  # fmt: skip
        for name, label in _LABELS.items():
            known = list(dict.fromkeys(("", *options.get(name, ()), values[name])))
            st.session_state[name] = values[name]
            st.selectbox(
                label, known, key=name, on_change=_changed, args=(name,), width=138,
                format_func=_shown_option,
            )  # fmt: skip
        st.selectbox(
            "Sort by", list(SORTS), key="sort", on_change=_changed, args=("sort",), width=170,
            format_func=lambda name: SORTS[name],
        )  # fmt: skip


def _shown_option(value: str) -> str:
    if not value:
        return "All"
    return markup.STATES[value][0] if value in markup.STATES else value


def _changed(name: str) -> None:
    value = str(st.session_state[name] or "")
    viewing.push(**{name: "" if value == "recent" else value}, page="")


def _place(found: Address) -> int:
    return found.number("page", 1, least=1, most=PAGES_MAX)


def _wanted(found: Address, chosen: Range, now_ms: int) -> Filter:
    within = _within(chosen, now_ms)
    return Filter(
        from_ms=within.from_ms,
        until_ms=within.until_ms,
        search=found.words("q").strip(),
        **{name: found.words(name) for name in FACETS},
    )


def _within(chosen: Range, now_ms: int) -> Filter:
    start, end = chosen.bounds(now_ms)
    return Filter(from_ms=start, until_ms=end)


def _body(chosen: Range) -> None:
    found, now_ms = viewing.address(), viewing.now_ms()
    wanted, sort = _wanted(found, chosen, now_ms), found.choice("sort", SORTS, "recent")
    place = _place(found)
    narrowed = (wanted.search, *(getattr(wanted, name) for name in FACETS))

    def query(db: Db, tenant: str) -> tuple[tuple[Session, ...], int, int | None]:
        number = asked.count(db, tenant, wanted)
        offset = (min(place, _pages(number)) - 1) * PAGE_ROWS
        rows = asked.listed(db, tenant, wanted, sort=sort, offset=offset, limit=PAGE_ROWS)
        return rows, number, asked.newest_ms(db, tenant)

    answer = viewing.ask(("sessions", chosen, narrowed, sort, place), query)
    rows, number, newest_ms = answer.value
    viewing.freshness(answer)
    if newest_ms is None:
        viewing.nothing_yet()
        return
    if not number:
        _none(wanted, newest_ms, now_ms)
        return
    shown = markup.table(_summary(number), _COLUMNS, (_row(session, now_ms) for session in rows))
    viewing.show(shown)
    _paging(min(place, _pages(number)), number, wanted, sort)


def _pages(number: int) -> int:
    return max(1, -(-number // PAGE_ROWS))


def _summary(number: int) -> str:
    return text.plural(number, "session") + (" or more" if number >= asked.COUNTED_MAX else "")


def _none(wanted: Filter, newest_ms: int, now_ms: int) -> None:
    narrowed = wanted.search or any(getattr(wanted, name) for name in FACETS)
    at = text.clock(newest_ms, viewing.zone(), now_ms=now_ms)
    hint = "Take a filter away" if narrowed else "Choose a longer range"
    viewing.show(
        markup.heading(2, "No session matches"),
        markup.lede(f"{hint}: the newest event of all is from {at}."),
    )
    st.button("Show all sessions of the last 30 days", on_click=_reset)


def _reset() -> None:
    viewing.push(**dict.fromkeys((*FACETS, "q", "sort", "page", "from", "to"), ""), range="30d")


def _row(session: Session, now_ms: int) -> tuple[Html, ...]:
    zone = viewing.zone()
    name = session.first_prompt or "No prompt seen"
    detail = f"{session.session_id} · {text.duration(session.last_ms - session.started_ms)}"
    return (
        join(
            markup.link(link("session", session=session.session_id), name, most=110),
            Html(f'<br><span class="ms-aside">{escaped(detail)}</span>'),
        ),
        markup.state(session.state),
        _pair(session.agent, session.model),
        _pair(session.project, session.user_name),
        escaped(text.whole(session.prompts)),
        escaped(text.short(session.tokens)),
        markup.errors(session.errors),
        cost(session),
        escaped(text.clock(session.last_ms, zone, now_ms=now_ms)),
    )


def cost(session: Session) -> Html:
    """Return what a session cost, marked where it is an estimate or from the sender's metrics."""
    shown = escaped(text.cost(session.cost_nanousd, session.unpriced_tokens))
    if session.metrics_only:
        return join(shown, Html('<br><span class="ms-aside">by metrics</span>'))
    if session.cost_estimated_nanousd:
        return join(shown, Html('<br><span class="ms-aside">estimate</span>'))
    return shown


def _pair(first: str, second: str) -> Html:
    return join(
        escaped(first, most=40),
        Html(f'<br><span class="ms-aside">{escaped(second, most=40)}</span>'),
    )


def _paging(place: int, number: int, wanted: Filter, sort: str) -> None:
    pages = _pages(number)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Previous", on_click=_turn, args=(place - 1,), disabled=place <= 1)
        st.button("Next", on_click=_turn, args=(place + 1,), disabled=place >= pages)
        viewing.show(markup.note(f"Page {place} of {pages}"))
        st.download_button(
            "Download CSV", data=lambda: _exported(wanted, sort), file_name="sessions.csv",
            mime="text/csv", on_click="ignore",
        )  # fmt: skip


def _turn(place: int) -> None:
    viewing.push(page="" if place <= 1 else str(place))


def _exported(wanted: Filter, sort: str) -> bytes:
    """Return the sessions as CSV, up to `EXPORTED_MAX`."""

    def query(db: Db, tenant: str) -> bytes:
        out = io.StringIO()
        rows = csv.writer(out)
        rows.writerow(_EXPORTED)
        for offset in range(0, EXPORTED_MAX, asked.PAGE_MAX):
            part = asked.listed(db, tenant, wanted, sort=sort, offset=offset, limit=asked.PAGE_MAX)
            rows.writerows([harmless(getattr(row, name)) for name in _EXPORTED] for row in part)
            if len(part) < asked.PAGE_MAX:
                break
        return out.getvalue().encode("utf-8-sig")

    return viewing.ask(("csv", wanted, sort), query).value


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value
