"""How long each page of the dashboard takes to show its content, beside an empty Streamlit page.

Ours and the empty page are opened in turn, each time in a fresh browser context with an empty
cache, while the demo fleet streams in. What counts is the median and what it is above the empty
page's.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from apps.bench.report import Figure, Report, report
from apps.local.ports import LOOPBACK, free_port
from tests.bench.chromium import browser, settled
from tests.support.stack import Stack, answers, started_stack, wait_for

REQUIREMENTS = ("page-content-ms",)
ROUNDS: Final = 10
ABOVE_GOAL_MS: Final = 1_500.0
WEIGHT_GOAL_MB: Final = 6.0
PAGES: Final = ("", "sessions", "session", "system")
EMPTY: Final = "import streamlit as st\nst.button('A button')\n"
OPTIONS: Final = (
    "--server.headless=true", "--browser.gatherUsageStats=false", f"--server.address={LOOPBACK}",
)  # fmt: skip


def run() -> Report:
    """Open every page and the empty one in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
        started_stack(Path(home), options=("--demo", "--no-open", "--no-import")) as stack,
        _empty(Path(home)) as empty_url,
        browser() as chromium,
    ):
        urls = {"empty": empty_url} | {f"/{page}": _address(stack, page) for page in PAGES}
        for url in urls.values():
            _open(chromium, url)
        times: dict[str, list[float]] = {name: [] for name in urls}
        weights: dict[str, float] = {}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                taken_ms, weights[name] = _open(chromium, url)
                times[name].append(taken_ms)
    empty_ms = statistics.median(times.pop("empty"))
    figures = [
        Figure(
            name=f"{name} above an empty page",
            value=statistics.median(taken) - empty_ms,
            unit="ms",
            goal=ABOVE_GOAL_MS,
            note=f"{statistics.median(taken):,.0f} ms in all, {weights[name]:.1f} MB",
        )
        for name, taken in times.items()
    ]
    figures.append(Figure(name="empty page", value=empty_ms, unit="ms"))
    figures.append(
        Figure(name="heaviest page", value=max(weights.values()), unit="MB", goal=WEIGHT_GOAL_MB)
    )
    about = f"Content of each page, median of {ROUNDS}, in turn with an empty Streamlit page."
    return report("page", about, figures=tuple(figures))


def _open(chromium: Browser, url: str) -> tuple[float, float]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        received: list[float] = []
        session.on(
            "Network.loadingFinished", lambda event: received.append(event["encodedDataLength"])
        )
        began = time.perf_counter()
        page.goto(url, wait_until="commit")
        settled(page)
        return (time.perf_counter() - began) * 1_000, sum(received) / 1e6
    finally:
        context.close()


def _address(stack: Stack, page: str) -> str:
    base = stack.dashboard_url.rstrip("/")
    if page != "session":
        return f"{base}/{page}"
    return f"{base}/session?session={_some_session(stack)}"


def _some_session(stack: Stack) -> str:
    event = {
        "type": "session.started", "id": "bench-page", "tenant": "local",
        "session_id": "bench-page",
        "at_ms": int(time.time() * 1_000), "agent": "bench",
    }  # fmt: skip
    [verdict] = stack.publish([event])
    assert verdict["status"] == "accepted", json.dumps(verdict)
    return "bench-page"


@contextlib.contextmanager
def _empty(folder: Path) -> Iterator[str]:
    script = folder / "empty.py"
    script.write_text(EMPTY)
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    process = subprocess.Popen(
        [*command, *OPTIONS], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    url = f"http://{LOOPBACK}:{port}/"
    try:
        wait_for(lambda: answers(url + "_stcore/health"), what="an empty Streamlit page")
        yield url
    finally:
        process.terminate()
        process.wait()
