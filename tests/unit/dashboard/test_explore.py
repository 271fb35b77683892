"""Explore without a store: questions in the address, expressions, files, and lines by any name."""

import csv
import io
from collections.abc import Iterator

import numpy as np
import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some
from pyarrow import parquet
from streamlit.testing.v1 import AppTest

from apps.dashboard import charts, explore, exports, inquiry, theme
from apps.dashboard.inquiry import ChartPanel, Findings, Line, Question
from apps.dashboard.state import Address, link
from streams.queries.grouped import DIMENSIONS
from streams.series.measures import EVENT_MEASURES

PAGE = "from apps.dashboard import explore\nexplore.page()\n"
HOSTILE = "<script>alert(1)</script>'\"`a.b[0]\\"


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


def test_every_measure_and_dimension_of_the_store_can_be_asked_for() -> None:
    assert set(inquiry.MEASURES) == set(EVENT_MEASURES)
    assert set(inquiry.BY) == set(DIMENSIONS)


def test_every_view_to_start_from_is_a_question_without_a_problem() -> None:
    for view in explore.VIEWS.values():
        found = Address(view)

        asked = inquiry.of(found)
        found.range(0)

        assert found.problems == []
        assert asked != Question()


def test_what_the_address_asks_wrongly_is_left_out_and_named() -> None:
    found = Address({"measures": "calls,nothing,calls", "by": "model,<b>", "top": "7"})

    asked = inquiry.of(found)

    assert (asked.measures, asked.by, asked.groups) == (("calls",), ("model",), 5)
    assert len(found.problems) == 3


def test_more_than_can_be_shown_is_cut_and_said() -> None:
    found = Address({"by": "project,agent,model,tool"})

    assert inquiry.of(found).by == ("project", "agent", "model")
    assert "at most 3" in found.problems[0]


@given(some.dictionaries(some.sampled_from(explore.PARTS), some.text(max_size=300)))
def test_no_address_breaks_the_question(given: dict[str, str]) -> None:
    asked = inquiry.of(Address(given))

    assert 1 <= len(asked.measures) <= inquiry.MEASURES_MAX
    assert len(asked.by) <= inquiry.BY_MAX


def test_without_a_store_the_page_says_so_and_keeps_the_question(away: AppTest) -> None:
    away.query_params["by"] = "model"

    seen = away.run()

    assert "The store does not answer" in _shown(seen)
    assert seen.button_group(key="explore_by").value == ["model"]


def test_an_expression_that_cannot_be_read_is_marked_at_its_place(away: AppTest) -> None:
    away.query_params["mode"] = "promql"
    away.query_params["expr"] = "sum(\n  foo(x))"

    seen = away.run()

    assert "Line 2, column 3: the expression cannot be read." in _shown(seen)
    assert seen.code[0].value.splitlines()[2].index("^") == 2
    assert "The store does not answer" not in _shown(seen)


def test_an_empty_expression_asks_nothing(away: AppTest) -> None:
    away.query_params["mode"] = "promql"

    assert "Write an expression above" in _shown(away.run())


def test_hostile_words_in_the_address_are_never_markup(away: AppTest) -> None:
    for name in explore.PARTS:
        away.query_params[name] = HOSTILE
    away.query_params["mode"] = "promql"

    shown = _shown(away.run())

    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_a_link_of_a_view_leads_back_to_it(away: AppTest) -> None:
    away.query_params["by"] = "model"

    shown = _shown(away.run())

    assert '?by=model"' in shown
    assert "by=model&amp;range=custom&amp;from=" in shown


def _found() -> Findings:
    values = np.array([1.5, np.nan, 3.0])
    lines = (Line({"tool": "=cmd()"}, values), Line({"tool": "b", "model": HOSTILE}, values * 2))
    panel = ChartPanel("value", "Value", "Value", lines)
    return Findings(
        at_ms=np.array([0, 60_000, 120_000]), step_ms=60_000, panels=(panel,), more=False
    )  # fmt: skip


def test_a_csv_has_a_row_a_point_that_is_there_and_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(exports.as_csv(_found()).decode("utf-8-sig"))))

    assert rows[0] == ["at_ms", "time", "tool", "model", "value"]
    assert rows[1] == ["0", "1970-01-01T00:00:00Z", "'=cmd()", "", "1.5"]
    assert [row[4] for row in rows[1:]] == ["1.5", "3.0", "3.0", "6.0"]


def test_a_parquet_has_the_same_rows_with_their_types() -> None:
    table = parquet.read_table(io.BytesIO(exports.as_parquet(_found())))

    assert table.column("value").to_pylist() == [1.5, 3.0, 3.0, 6.0]
    assert table.column("model").to_pylist() == ["", "", HOSTILE, HOSTILE]
    assert str(table.schema.field("at_ms").type) == "int64"


def test_a_line_may_be_called_anything() -> None:
    key = charts.key([HOSTILE, "b" * 200], colours=theme.LIGHT)

    assert "<script" not in key
    assert len(key) < 1_200


def test_a_series_is_written_as_in_promql_and_a_group_by_its_values() -> None:
    labels = {"__name__": "x", "model": "m", "tool": "t"}

    assert inquiry.named(labels) == 'x{model="m", tool="t"}'
    assert inquiry.named({"model": "m", "tool": ""}, mode=inquiry.BUILDER) == "m, none"
    assert inquiry.named({}, mode=inquiry.BUILDER) == "All"


def test_a_view_is_a_link_that_holds_its_expression() -> None:
    assert link("explore", expr="a{b='c&d'}") == "explore?expr=a%7Bb%3D%27c%26d%27%7D"
