"""The headless Chromium of benchmarks: Debian's, driven by Playwright.

`settled` is when Streamlit has run the page's script to its end and no placeholder is left;
`charted` is when a chart has marks drawn in it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from analytics.contracts.errors import MissingPart

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
LIMIT_MS: Final = 60_000
_SETTLED: Final = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  return !!app && app.getAttribute('data-test-script-state') === 'notRunning'
    && !document.querySelector('[data-testid="stSkeleton"]')
    && !!document.querySelector('[data-testid="stMain"] [data-testid]');
}"""
_CHARTED: Final = """() => [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')].some(
  chart => chart.querySelector('canvas, svg .mark-group path, svg .mark-group rect'))"""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run a headless Chromium; raise `MissingPart` where there is none."""
    named = os.environ.get("MAINSTEM_TEST_CHROMIUM") or next(
        filter(None, map(shutil.which, NAMES)), None
    )
    if named is None:
        raise MissingPart("no Chromium is installed; on Debian run `apt-get install chromium`")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=named, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def settled(page: Page) -> None:
    """Wait until the page's content is there."""
    page.wait_for_function(_SETTLED, timeout=LIMIT_MS)


def charted(page: Page) -> None:
    """Wait until a chart is drawn."""
    page.wait_for_function(_CHARTED, timeout=LIMIT_MS)
