"""Explore over a real store: the builder, expressions, and what they agree on."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from apps.dashboard import explore, exports, inquiry
from apps.dashboard.inquiry import PROMQL, Question
from apps.local import invocation
from streams.series.measures import Db
from tests.support import seeds

pytestmark = pytest.mark.embedded

PAGE = "from apps.dashboard import explore\nexplore.page()\n"
Open = Callable[..., AppTest]
DAY_MS = 86_400_000


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


def _shown(seen: AppTest) -> str:
    assert not seen.exception
    return " ".join(element.proto.body for element in seen.get("html"))


def test_an_empty_store_says_the_next_commands(opened: Open) -> None:
    seen = opened()

    assert "No events yet" in _shown(seen)
    assert invocation.command("up --demo") in [block.value for block in seen.code]


@pytest.mark.usefixtures("fleet")
def test_a_measure_by_model_is_drawn_told_and_listed(opened: Open) -> None:
    seen = opened(range="24h", by="model", measures="cost_nanousd,calls")

    shown = _shown(seen)
    assert "<h2>Cost</h2>" in shown
    assert "<h2>Model calls</h2>" in shown
    assert "in all; most at" in shown
    assert len(seen.get("vega_lite_chart")) == 2
    assert "largest groups</caption>" in shown
    assert "claude" in shown
    assert "hidden" not in shown


@pytest.mark.usefixtures("fleet")
def test_choosing_and_filtering_is_kept_in_the_address(opened: Open) -> None:
    seen = opened(range="24h")

    seen.button_group(key="explore_by").set_value(["tool"]).run()
    seen.selectbox(key="explore_step").set_value("1h").run()

    assert (seen.query_params["by"], seen.query_params["step"]) == ("tool", "1h")
    assert "points" not in _shown(seen)


@pytest.mark.usefixtures("fleet")
def test_a_question_that_nothing_keeps_apart_is_refused_in_words(opened: Open) -> None:
    shown = _shown(opened(range="24h", by="tool,session_id"))

    assert "This cannot be answered." in shown
    assert "sessions are kept apart by" in shown


@pytest.mark.usefixtures("fleet")
def test_a_filter_that_nothing_matches_says_what_to_do(opened: Open) -> None:
    assert "Take a filter away" in _shown(opened(range="24h", model="no such model"))


@pytest.mark.usefixtures("fleet")
def test_every_view_to_start_from_is_answered(opened: Open) -> None:
    for name, view in explore.VIEWS.items():
        shown = _shown(opened(**{"range": "24h", **view}))

        assert "cannot be" not in shown, name


@pytest.mark.usefixtures("fleet")
def test_an_expression_that_cannot_be_evaluated_says_why(opened: Open) -> None:
    shown = _shown(opened(mode="promql", expr="cost_usd_total[5m]", range="24h"))

    assert "This cannot be answered." in shown
    assert "at every step of a range" in shown


def test_the_builder_and_an_expression_agree_on_a_range(fleet: Db, now_ms: int) -> None:
    until_ms = now_ms // 3_600_000 * 3_600_000
    start_ms = until_ms - DAY_MS
    built = Question(measures=("calls",), by=("model",), step="1h", groups=100)
    text = "sum by (model) (increase(requests_total[1h]))"

    counted, written = (
        inquiry.answered(fleet, "local", one, from_ms=start_ms, until_ms=until_ms, now_ms=now_ms)
        for one in (built, Question(mode=PROMQL, step="1h", expression=text))
    )

    sums = {line.labels["model"]: line.values.sum() for line in counted.panels[0].lines}
    assert len(sums) > 2
    lines = {line.labels.get("model", ""): line.values for line in written.panels[0].lines}
    for model, whole in sums.items():
        # The expression looks back, so its hours are one step later; it knows none without a call.
        assert np.nansum(lines[model][1:]) == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize("name", ["Asia/Kolkata", "America/Los_Angeles"])
def test_days_are_those_of_the_viewers_place(fleet: Db, now_ms: int, name: str) -> None:
    zone, asked = ZoneInfo(name), Question(measures=("calls",), step="1d")
    hours = Question(measures=("calls",), step="5m")
    bounds = (now_ms - 2 * DAY_MS, now_ms)

    days, parts = (
        inquiry.answered(
            fleet, "local", one, from_ms=bounds[0], until_ms=bounds[1], now_ms=now_ms, zone=zone
        )
        for one in (asked, hours)
    )

    found = dict(zip(days.at_ms.tolist(), days.panels[0].lines[0].values.tolist(), strict=True))
    begun = [datetime.fromtimestamp(at / 1_000, tz=UTC).astimezone(zone) for at in found]
    assert days.zone == name
    assert all((one.hour, one.minute) == (0, 0) for one in begun)
    truth: dict[int, float] = dict.fromkeys(found, 0.0)
    for at, value in zip(parts.at_ms.tolist(), parts.panels[0].lines[0].values, strict=True):
        truth[max(day for day in found if day <= at)] += value
    assert found == truth


def test_an_export_adds_up_to_what_is_shown(fleet: Db, now_ms: int) -> None:
    asked = Question(measures=("calls", "cost_nanousd"), by=("model",), groups=100)

    found = inquiry.answered(
        fleet, "local", asked, from_ms=now_ms - DAY_MS, until_ms=now_ms, now_ms=now_ms
    )

    table = exports.columns(found)
    assert list(table) == ["at_ms", "time", "model", "calls", "cost_nanousd"]
    shown = sum(line.values.sum() for line in found.panels[0].lines)
    assert sum(float(str(cell)) for cell in table["calls"]) == pytest.approx(shown)


def test_hostile_names_are_words_on_the_page(opened: Open, db: Db, now_ms: int) -> None:
    hostile = "<script>alert(1)</script>{a.b[0]}"
    rows = seeds.Seeds()
    rows.session("<s>", at_ms=now_ms - 9_000, project=hostile, agent=hostile, model=hostile)
    rows.call("<s>", now_ms - 8_000, model=hostile, duration_ms=5, cost_nanousd=10**9)
    rows.write(db)

    shown = _shown(opened(by="project,agent,model"))

    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
