"""Session: what one agent and its subagents did, what went wrong, and what each prompt cost.

A session may hold hundreds of thousands of events: the store counts and cuts, the page shows one
page of the list. The window of the timeline, filters and page are in the address.
"""

from typing import Final

import streamlit as st
from msgspec import Struct

from apps.dashboard import markup, prompting, text, timeline, viewing
from apps.dashboard.markup import Heading, Tile
from apps.dashboard.state import Address
from apps.dashboard.text import Html, escaped, join
from apps.local import invocation
from streams.queries import session_events
from streams.queries import sessions as asked
from streams.queries.session_events import (
    AgentTimeline,
    Happening,
    Mark,
    Prompt,
    SessionFailure,
    Stretch,
)
from streams.queries.sessions import Session
from streams.series.measures import Db

SLOTS: Final = 160
EVENTS_PAGE: Final = 50
PAGES_MAX: Final = 20_000
LIVE_STATES: Final = {"running", "waiting", "stuck", "rate_limited", "idle"}
WINDOW_MIN_MS: Final = 1_000
_KINDS: Final = {
    "": "All events", "prompt": "Prompts", "call": "Model calls", "tool": "Tools", "wait": "Waits",
    "error": "Errors", "agent": "Subagents", "session": "Session",
}  # fmt: skip
_COLUMNS: Final = (
    Heading("Time", "tight"), Heading("Event", "tight"), Heading("What", "wide"),
    Heading("Agent", "", optional=True), Heading("Took", "number", optional=True),
    Heading("Cost", "number", optional=True),
)  # fmt: skip


_EVENTS: Final = {
    "session.started": "Session began", "session.ended": "Session ended",
    "prompt.submitted": "Prompt", "request.finished": "Model call", "request.failed": "Model call",
    "tool.decided": "Tool decision", "tool.started": "Tool begins", "tool.finished": "Tool",
    "agent.started": "Subagent begins", "agent.finished": "Subagent ends",
    "attention.needed": "Waits for you", "turn.finished": "Turn over",
    "context.compacted": "Context compacted", "mode.changed": "Mode changed",
    "mcp.changed": "Tool server", "skill.used": "Skill", "usage.reported": "Metric",
    "task.created": "Task written", "task.finished": "Task done", "agent.observed": "Other record",
}  # fmt: skip
"""What people call each type of event; one that is not here shows its own name."""


class Story(Struct, frozen=True, kw_only=True):
    """All of a session but its list of events."""

    session: Session
    whole: Stretch
    window: Stretch
    lanes: tuple[AgentTimeline, ...]
    marks: tuple[Mark, ...]
    prompts: tuple[Prompt, ...]
    failures: tuple[SessionFailure, ...]
    waits: int
    waited_ms: int
    """Model calls whose cost is not known, and the tokens that they took."""


def page() -> None:
    """Show one session."""
    found = viewing.address()
    session_id = found.words("session")
    viewing.show(Html(f"<p>{markup.link('sessions', '← All sessions')}</p>"))
    if not session_id:
        viewing.title("Session", Html("No session is chosen: pick one from the list of sessions."))
        return
    viewing.title("Session", Html(f'<span class="ms-mono">{escaped(session_id)}</span>'))
    _chosen(found)
    viewing.problems(found)
    known = viewing.attempt(
        ("session", session_id),
        lambda db, tenant: asked.one(db, tenant, session_id),
        otherwise=None,
    )
    viewing.live(lambda: _body(session_id), on=known is None or known.state in LIVE_STATES)


def _chosen(found: Address) -> tuple[str, int, int, int, str]:
    """Return kind, page, and the window as offsets from the session's start (0, 0: all of it)."""
    kind = found.choice("kind", _KINDS, "")
    place = found.number("page", 1, least=1, most=PAGES_MAX)
    start = found.number("start", 0, most=2**45)
    end = found.number("end", 0, most=2**45)
    return kind, place, start, end if end > start else 0, found.words("agent")


def _body(session_id: str) -> None:
    kind, place, start, end, agent = _chosen(viewing.address())
    answer = viewing.ask(
        ("story", session_id, start, end),
        lambda db, tenant: _story(db, tenant, session_id, start=start, end=end),
    )
    story = answer.value
    viewing.freshness(answer)
    if story is None:
        _unknown()
        return
    now_ms = viewing.now_ms()
    viewing.show(_about(story.session, now_ms), _wrong(story), _tiles(story))
    viewing.show(markup.heading(2, "Timeline"))
    _window_controls(story)
    viewing.show(
        timeline.drawn(
            story.lanes, story.marks, slots=SLOTS, from_ms=story.window.from_ms,
            until_ms=story.window.until_ms, zone=viewing.zone(),
        )
    )  # fmt: skip
    viewing.show(
        markup.heading(2, "Prompts and what they cost"),
        prompting.table(
            story.prompts, story.session, whole=story.whole, zone=viewing.zone(), now_ms=now_ms
        ),
    )
    _events(story, kind, place, agent)


