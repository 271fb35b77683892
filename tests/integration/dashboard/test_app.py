"""Every page over a real store: what it shows, what it keeps in the address, and how fast."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from apps.dashboard import theme
from apps.local import invocation
from streams.series.measures import Db
from tests.support import seeds

pytestmark = pytest.mark.embedded

OPENS_WITHIN_S = 2.0
ALL_OF_IT = Path(theme.__file__).with_name("app.py")

Open = Callable[..., AppTest]


@pytest.fixture
def opened(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open one page by its module's name, with what its address says."""
    st.cache_resource.clear()
    monkeypatch.setenv("MAINSTEM_DASHBOARD_STORE_URL", database_url)
    monkeypatch.setenv("MAINSTEM_DASHBOARD_GATEWAY_URL", "")
    monkeypatch.setenv("MAINSTEM_DASHBOARD_WORKER_METRICS_URL", "")

    def _open(page: str, **parameters: str) -> AppTest:
        script = f"from apps.dashboard import {page}\n{page}.page()\n"
        seen = AppTest.from_string(script, default_timeout=20)
        for name, value in parameters.items():
            seen.query_params[name] = value
        return seen.run()

    yield _open
    st.cache_resource.clear()


def _shown(seen: AppTest) -> str:
    assert not seen.exception
    return " ".join(element.proto.body for element in seen.get("html"))


def test_the_entry_shows_the_overview(opened: Open) -> None:
    del opened

    seen = AppTest.from_file(str(ALL_OF_IT), default_timeout=20).run()

    assert "<h1>Overview</h1>" in _shown(seen)


def test_an_empty_store_says_the_three_next_commands(opened: Open) -> None:
    seen = opened("home")

    assert "No events yet" in _shown(seen)
    assert [block.value for block in seen.code] == [
        invocation.command(words) for words in ("connect claude-code", "import", "up --demo")
    ]  # fmt: skip


@pytest.mark.usefixtures("fleet")
def test_the_overview_puts_what_needs_attention_first(opened: Open) -> None:
    seen = opened("home", range="24h")

    shown = _shown(seen)
    assert shown.index("Needs attention") < shown.index("in figures") < shown.index("Over time")
    assert "Claude needs your permission to use Bash" in shown
    assert "hidden" not in shown
    for title in ("Agents", "Models", "Tools", "Skills", "Projects"):
        assert f"<caption>{title}</caption>" in shown
    assert len(seen.get("vega_lite_chart")) == 4


@pytest.mark.usefixtures("fleet")
def test_choosing_a_range_writes_it_into_the_address(opened: Open) -> None:
    seen = opened("home")

    seen.button_group(key="range").set_value("7d").run()

    assert seen.query_params["range"] == "7d"
    assert "The last 7 days" in _shown(seen)


def test_a_quiet_range_says_since_when_and_shows_no_empty_chart(
    opened: Open, db: Db, now_ms: int
) -> None:
    rows = seeds.Seeds()
    rows.session("s", at_ms=now_ms - 5 * 3_600_000)
    rows.state("s", now_ms - 5 * 3_600_000, "ended")
    rows.write(db)

    seen = opened("home")

    shown = _shown(seen)
    assert "The last hour: no events" in shown
    assert "No data since" in shown
    assert 'href=".?range=6h"' in shown
    assert not seen.get("vega_lite_chart")


def test_words_of_an_agent_are_never_markup(opened: Open, db: Db, now_ms: int) -> None:
    hostile = '<script>alert(1)</script><img src=x onerror="x">[a](javascript:x)'
    rows = seeds.Seeds()
    rows.session("<s>", at_ms=now_ms - 9_000, project=hostile, agent=hostile, user_name=hostile)
    rows.prompt("<s>", now_ms - 8_000, hostile)
    rows.tool("<s>", now_ms - 7_000, tool=hostile, duration_ms=5, failed=True, summary=hostile)
    rows.wait("<s>", now_ms - 6_000, hostile)
    rows.write(db)

    pages = [
        _shown(opened(page, session="<s>")) for page in ("home", "sessions", "session", "system")
    ]

    for shown in pages:
        assert "<script" not in shown
        assert "<img" not in shown
    assert "&lt;script&gt;" in pages[0]
    assert "&lt;script&gt;" in pages[2]


