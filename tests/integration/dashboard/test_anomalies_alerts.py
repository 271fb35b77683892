"""Anomalies and Alerts over a real store: each state, and what a click writes."""

from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from apps.local import invocation
from streams.series.measures import Db
from tests.support import watched_rows

pytestmark = pytest.mark.embedded

HOSTILE = "<script>alert(1)</script><img src=x>{a.b[0]}"
Open = Callable[..., AppTest]


@pytest.fixture
def opened(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Open a page by its module's name, with what its address says."""
    st.cache_resource.clear()
    monkeypatch.setenv("MAINSTEM_DASHBOARD_STORE_URL", database_url)

    def _open(page: str, **parameters: str) -> AppTest:
        script = f"from apps.dashboard import {page}\n{page}.page()\n"
        seen = AppTest.from_string(script, default_timeout=30)
        for name, value in parameters.items():
            seen.query_params[name] = value
        return seen.run()

    yield _open
    st.cache_resource.clear()


@pytest.fixture
def watched(db: Db, now_ms: int) -> Db:
    watched_rows.series(db, now_ms=now_ms)
    watched_rows.alerts(db, now_ms=now_ms)
    watched_rows.series(db, now_ms=now_ms, tenant="umbrella", watch_id=9, part="umbrella-model")
    watched_rows.alerts(db, now_ms=now_ms, tenant="umbrella", words="umbrella words")
    db.commit()
    return db


def _shown(seen: AppTest) -> str:
    assert not seen.exception
    return " ".join(element.proto.body for element in seen.get("html"))


def test_before_anything_is_watched_the_page_says_what_watches(opened: Open) -> None:
    seen = opened("anomalies")

    assert "Nothing is watched yet" in _shown(seen)
    assert [block.value for block in seen.code] == [invocation.command("up")]


@pytest.mark.usefixtures("watched")
def test_an_anomaly_is_listed_drawn_and_explained(opened: Open) -> None:
    seen = opened("anomalies", range="1h", anomaly=watched_rows.ANOMALY_ID)

    shown = _shown(seen)
    assert "<caption>1 anomaly</caption>" in shown
    assert "far above its expected range" in shown
    assert "Observed $9.50, expected $0.80 to $1.60" in shown
    assert "What contributed most" in shown
    assert "1 anomaly marked" in shown
    assert len(seen.get("vega_lite_chart")) == 1
    assert "umbrella" not in shown


def test_a_word_on_an_anomaly_is_kept_told_and_can_be_taken_back(opened: Open, watched: Db) -> None:
    seen = opened("anomalies", range="1h", anomaly=watched_rows.ANOMALY_ID)

    seen.button(key="anomalies_say_noise").click().run()

    assert "This anomaly is called noise" in _shown(seen)
    assert _word(watched) == "noise"
    seen.button(key="anomalies_say_").click().run()
    assert _word(watched) == ""


def _word(db: Db) -> str:
    row = db.execute(
        "select feedback from anomalies where anomaly_id = %s", [watched_rows.ANOMALY_ID]
    ).fetchone()
    db.rollback()
    assert row is not None
    return str(row[0])


@pytest.mark.usefixtures("watched")
def test_filters_that_nothing_matches_say_so_in_words(opened: Open) -> None:
    assert "Nothing unusual" in _shown(opened("anomalies", range="1h", word="useful"))


def test_without_alerts_nothing_fires(opened: Open) -> None:
    assert "Nothing fires." in _shown(opened("alerts"))
    assert "No alert changed its state." in _shown(opened("alerts", part="history"))
    assert "Nothing is silenced." in _shown(opened("alerts", part="silences"))


@pytest.mark.usefixtures("watched")
def test_alerts_stand_by_what_they_are(opened: Open) -> None:
    shown = _shown(opened("alerts"))

    at = [
        shown.index(title)
        for title in ("Firing: 1", "Pending: 1", "Silenced or inhibited: 1", "Resolved: 1")
    ]
    assert at == sorted(at)
    assert "alerts?silence=%7Balertname" in shown
    assert "umbrella" not in shown


def test_acknowledging_is_written_for_the_alert_that_is_open(opened: Open, watched: Db) -> None:
    seen = opened("alerts", alert=watched_rows.FIRING)

    seen.button(key="alerts_acknowledge").click().run()

    assert "The alert is acknowledged" in _shown(seen)
    rows = watched.execute("select fingerprint, acknowledged_by from acknowledgements").fetchall()
    assert rows == [(watched_rows.FIRING, "dashboard")]


def test_a_silence_link_fills_the_form_previews_and_makes_a_silence(
    opened: Open, watched: Db
) -> None:
    seen = opened("alerts", silence='{alertname="CostSpike",severity="critical"}')

    assert "It mutes 1 alert of those" in _shown(seen)
    seen.text_input(key="silence_by").set_value("ada")
    seen.text_input(key="silence_comment").set_value("known")
    next(one for one in seen.button if one.label == "Create the silence").click().run()

    assert "is silenced from the worker" in _shown(seen)
    row = watched.execute(
        "select matchers from silences where tenant = 'local' and comment = 'known'"
    ).fetchone()
    assert row == ('{alertname="CostSpike",severity="critical"}',)


@pytest.mark.usefixtures("watched")
def test_a_silence_without_a_name_is_refused_and_matchers_that_are_none_are_told(
    opened: Open,
) -> None:
    seen = opened("alerts", silence='{alertname="CostSpike"}')

    next(one for one in seen.button if one.label == "Create the silence").click().run()

    assert "says who made it and why" in _shown(seen)
    assert "Not a matcher." in _shown(opened("alerts", silence="{nonsense"))


def test_a_rule_is_checked_with_its_line_tried_and_kept(opened: Open, fleet: Db) -> None:
    seen = opened("alerts", part="rules")
    assert "Valid." in _shown(seen)

    seen.text_area(key="rules_body").set_value(
        "groups:\n  - name: a\n    rules:\n      - alert: X\n        expr: sum(\n"
    ).run()
    assert "Line 5" in _shown(seen)
    assert "^" in seen.code[0].value
    assert seen.button(key="rules_keep").disabled

    seen.text_area(key="rules_body").set_value(
        "groups:\n  - name: a\n    rules:\n      - alert: Busy\n        expr: requests_total > 0\n"
    ).run()
    shown = _shown(seen)
    assert "When it would have fired" in shown
    assert "newest first" in shown
    assert "Busy" in shown
    seen.text_input(key="rules_name").set_value("mine").run()
    seen.button(key="rules_keep").click().run()
    assert "is kept" in _shown(seen)
    assert fleet.execute("select kind, name from alert_files").fetchall() == [("rules", "mine")]


@pytest.mark.requirement("receiver-tested")
def test_routing_is_checked_saved_without_its_secrets_shown_and_a_receiver_tested(
    opened: Open, fleet: Db
) -> None:
    seen = opened("alerts", part="receivers")
    assert "No receiver tells anybody yet" in _shown(seen)

    seen.text_area(key="routing_body").set_value("route: {receiver: ops}\nreceivers: [1]\n").run()
    assert "Line 2" in _shown(seen)
    assert seen.button(key="routing_keep").disabled

    seen.text_area(key="routing_body").set_value(
        "route: {receiver: ops}\n"
        "receivers: [{name: ops, webhook_configs: [{url: 'https://h.example/SECRET'}]}]\n"
    ).run()
    seen.button(key="routing_keep").click().run()
    assert "is saved" in _shown(seen)
    assert "webhook https://h.example" in _shown(seen)
    assert "SECRET" not in _shown(seen)
    assert "<secret>" in str(seen.text_area(key="routing_body").value)

    seen.button(key="receivers_test").click().run()
    assert "A test goes to “ops”" in _shown(seen)
    assert "Tests of the last day" in _shown(seen)
    row = fleet.execute("select receiver, why, state from notices").fetchone()
    assert row == ("ops", "test", "waiting")
    assert "test: ReceiverTest" in _shown(opened("alerts", part="history"))


def test_what_others_wrote_is_never_markup(opened: Open, db: Db, now_ms: int) -> None:
    watched_rows.series(db, now_ms=now_ms, part=HOSTILE, reason=HOSTILE)
    watched_rows.alerts(db, now_ms=now_ms, words=HOSTILE)
    db.commit()

    for page, address in (
        ("anomalies", {"anomaly": watched_rows.ANOMALY_ID}),
        ("alerts", {"alert": watched_rows.FIRING}),
        ("alerts", {"part": "silences"}),
        ("alerts", {"part": "history"}),
    ):
        shown = _shown(opened(page, **address))
        assert "<script" not in shown
        assert "<img" not in shown


def test_every_part_of_a_page_whose_store_is_away_says_so(
    monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    monkeypatch.setenv("MAINSTEM_DASHBOARD_STORE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("MAINSTEM_DASHBOARD_CONNECT_WAIT_S", "0.2")

    for page, part in (("anomalies", ""), ("alerts", ""), ("alerts", "silences")):
        shown = _shown(opened(page, **({"part": part} if part else {})))
        assert "The store does not answer" in shown
