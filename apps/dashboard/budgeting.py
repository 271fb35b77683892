"""Budgets on the Forecasts page: how long each lasts, in words, and setting and removing them.

The store is written to in the handler of a click alone, over a connection that is closed at once.
What came of a click is said where it was clicked.
"""

from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from analytics.contracts.errors import MainstemError
from analytics.contracts.ids import TenantId
from apps.dashboard import markup, text, viewer, viewing
from apps.dashboard.markup import Heading, Tile
from apps.dashboard.text import Html, escaped, join
from streams.queries import monitoring
from streams.queries.monitoring import BudgetStatus
from streams.series.measures import Db
from streams.store import controls

PERIODS: Final = {"5h": "5 hours", "day": "Day", "week": "Week"}
BY: Final = "dashboard"
_CHANGED: Final = "budgets_changed"
"""Where a viewer's session keeps when it last changed a budget, so that it sees the change."""
_TOLD: Final = "budgets_told"
TILES_MAX: Final = 6
LABEL_MAX: Final = 48
_ABOUT: Final = (
    "A budget of the same name is replaced. A day begins at 00:00 UTC, a week on Monday, and five "
    "hours with the first cost after the five before."
)
NO_NAMES: Final[tuple[str, ...]] = ()
_NANO: Final = 1e9


def show(budgets: Sequence[BudgetStatus]) -> None:
    """Put onto the page how long budgets last."""
    viewing.show(markup.heading(2, "Budgets"))
    if not budgets:
        viewing.show(markup.note("No budget is set. Set one below to see when it runs out."))
        return
    now_ms = viewing.now_ms()
    urgent = sorted(budgets, key=lambda one: (one.exhausts_ms or 2**62, -(one.probability or 0)))
    viewing.show(
        markup.tiles(_tile(one, now_ms) for one in urgent[:TILES_MAX]),
        markup.table(text.plural(len(budgets), "budget"), _HEADS, (_row(one) for one in urgent)),
    )


def forms(projects: Sequence[str]) -> None:
    """Let the viewer set a budget and remove one."""
    viewing.show(markup.heading(2, "Set a budget"))
    with st.form("budget", border=False):
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            st.text_input("Name", key="budget_name", max_chars=controls.NAME_CHARACTERS_MAX,
                          width=230, placeholder="team budget")  # fmt: skip
            st.selectbox("For each", list(PERIODS), key="budget_period", index=1, width=130,
                         format_func=lambda name: PERIODS[name])  # fmt: skip
            st.number_input("Limit in US dollars", key="budget_limit", min_value=0.01, value=20.0,
                            step=5.0, format="%.2f", width=190)  # fmt: skip
            st.selectbox("Spent by", ["", *projects], key="budget_project", width=220,
                         format_func=_whose)  # fmt: skip
        st.form_submit_button("Set budget", on_click=_put, disabled=not viewer.may_change())
    viewing.show(markup.note(_ABOUT))
    _told()
    names = viewing.attempt(("budget names", changed()), _names, otherwise=NO_NAMES)
    if names:
        viewing.show(markup.heading(3, "Remove a budget"))
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            st.selectbox("Budget", names, key="budget_gone", width=300)
            st.button("Remove budget", on_click=_remove, disabled=not viewer.may_change())


def _whose(project: str) -> str:
    return f"Project {project}" if project else "All projects"


def _names(db: Db, tenant: str) -> tuple[str, ...]:
    return tuple(one.name for one in monitoring.budgets(db, TenantId(tenant)))


def changed() -> int:
    """Return when this viewer last changed a budget: part of what answers are kept under."""
    at_ms: int = st.session_state.get(_CHANGED, 0)
    return at_ms


def _put() -> None:
    given = st.session_state
    budget = controls.BudgetLimit(
        name=str(given["budget_name"]).strip(), period=str(given["budget_period"]),
        limit_usd=float(given["budget_limit"] or 0), project=str(given["budget_project"]),
    )  # fmt: skip
    _write(
        lambda db, tenant: controls.put_budget(db, tenant, budget, by=viewer.name() or BY),
        f"Budget “{budget.name}” is set; a worker says within five minutes how long it lasts.",
    )


def _remove() -> None:
    name = str(st.session_state["budget_gone"])
    _write(
        lambda db, tenant: controls.remove_budget(db, tenant, name), f"Budget “{name}” is removed."
    )


