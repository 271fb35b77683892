"""What all pages share while somebody looks: settings, answers, the range picker, live refresh.

A page reads its whole view from the address, asks for answers under its tenant and draws them in a
fragment that runs again every few seconds while the view is live. Nothing of what is shown is kept
in the viewer's session.
"""

import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import streamlit as st

from analytics.contracts.errors import StoreAway
from apps.dashboard import markup, state, text, theme
from apps.dashboard.settings import DashboardSettings, load
from apps.dashboard.source import Answers, CachedAnswer, Key
from apps.dashboard.state import CUSTOM, RANGE_NAMES, Address, Range
from apps.dashboard.text import Html, escaped, join, told
from apps.local import invocation
from streams.clients.reader import Reader
from streams.queries import sessions
from streams.series.calendar import DAY_MS
from streams.series.measures import Db

T = TypeVar("T")
U = TypeVar("U")

DEMO_SINCE_MS = 30 * 86_400_000
_TENANT = "tenant_chosen"
_PICKED = "tenant_picked"


@st.cache_resource
def settings() -> DashboardSettings:
    """Return the settings, read once a process."""
    return load()


@st.cache_resource
def _answers(url: str) -> Answers:
    chosen = settings()
    reader = Reader(url, size_max=chosen.connections_max, wait_s=chosen.connect_wait_s)
    return Answers(
        lambda: reader.connection("a page"),
        clock=time.time,
        keep_s=chosen.refresh_s / 2,
        answers_max=chosen.answers_max,
    )


def now_ms() -> int:
    """Return the time."""
    return time.time_ns() // 1_000_000


def zone() -> tzinfo:
    """Return the viewer's time zone."""
    return text.zone(st.context.timezone)


def colours() -> theme.Palette:
    """Return the colours of the theme in use."""
    return theme.palette(st.context.theme.type)


def chosen_tenant() -> str:
    """Return the tenant that is looked at: the address's, else what was chosen before."""
    allowed = settings().choices
    named = st.query_params.get("tenant") or st.session_state.get(_TENANT, "")
    chosen = named if named in allowed else settings().tenant
    st.session_state[_TENANT] = chosen
    return chosen


def tenant_picker() -> None:
    """Let the viewer choose among tenants that have something to show, where there are several."""
    allowed = settings().choices
    if len(allowed) == 1:
        return
    chosen = chosen_tenant()
    push(tenant="" if chosen == settings().tenant else chosen)
    known = attempt(
        ("tenants",), lambda db, _: sessions.tenants(db, allowed), otherwise=frozenset[str]()
    )
    st.session_state[_PICKED] = chosen
    st.selectbox(
        "Tenant",
        [name for name in allowed if name in known or name in (chosen, settings().tenant)],
        key=_PICKED, on_change=_changed_tenant, width=180,
    )  # fmt: skip


def ask(asked: Key, query: Callable[[Db, str], T]) -> CachedAnswer[T]:
    """Return the tenant's answer to `asked`; raise `StoreAway` if there never was one."""
    tenant = chosen_tenant()
    store = _answers(settings().store_url.get_secret_value())
    return store.ask(tenant, asked, lambda db: query(db, tenant))


def attempt(asked: Key, query: Callable[[Db, str], T], *, otherwise: U) -> T | U:
    """Return the tenant's answer to `asked`, or `otherwise` while the store is away."""
    try:
        return ask(asked, query).value
    except StoreAway:
        return otherwise


def show(*parts: Html) -> None:
    """Put markup onto the page."""
    tenant = chosen_tenant()
    told = "" if tenant == settings().tenant else tenant
    st.html(state.carried(markup.block(*parts), told))


def address() -> Address:
    """Return what the address says."""
    return Address({name: st.query_params[name] for name in st.query_params})


def title(words: str, about: Html) -> None:
    """Open the page: its name and one sentence, marked where it shows a demonstration."""
    mark = join(Html(" "), markup.tag("demo data", "watch")) if _is_demo() else Html("")
    show(
        Html(f"<h1>{escaped(words)}{mark}</h1>"),
        Html(f'<p class="ms-lede">{about}</p>'),
    )


def live(body: Callable[[], None], *, on: bool, every_s: float | None = None) -> None:
    """Draw `body` now and, while `on`, again and again; say so where the store is away.

    `every_s` is the setting `refresh_s` unless given.
    """

    @st.fragment(run_every=(every_s or settings().refresh_s) if on else None)
    def _again() -> None:
        try:
            body()
        except StoreAway as error:
            _away(error)

    _again()


def freshness(*answers: CachedAnswer[Any]) -> None:
    """Say how old what is shown is, if the store did not answer just now."""
    old = [answer for answer in answers if answer.problem]
    if not old:
        return
    oldest = min(old, key=lambda answer: answer.asked_s)
    at_ms = oldest.asked_s * 1000
    age = text.since(max(0.0, now_ms() - at_ms))
    shown = text.clock(at_ms, zone(), now_ms=now_ms(), seconds=True)
    show(
        markup.panel(
            Html(
                f'<p role="status"><strong>Data from {escaped(shown)}, {escaped(age)} old.</strong>'
                f" {told(_sentence(oldest.problem))}</p>"
            ),
            kind="alarm",
        )
    )


