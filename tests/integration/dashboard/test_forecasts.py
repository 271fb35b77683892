"""Forecasts over a real store: fan, words, and budgets that a click sets and removes."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from streams.series.measures import Db
from tests.support import seeds, seeds_watched

pytestmark = pytest.mark.embedded

PAGE: Final = "from apps.dashboard import outlook\noutlook.page()\n"
HOSTILE: Final = "<script>alert(1)</script>"
HOUR_MS: Final = 3_600_000
Open = Callable[..., AppTest]


@pytest.fixture
def opened(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open the page with what its address says."""
    st.cache_resource.clear()
    monkeypatch.setenv("MAINSTEM_DASHBOARD_STORE_URL", database_url)

    def _open(**parameters: str) -> AppTest:
        seen = AppTest.from_string(PAGE, default_timeout=30)
        for name, value in parameters.items():
            seen.query_params[name] = value
        return seen.run()

    yield _open
    st.cache_resource.clear()


@pytest.fixture
def watched(db: Db, now_ms: int) -> Db:
    """Write two days of readings, what is forecast of them, and three budgets."""
    rows = seeds.Seeds()
    rows.session("s", at_ms=now_ms - HOUR_MS, project="billing")
    rows.write(db)
    seeds_watched.forecasts(db, now_ms=now_ms)
    seeds_watched.forecasts(db, now_ms=now_ms, project=HOSTILE)
    seeds_watched.forecasts(db, now_ms=now_ms, tenant="umbrella", project="hidden")
    seeds_watched.budgets(db, now_ms=now_ms)
    db.commit()
    return db


def _shown(seen: AppTest) -> str:
    assert not seen.exception
    return " ".join(element.proto.body for element in seen.get("html"))


def test_an_empty_store_says_the_next_commands(opened: Open) -> None:
    assert "No events yet" in _shown(opened())


def test_before_the_first_forecast_the_page_says_when_it_comes(
    opened: Open, db: Db, now_ms: int
) -> None:
    rows = seeds.Seeds()
    rows.session("s", at_ms=now_ms - HOUR_MS)
    rows.write(db)

    seen = opened()

    assert "No forecast yet" in _shown(seen)
    assert not seen.get("vega_lite_chart")


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(("horizon", "rows"), [("hour", 12), ("day", 24), ("week", 28)])
def test_a_forecast_is_drawn_told_and_listed(opened: Open, horizon: str, rows: int) -> None:
    seen = opened(horizon=horizon)

    shown = _shown(seen)
    assert len(seen.get("vega_lite_chart")) == 1
    assert "expected within" in shown
    assert "95 % sure between" in shown
    table = shown[shown.index("in numbers</caption>") :].partition("</table>")[0]
    assert table.count("<tr>") == rows + 1
    assert "hidden" not in shown


@pytest.mark.usefixtures("watched")
def test_a_budget_tells_when_it_runs_out_and_how_likely_that_is(opened: Open) -> None:
    shown = _shown(opened())

    assert "3 budgets</caption>" in shown
    assert "before it is reset at" in shown
    assert "87 % likely to run out before its reset" in shown
    assert "$15.00 of $20.00" in shown
    assert "Used up; it is reset at" in shown
    assert "Not looked at yet; a worker does within five minutes." in shown


@pytest.mark.usefixtures("watched")
def test_a_click_sets_a_budget_and_another_removes_it(opened: Open, db: Db) -> None:
    seen = opened()

    seen.text_input(key="budget_name").set_value("mine")
    seen.number_input(key="budget_limit").set_value(7.5)
    seen.selectbox(key="budget_period").set_value("week")
    seen.button[0].click().run()
    kept = db.execute(
        "select tenant, period, limit_usd, project, changed_by from budgets where name = 'mine'"
    ).fetchall()
    said = _shown(seen)
    db.commit()
    seen.selectbox(key="budget_gone").set_value("mine")
    seen.button[1].click().run()

    assert kept == [("local", "week", 7.5, "", "dashboard")]
    assert "✓ Budget “mine” is set" in said
    assert "4 budgets</caption>" in said
    assert "Budget “mine” is removed." in _shown(seen)
    assert "3 budgets</caption>" in _shown(seen)
    assert db.execute("select count(*) from budgets where name = 'mine'").fetchone() == (0,)


@pytest.mark.usefixtures("watched")
def test_a_budget_that_has_no_meaning_is_refused_where_it_was_asked_for(opened: Open) -> None:
    seen = opened()

    seen.text_input(key="budget_name").set_value(" ")
    seen.button[0].click().run()

    assert "Nothing was changed." in _shown(seen)
    assert "3 budgets</caption>" in _shown(seen)


@pytest.mark.usefixtures("watched")
def test_looking_at_the_page_changes_nothing(opened: Open, db: Db) -> None:
    before = db.execute("select xmin, * from budgets order by name").fetchall()
    db.commit()

    opened(horizon="week")
    opened(measure="tokens", project="nobody")

    assert db.execute("select xmin, * from budgets order by name").fetchall() == before


@pytest.mark.usefixtures("watched")
def test_hostile_names_are_words_on_the_page(opened: Open, db: Db) -> None:
    db.execute("update budgets set name = %s where name = 'team'", [HOSTILE])
    db.commit()

    shown = _shown(opened(project=HOSTILE))

    assert "<script" not in shown
    assert "Cost of &lt;script&gt;" in shown