def _write(change: Callable[[controls.Db, str], None], done: str) -> None:
    """Change something in the store, and remember what to say of it."""
    settings = viewing.settings()
    if not viewer.may_change():
        st.session_state[_TOLD] = (False, viewer.READ_ONLY)
        return
    try:
        with controls.opened(settings.store_url.get_secret_value()) as db:
            change(db, viewing.chosen_tenant())
    except MainstemError as error:
        st.session_state[_TOLD] = (False, str(error))
        return
    st.session_state[_TOLD] = (True, done)
    st.session_state[_CHANGED] = viewing.now_ms()
    st.session_state.pop("budget_gone", None)


def _told() -> None:
    """Say once what came of the last click."""
    told: tuple[bool, str] | None = st.session_state.pop(_TOLD, None)
    if told is None:
        return
    well, said = told
    words = escaped(said[:1].upper() + said[1:], most=400)
    if well:
        viewing.show(markup.panel(Html(f'<p role="status">✓ {words}</p>'), kind="calm"))
        return
    heading = Html('<p role="alert"><strong>Nothing was changed.</strong> ')
    viewing.show(markup.panel(join(heading, words, Html("</p>")), kind="alarm"))


def _tile(budget: BudgetStatus, now_ms: int) -> Tile:
    name = budget.name if len(budget.name) <= LABEL_MAX else budget.name[: LABEL_MAX - 1] + "…"
    if budget.at_ms is None or budget.spent_usd is None:
        return Tile(name, text.NONE, escaped("not looked at yet"))
    if budget.spent_usd >= budget.limit_usd:
        return Tile(name, "used up", escaped(f"of {_money(budget.limit_usd)}"))
    if budget.exhausts_ms is None:
        return Tile(name, "lasts", escaped(_chance(budget)))
    left = text.duration(max(0, budget.exhausts_ms - now_ms) // 60_000 * 60_000)
    return Tile(name, f"{left} left", escaped(_chance(budget)))


def words(budget: BudgetStatus, now_ms: int) -> str:
    """Say when a budget runs out."""
    zone = viewing.zone()
    if budget.at_ms is None or budget.spent_usd is None or budget.resets_ms is None:
        return "Not looked at yet; a worker does within five minutes."
    reset = text.clock(budget.resets_ms, zone, now_ms=now_ms)
    if budget.spent_usd >= budget.limit_usd:
        return f"Used up; it is reset at {reset}."
    if budget.exhausts_ms is None:
        return f"Expected to last until it is reset at {reset}."
    at = text.clock(budget.exhausts_ms, zone, now_ms=now_ms)
    if budget.exhausts_ms <= now_ms:
        return f"Expected to be used up since {at}; it is reset at {reset}."
    left = text.duration((budget.exhausts_ms - now_ms) // 60_000 * 60_000)
    early = text.duration((budget.resets_ms - budget.exhausts_ms) // 60_000 * 60_000)
    return f"In {left}, at {at}, {early} before it is reset at {reset}."


def _chance(budget: BudgetStatus) -> str:
    if budget.probability is None:
        return "no forecast to judge by"
    return f"{_percent(budget.probability)} likely to run out before its reset"


def _percent(probability: float) -> str:
    if 0 < probability < 0.01:
        return "under 1 %"
    if 0.99 < probability < 1:
        return "over 99 %"
    return f"{probability:.0%}".replace("%", " %")


def _row(budget: BudgetStatus) -> tuple[Html, ...]:
    what = f"Each {PERIODS[budget.period].lower()}" if budget.period != "5h" else "Every 5 hours"
    whose = _whose(budget.project)
    spent = budget.spent_usd or 0.0
    over = spent >= budget.limit_usd
    amount = escaped(f"{_money(spent)} of {_money(budget.limit_usd)}")
    if over:
        amount = Html(f'<span class="ms-bad">✗ {amount}</span>')
    about = escaped(f"{what}, {whose[0].lower()}{whose[1:]}", most=80)
    chance = text.NONE if budget.probability is None else _percent(budget.probability)
    return (
        join(escaped(budget.name, most=60),
             Html(f'<br><span class="ms-aside">{about}</span>')),
        join(amount, markup.bar(spent, budget.limit_usd)),
        escaped(words(budget, viewing.now_ms())),
        escaped(chance),
    )  # fmt: skip


def _money(usd: float) -> str:
    return text.money(usd * _NANO)


_HEADS: Final = (
    Heading("Budget", "wide"), Heading("Spent"), Heading("Runs out", "wide"),
    Heading("Likely before reset", "number", optional=True),
)  # fmt: skip
