"""Without a store every page stands, says so in a sentence, and shows no trace."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from apps.dashboard import health, markup, sessions, theme
from apps.local import invocation

APP = Path(theme.__file__).with_name("app.py")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """Give the dashboard over a store that is not there."""
    import streamlit as st

    st.cache_resource.clear()
    monkeypatch.setenv("MAINSTEM_DASHBOARD_STORE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("MAINSTEM_DASHBOARD_CONNECT_WAIT_S", "0.2")
    monkeypatch.setenv("MAINSTEM_DASHBOARD_GATEWAY_URL", "")
    monkeypatch.setenv("MAINSTEM_DASHBOARD_WORKER_METRICS_URL", "")
    yield AppTest.from_file(str(APP), default_timeout=20)
    st.cache_resource.clear()


def test_the_overview_without_a_store_says_so_and_what_to_type(away: AppTest) -> None:
    seen = away.run()

    shown = " ".join(element.proto.body for element in seen.get("html"))
    assert not seen.exception
    assert "The store does not answer" in shown
    assert [block.value for block in seen.code] == [invocation.command("doctor")]


def test_a_bad_address_shows_the_default_and_says_so(away: AppTest) -> None:
    away.query_params["range"] = "<b>forever</b>"

    seen = away.run()

    shown = " ".join(element.proto.body for element in seen.get("html"))
    assert "“range” cannot be “&lt;b&gt;forever&lt;/b&gt;”" in shown
    assert "showing “1h” instead" in shown


def test_a_spreadsheet_takes_no_cell_for_a_formula() -> None:
    assert sessions.harmless('=HYPERLINK("x")') == '\'=HYPERLINK("x")'
    assert sessions.harmless("@cmd") == "'@cmd"
    assert sessions.harmless(-3) == -3


def test_a_table_escapes_its_title_and_has_header_cells() -> None:
    shown = markup.table("<i>", (markup.Heading("A", "number"),), [(markup.tag("<x>"),)])

    assert "<caption>&lt;i&gt;</caption>" in shown
    assert '<th scope="col" class="ms-number">A</th>' in shown
    assert "<x>" not in shown


def test_lag_is_read_from_the_workers_metrics() -> None:
    metrics = (
        "# HELP streams_lag_records Records\n"
        'streams_lag_records{partition="0",topic="agents.v1"} 12.0\n'
        'streams_lag_records{partition="1",topic="agents.v1"} 0.0\n'
    )

    assert health.lags_of(metrics) == {("agents.v1", 0): 12, ("agents.v1", 1): 0}
