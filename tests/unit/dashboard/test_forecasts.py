"""Forecasts without a store, and how a budget's state is said in words."""

from collections.abc import Iterator

import pytest
import streamlit as st
from msgspec import structs
from streamlit.testing.v1 import AppTest

from apps.dashboard import budgeting, fan, theme
from streams.queries.monitoring import BudgetStatus

PAGE = "from apps.dashboard import outlook\noutlook.page()\n"
NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
BUDGET = BudgetStatus(
    name="team", period="day", limit_usd=20.0, project="", at_ms=NOW_MS, spent_usd=15.0,
    resets_ms=NOW_MS + 6 * HOUR_MS, exhausts_ms=NOW_MS + 2 * HOUR_MS, probability=0.9,
)  # fmt: skip


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """Give the page over a store that is not there."""
    st.cache_resource.clear()
    monkeypatch.setenv("MAINSTEM_DASHBOARD_STORE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("MAINSTEM_DASHBOARD_CONNECT_WAIT_S", "0.2")
    yield AppTest.from_string(PAGE, default_timeout=20)
    st.cache_resource.clear()


def _shown(seen: AppTest) -> str:
    assert not seen.exception
    return " ".join(element.proto.body for element in seen.get("html"))


def test_without_a_store_the_page_says_so(away: AppTest) -> None:
    assert "The store does not answer" in _shown(away.run())


def test_a_budget_that_cannot_be_written_is_said_not_to_be(away: AppTest) -> None:
    seen = away.run()

    seen.text_input(key="budget_name").set_value("mine")
    seen.button[0].click().run()

    assert "Nothing was changed." in _shown(seen)


def test_a_wrong_address_shows_the_default_and_says_so(away: AppTest) -> None:
    away.query_params["measure"] = "<b>"
    away.query_params["horizon"] = "year"

    shown = _shown(away.run())

    assert "“measure” cannot be “&lt;b&gt;”" in shown
    assert "“horizon” cannot be “year”" in shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "In 2 h, at "),
        ({}, ", 4 h before it is reset at "),
        ({"spent_usd": 20.0}, "Used up; it is reset at "),
        ({"exhausts_ms": None, "probability": 0.1}, "Expected to last until it is reset at "),
        ({"exhausts_ms": NOW_MS - 1}, "Expected to be used up since "),
        ({"at_ms": None, "spent_usd": None}, "Not looked at yet"),
    ],
)
def test_every_state_of_a_budget_has_its_words(changes: dict[str, object], said: str) -> None:
    assert said in budgeting.words(structs.replace(BUDGET, **changes), NOW_MS)


def test_the_key_of_the_fan_names_each_of_its_marks() -> None:
    shown = fan.key(theme.DARK)

    for name in fan.NAMES:
        assert name in shown