@pytest.mark.usefixtures("fleet")
def test_sessions_filter_by_the_address_and_page(opened: Open) -> None:
    shown = _shown(opened("sessions", range="24h", state="stuck"))

    assert "<caption>1 session</caption>" in shown
    assert "Stuck" in shown


@pytest.mark.usefixtures("fleet")
def test_a_filter_that_matches_nothing_offers_the_way_back(opened: Open) -> None:
    shown = _shown(opened("sessions", range="24h", q="no such words"))

    assert "No session matches" in shown
    assert "Take a filter away" in shown


@pytest.mark.usefixtures("fleet")
def test_the_system_page_shows_graves_with_their_reasons(opened: Open) -> None:
    shown = _shown(opened("system"))

    assert "not an event: JSON is malformed" in shown
    assert "&lt;b&gt;x.y&lt;/b&gt;" in shown
    assert "postgresql" in shown


def test_a_session_nobody_knows_says_how_to_bring_it_in(opened: Open) -> None:
    assert "No such session" in _shown(opened("session", session="gone"))


def test_a_demonstration_is_marked_on_every_page(opened: Open, db: Db, now_ms: int) -> None:
    rows = seeds.Seeds()
    rows.session("s", at_ms=now_ms - 9_000, team="demo")
    rows.write(db)

    for page in ("home", "sessions", "session", "system"):
        assert "demo data" in _shown(opened(page))


@pytest.mark.requirement("session-page-100k")
def test_a_session_of_100_000_events_opens_at_once(opened: Open, db: Db, now_ms: int) -> None:
    rows = seeds.Seeds()
    seeds.endless(rows, now_ms=now_ms, events=100_000)
    rows.write(db)
    db.execute("analyze")
    db.commit()
    _shown(opened("session", session="other"))

    began_s = time.process_time()
    shown = _shown(opened("session", session="endless"))

    assert "100,000 events" in shown
    assert "200 prompts, the 12 most costly" in shown
    assert len(shown) < 3_000_000
    assert time.process_time() - began_s < OPENS_WITHIN_S


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the viewer choose between two tenants, and name a third that has nothing."""
    monkeypatch.setenv("MAINSTEM_DASHBOARD_TENANTS", "local, umbrella, doctor")


def _entry(**parameters: str) -> AppTest:
    seen = AppTest.from_file(str(ALL_OF_IT), default_timeout=20)
    for name, value in parameters.items():
        seen.query_params[name] = value
    return seen.run()


def test_a_viewer_chooses_among_the_tenants_that_have_something(
    opened: Open, fleet: Db, both: None
) -> None:
    seen = _entry(range="24h")
    assert seen.selectbox[0].options == ["local", "umbrella"]
    assert "hidden-model" not in _shown(seen)

    seen = seen.selectbox[0].select("umbrella").run()

    assert "hidden-model" in _shown(seen)
    assert seen.query_params["tenant"] == "umbrella"


def test_links_of_another_tenant_keep_it(opened: Open, fleet: Db, both: None) -> None:
    shown = _shown(_entry(tenant="umbrella", range="24h"))

    links = [part for part in re.findall(r'href="([^"]+)"', shown) if ":" not in part]
    assert links
    assert all("tenant=umbrella" in link for link in links)


@pytest.mark.parametrize("named", ["hidden", "", "umbrella"])
def test_a_tenant_that_is_not_offered_is_not_shown(opened: Open, fleet: Db, named: str) -> None:
    seen = _entry(tenant=named, range="24h")

    assert not seen.selectbox
    assert "hidden-model" not in _shown(seen)
