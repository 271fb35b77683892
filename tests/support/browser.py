"""A dashboard process and a Chromium to look at it: for tests of what people see.

Chromium is Debian's (or MAINSTEM_TEST_CHROMIUM), axe-core comes from npm: its file is named by
MAINSTEM_TEST_AXE, or it is installed beside `tests/e2e/browser/package.json`. Where a part is
missing the tests fail in CI and are skipped elsewhere, saying what to install.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from apps.local import parent_guard

LANE: Final = Path(__file__).parents[1] / "e2e" / "browser"
WAIT_MS: Final = 30_000
READY: Final = """() => {
  const app = document.querySelector('[data-testid="stApp"]');
  return app && app.getAttribute('data-test-script-state') === 'notRunning'
    && document.querySelector('h1')
    && !document.querySelector('[data-testid="stSkeleton"]')
    && !document.querySelector('[data-stale="true"]');
}"""
PROBED: Final = re.compile(r"/_stcore/(health|host-config)$")
"""Streamlit looks for its server under the page's own path first, and takes 404 for no."""


def missing(what: str, install: str) -> None:
    """Fail in CI and skip elsewhere, saying what to install."""
    said = f"{what} is missing: {install}"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)


def chromium_path() -> str:
    """Return where Chromium is."""
    found = os.environ.get("MAINSTEM_TEST_CHROMIUM") or shutil.which("chromium")
    if not found:
        missing("Chromium", "on Debian, `apt-get install chromium`")
    return str(found)


def axe_source() -> str:
    """Return axe-core's script."""
    default = LANE / "node_modules" / "axe-core" / "axe.min.js"
    path = Path(os.environ.get("MAINSTEM_TEST_AXE", default))
    if not path.is_file():
        missing("axe-core", f"`npm ci --prefix {LANE.relative_to(LANE.parents[2])}`")
    return path.read_text("utf-8")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium without a window."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def dashboard(store_url: str, *, home: Path, **settings: str) -> Iterator[str]:
    """Run `mainstem dashboard` over a store and give its address; it must end with code 0."""
    environment = {
        **os.environ, "MAINSTEM_DASHBOARD_STORE_URL": store_url, "MAINSTEM_HOME": str(home),
        "MAINSTEM_DASHBOARD_GATEWAY_URL": "", "MAINSTEM_DASHBOARD_WORKER_METRICS_URL": "",
        "PYTHONUNBUFFERED": "1", parent_guard.PARENT: str(os.getpid()),
        **{f"MAINSTEM_DASHBOARD_{k}": v for k, v in settings.items()},
    }  # fmt: skip
    command = parent_guard.command(
        [sys.executable, "-m", "apps.cli.main", "dashboard", "--port", "0"]
    )
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _address(process)
        finally:
            process.terminate()
            code = process.wait(timeout=20)
    assert code == 0


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://\S+", line)
        if found:
            return found.group().rstrip("/")
    raise AssertionError(f"the dashboard ended with code {process.wait()} and said no address")


class Viewer:
    """One page in one window, with what went wrong on it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.errors: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)

    def open(self, path: str) -> "Viewer":
        """Open a page of the dashboard and wait until it stands."""
        self.page.goto(f"{self.base}/{path}")
        return self.settle()

    def settle(self) -> "Viewer":
        """Wait until the page stands."""
        self.page.wait_for_function(READY)
        charts = self.page.locator('[data-testid="stVegaLiteChart"]')
        for number in range(charts.count()):
            charts.nth(number).locator("svg.marks").wait_for()
        return self

    def words(self) -> str:
        """Return the text of the page."""
        return self.page.locator('[data-testid="stMain"]').inner_text()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not PROBED.search(str(message.location.get("url", ""))):
            self.errors.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(
            (self.base, "data:", "blob:", self.base.replace("http", "ws"))
        ):
            self.errors.append(f"asked a foreign address: {request.url}")


@contextmanager
def viewer(
    browser: Browser, base: str, *, theme: str = "light", width: int = 1280
) -> Iterator[Viewer]:
    """Open a window."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",
    )
    yield Viewer(context.new_page(), base)
    context.close()