def problems(found: Address) -> None:
    """Say which parts of the address had no meaning."""
    if found.problems:
        items = "".join(f"<p>{escaped(problem)}</p>" for problem in found.problems)
        show(markup.panel(Html(f'<div role="status">{items}</div>'), kind="alarm"))


def range_picker(found: Address) -> Range:
    """Return the range that the address says, and let the viewer choose another."""
    chosen = found.range(now_ms())
    st.session_state["range"] = chosen.name
    st.session_state["live"] = chosen.live and not chosen.is_past(now_ms())
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            f"Time range, in {zone_name()} time", list(RANGE_NAMES), key="range",
            format_func=lambda name: RANGE_NAMES[name], required=True,
            on_change=_picked, args=(chosen,), wrap=True,
        )  # fmt: skip
        st.toggle(
            "Live", key="live", on_change=_paused, disabled=chosen.is_past(now_ms()),
            help=f"Look again every {settings().refresh_s:g} seconds. Off for a range in the past.",
        )  # fmt: skip
    if chosen.name == CUSTOM:
        _custom(chosen)
    return chosen


def zone_name() -> str:
    """Return the name of the viewer's time zone."""
    return str(st.context.timezone or "UTC")


def place() -> ZoneInfo | None:
    """Return the viewer's time zone if it is another than UTC."""
    viewers = zone()
    return viewers if isinstance(viewers, ZoneInfo) and viewers.key != "UTC" else None


def days_of(zone: str, step_ms: int) -> None:
    """Say so where steps of a day or more are not those of the viewer's clocks."""
    viewers = place()
    if step_ms >= DAY_MS and not zone and viewers is not None:
        show(markup.note(f"Days are of UTC here, not of {viewers.key}."))


def remembered(found: Range) -> dict[str, str]:
    """Return the parameters that carry the range over to another page."""
    return state.of_range(found)


def push(**changes: str) -> None:
    """Bring changes into the address."""
    state.write(st.query_params, changes)


def nothing_yet() -> None:
    """Say what to do first, where the store holds no event of this tenant."""
    show(
        markup.heading(2, "No events yet"),
        markup.lede("Send a coding agent's telemetry here, bring in its history, or look around."),
    )
    for words, command in (
        ("Connect the agent on this machine; new sessions appear within two seconds.",
         "connect claude-code"),
        ("Import the transcripts that are already on this machine.", "import"),
        ("Watch a bundled fleet at work, without an agent.", "up --demo"),
    ):  # fmt: skip
        show(markup.note(words))
        st.code(invocation.command(command), language=None, wrap_lines=True)


def _is_demo() -> bool:
    since_ms = now_ms() - DEMO_SINCE_MS
    return attempt(
        ("demo",),
        lambda db, tenant: sessions.demo(db, tenant, since_ms=since_ms),
        otherwise=False,
    )


def _away(error: StoreAway) -> None:
    show(
        markup.panel(
            join(
                Html('<p role="alert"><strong>The store does not answer, so there is nothing to '
                     f"show yet.</strong> {told(_sentence(str(error)))}</p>"),
                markup.note("This page tries again by itself. Ask the stream what is wrong with:"),
            ),
            kind="alarm",
        )
    )  # fmt: skip
    st.code(invocation.command("doctor"), language=None, wrap_lines=True)


def _sentence(words: str) -> str:
    whole = words[:1].upper() + words[1:]
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


def _changed_tenant() -> None:
    chosen = str(st.session_state[_PICKED])
    st.session_state[_TENANT] = chosen
    st.query_params.clear()
    push(tenant="" if chosen == settings().tenant else chosen)


def _picked(before: Range) -> None:
    name = str(st.session_state["range"])
    if name == CUSTOM:
        start, end = before.bounds(now_ms())
        push(**state.of_range(Range(name=CUSTOM, from_ms=start, until_ms=end)), page="")
        return
    push(**state.of_range(Range(name=name)), page="")


def _paused() -> None:
    push(live="" if st.session_state["live"] else "0")


def _custom(chosen: Range) -> None:
    here = zone()
    for name, at_ms in (("from", chosen.from_ms), ("to", chosen.until_ms)):
        at = datetime.fromtimestamp(at_ms / 1000, tz=here)
        st.session_state[f"custom_{name}"] = at.replace(tzinfo=None, second=0, microsecond=0)
    with st.container(horizontal=True, gap="medium"):
        for name, label in (("from", "From"), ("to", "Until")):
            st.datetime_input(
                label, key=f"custom_{name}", step=60, on_change=_moved, args=(name, here), width=260
            )


def _moved(name: str, here: tzinfo) -> None:
    chosen: datetime | None = st.session_state[f"custom_{name}"]
    if chosen is not None:
        at_ms = int(chosen.replace(tzinfo=here).timestamp() * 1000)
        push(**{name: state.moment(at_ms)}, page="")