def _story(db: Db, tenant: str, session_id: str, *, start: int, end: int) -> Story | None:
    session = asked.one(db, tenant, session_id)
    if session is None:
        return None
    whole = Stretch(
        session_id=session_id, from_ms=session.started_ms,
        until_ms=max(session.last_ms, session.started_ms + WINDOW_MIN_MS) + 1,
    )  # fmt: skip
    window = _window(whole, start, end)
    waits, waited_ms = session_events.waited_ms(db, tenant, whole)
    return Story(
        session=session,
        whole=whole,
        window=window,
        lanes=session_events.lanes(db, tenant, whole),
        marks=session_events.marks(db, tenant, window, slots=SLOTS),
        prompts=session_events.prompts(db, tenant, whole),
        failures=session_events.failures(db, tenant, whole),
        waits=waits,
        waited_ms=waited_ms,
    )


def _window(whole: Stretch, start: int, end: int) -> Stretch:
    from_ms = min(whole.from_ms + start, whole.until_ms - WINDOW_MIN_MS)
    until_ms = min(whole.from_ms + end, whole.until_ms) if end else whole.until_ms
    return Stretch(
        session_id=whole.session_id,
        from_ms=from_ms,
        until_ms=max(until_ms, from_ms + WINDOW_MIN_MS),
    )


def _unknown() -> None:
    viewing.show(
        markup.heading(2, "No such session"),
        markup.lede("Nothing was received under this id, or it is past retention. "
                    "Transcripts on this machine can be brought in with:"),
    )  # fmt: skip
    st.code(invocation.command("import"), language=None, wrap_lines=True)


def _about(session: Session, now_ms: int) -> Html:
    zone = viewing.zone()
    started = text.clock(session.started_ms, zone, now_ms=now_ms)
    took = text.duration(session.last_ms - session.started_ms)
    model = session.model or "model not known"
    agent = f"{session.agent or 'agent not known'} {session.version}".strip()
    parts = (agent, model, session.project, session.user_name, f"began {started}", f"{took} long")
    said = " · ".join(part for part in parts if part)
    asked_for = escaped(session.first_prompt or "No prompt seen", most=300)
    return Html(
        f"<p><strong>{asked_for}</strong></p>"
        f'<p class="ms-lede">{markup.state(session.state)} {escaped("· " + said)}</p>'
    )


def _wrong(story: Story) -> Html:
    session = story.session
    items = []
    if session.state in {"waiting", "stuck", "rate_limited"}:
        why = session.attention or markup.STATES[session.state][0]
        items.append(_finding(markup.state(session.state), escaped(why, most=200), ""))
    for failure in story.failures:
        said = join(
            Html(f"<strong>{escaped(failure.what, most=80)}</strong> "),
            escaped(failure.kind, most=80),
            Html(f'<br><span class="ms-aside">{escaped(failure.example, most=200)}</span>'),
        )
        times = text.plural(failure.number, "time")
        items.append(_finding(Html('<span class="ms-bad">Failed</span>'), said, times))
    if not items:
        calm = '<p><strong class="ms-good">Nothing went wrong.</strong></p>'
        return markup.panel(Html(calm), kind="calm")
    listed = Html(f'<ol class="ms-list">{"".join(items)}</ol>')
    return join(markup.heading(2, "What went wrong"), markup.panel(listed, kind="alarm"))


def _finding(what: Html, said: Html, times: str) -> str:
    count = f'<span class="ms-end">{escaped(times)}</span>'
    return f"<li><span>{what}</span><span>{said}</span>{count}</li>"


def _tiles(story: Story) -> Html:
    session = story.session
    cached = text.share(session.cache_read_tokens, session.tokens)
    lines = f"+{text.whole(session.lines_added)} −{text.whole(session.lines_removed)}"
    return join(
        markup.heading(2, "In figures"),
        markup.tiles((
            Tile("Cost", text.cost(session.cost_nanousd, session.unpriced_tokens),
                 _counted(session)),
            Tile("Tokens", text.short(session.tokens),
                 escaped(f"{cached} read from cache")),
            Tile("Model calls", text.whole(session.calls),
                 escaped(f"{text.whole(session.call_errors)} failed")),
            Tile("Tool calls", text.whole(session.tool_calls),
                 escaped(f"{text.whole(session.tool_errors)} failed, "
                         f"{text.whole(session.tool_refusals)} refused")),
            Tile("Waited for you", text.duration(story.waited_ms) if story.waits else "never",
                 escaped(text.plural(story.waits, "time"))),
            Tile("Lines", lines, escaped(text.plural(session.events, "event"))),
        )),
    )  # fmt: skip


def _counted(session: Session) -> Html:
    said = _how_counted(session)
    if session.unpriced_tokens:
        share = text.share(session.unpriced_tokens, session.tokens)
        said += f"; {text.plural(session.unpriced_calls, 'call')} not priced ({share} of tokens)"
    return escaped(said)


