"""Every page, empty and full, light and dark, wide and narrow, is open to everyone."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Viewer, viewer

pytestmark = [pytest.mark.browser, pytest.mark.requirement("accessible")]

PAGES = {
    "overview": "?range=24h&live=0",
    "overview with numbers": "?range=24h&live=0&numbers=1",
    "overview of a custom range": "?range=custom&from=2026-01-01T00:00Z&to=2026-01-02T00:00Z",
    "sessions": "sessions?range=24h&live=0",
    "session": "session?session=endless",
    "system": "system",
    "explore": "explore?range=24h&live=0&by=model",
    "explore a refused expression": "explore?live=0&mode=promql&expr=sum(foo(",
    "forecasts": "forecasts?live=0",
    "forecasts of a week": "forecasts?live=0&horizon=week",
    "explore by an expression": "explore?range=24h&live=0&mode=promql&expr=sum(requests_total)",
    "alerts": "alerts",
    "alert opened": "alerts?alert=f1",
    "silence": "alerts?silence=%7Balertname%3D%22CostSpike%22%7D",
    "rules": "alerts?part=rules",
    "history of alerts": "alerts?part=history",
    "anomalies": "anomalies?range=1h&live=0&anomaly=anomaly-1",
}
PAGES_AWAY = (
    "", "sessions", "session?session=endless", "system", "explore", "alerts", "anomalies",
    "forecasts",
)  # fmt: skip
THEMES = ("light", "dark")
WIDTHS = (1280, 390)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("store", ["full", "empty"])
def test_no_page_breaks_a_rule_of_axe_scrolls_sideways_or_logs_an_error(
    request: pytest.FixtureRequest,
    chromium: Browser,
    axe: str,
    pictures: Path,
    store: str,
    theme: str,
    width: int,
) -> None:
    base = request.getfixturevalue(store)
    broken = {}

    with viewer(chromium, base, theme=theme, width=width) as seen:
        for name, path in PAGES.items():
            seen.open(path)
            seen.page.screenshot(path=pictures / f"{name}-{store}-{theme}-{width}.png")
            found = _violations(seen, axe)
            if seen.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append("scrolls sideways")
            found += seen.errors
            seen.errors.clear()
            if found:
                broken[name] = found

    assert broken == {}


@pytest.mark.parametrize("theme", THEMES)
def test_a_store_that_is_away_is_told_accessibly_and_in_a_sentence(
    chromium: Browser, axe: str, away: str, theme: str
) -> None:
    with viewer(chromium, away, theme=theme) as seen:
        for path in ("", "sessions", "session?session=endless", "system", "explore", "forecasts"):
            seen.open(path)
            seen.page.get_by_role("alert").first.wait_for()

            assert "The store does not answer" in seen.words()
            assert "Traceback" not in seen.words()
            assert _violations(seen, axe) == []


def _violations(seen: Viewer, axe: str) -> list[str]:
    """Return the rules that the page breaks, with the first places of each.

    What axe says besides is not taken out of the page: on a long one that takes a minute.
    """
    seen.page.evaluate(axe + "; null")
    rules: list[dict[str, Any]] = seen.page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
    )
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]}"
        for rule in rules
        for node in rule["nodes"][:2]
    ]