def _how_counted(session: Session) -> str:
    if session.unpriced_tokens and not session.cost_nanousd:
        return "its models have no price"
    if session.metrics_only:
        return "from the agent's own metrics"
    if not session.cost_estimated_nanousd:
        return "as the agent reports it"
    if session.cost_estimated_nanousd >= session.cost_nanousd:
        return "estimate, from list prices"
    return f"{text.money(session.cost_estimated_nanousd)} of it is an estimate"


def _window_controls(story: Story) -> None:
    whole, window = story.whole, story.window
    zone = viewing.zone()
    seen = window.until_ms - window.from_ms
    whole_shown = window.from_ms == whole.from_ms and window.until_ms == whole.until_ms
    middle = (window.from_ms + window.until_ms) // 2
    moves = {
        "Zoom in": (middle - seen // 4, middle + seen // 4, seen <= 2 * WINDOW_MIN_MS),
        "Zoom out": (middle - seen, middle + seen, whole_shown),
        "Earlier": (window.from_ms - seen // 2, window.until_ms - seen // 2,
                    window.from_ms <= whole.from_ms),
        "Later": (window.from_ms + seen // 2, window.until_ms + seen // 2,
                  window.until_ms >= whole.until_ms),
        "Whole session": (whole.from_ms, whole.until_ms, whole_shown),
    }  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        for label, (start, end, off) in moves.items():
            st.button(label, on_click=_look, args=(whole, start, end), disabled=off)
    begin, until = (text.clock(at, zone, seconds=True) for at in (window.from_ms, window.until_ms))
    viewing.show(markup.note(f"{begin} to {until}, {viewing.zone_name()} time."))


def _look(whole: Stretch, start_ms: int, end_ms: int) -> None:
    start = max(0, start_ms - whole.from_ms)
    end = min(whole.until_ms, end_ms) - whole.from_ms
    all_of_it = start == 0 and end_ms >= whole.until_ms
    viewing.push(start="" if start == 0 else str(start), end="" if all_of_it else str(end), page="")


def _events(story: Story, kind: str, place: int, agent: str) -> None:
    viewing.show(markup.heading(2, "Events"))
    names = {
        "": "All agents",
        **{lane.agent_id or "main": timeline.name(lane) for lane in story.lanes},
    }
    st.session_state["kind"], st.session_state["agent"] = kind, agent
    with st.container(horizontal=True, gap="small"):
        st.selectbox("Kind", list(_KINDS), key="kind", width=180, on_change=_filtered,
                     args=("kind",), format_func=lambda one: _KINDS[one])  # fmt: skip
        st.selectbox("Agent", list(dict.fromkeys((*names, agent))), key="agent", width=220,
                     on_change=_filtered, args=("agent",),
                     format_func=lambda one: names.get(one, one))  # fmt: skip
    lane = None if not agent else "" if agent == "main" else agent
    window = story.window

    def query(db: Db, tenant: str) -> tuple[tuple[Happening, ...], int]:
        number = session_events.count(db, tenant, window, kind=kind, agent_id=lane)
        offset = (min(place, _pages(number)) - 1) * EVENTS_PAGE
        return session_events.page(
            db, tenant, window, kind=kind, agent_id=lane, offset=offset, limit=EVENTS_PAGE
        ), number

    answer = viewing.ask(("events", window, kind, agent, place), query)
    rows, number = answer.value
    if not number:
        viewing.show(markup.note("No such event in this part of the session."))
        return
    viewing.show(
        markup.table(text.plural(number, "event"), _COLUMNS, (_event(row) for row in rows))
    )
    _turning(min(place, _pages(number)), _pages(number))


def _filtered(name: str) -> None:
    viewing.push(**{name: str(st.session_state[name] or "")}, page="")


def _pages(number: int) -> int:
    return max(1, -(-number // EVENTS_PAGE))


def _turning(place: int, pages: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("Previous events", on_click=_turn, args=(place - 1,), disabled=place <= 1)
        st.button("Next events", on_click=_turn, args=(place + 1,), disabled=place >= pages)
        viewing.show(markup.note(f"Page {place} of {pages}"))


def _turn(place: int) -> None:
    viewing.push(page="" if place <= 1 else str(place))


def _event(row: Happening) -> tuple[Html, ...]:
    shown = escaped(_EVENTS.get(row.type, row.type), most=40)
    if row.failed:
        shown = join(shown, Html('<br><span class="ms-bad">failed</span>'))
    about = row.tool or row.model
    what = join(
        Html(f"<strong>{escaped(about, most=60)}</strong> ") if about else Html(""),
        escaped(row.text, most=240),
    )
    return (
        escaped(text.clock(row.at_ms, viewing.zone(), now_ms=row.at_ms, seconds=True)),
        shown,
        what,
        escaped(row.agent_id or "main", most=30),
        escaped(text.duration(row.duration_ms)),
        escaped(text.money(row.cost_nanousd) if row.cost_nanousd else text.NONE),
    )
