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

import psycopg
from playwright.sync_api import Browser

from apps.bench.report import BenchReport, Figure, report
from apps.local.ports import LOOPBACK, free_port
from tests.bench.chromium import browser, settled
from tests.support.stack import Stack, answers, started_stack, wait_for

REQUIREMENTS = ("page-content-ms",)
ROUNDS: Final = 10
ABOVE_GOAL_MS: Final = 1_500.0
WEIGHT_GOAL_MB: Final = 6.0
OPEN_GOAL_MS: Final = 2_000.0
"""In which a session of `LARGE` events has to open."""
SMALL: Final = 300
LARGE: Final = 100_000
OF_LARGE: Final = "/session of 100,000 events"
BATCH: Final = 1_000
HOUR_MS: Final = 3_600_000
STORED_S: Final = 120.0
ROUND_OF_WORK: Final = ("request.finished", "request.finished", "tool.started", "tool.finished")
KINDS: Final = ("prompt.submitted", *ROUND_OF_WORK * 6)
_STORED: Final = "select count(*) from events where tenant = 'local' and session_id = %s"
_KNOWN: Final = (
    "select sum(greatest(reltuples, 0)) >= %s from pg_class where relname like 'events_2%%'"
)
PAGES: Final = (
    "", "sessions", "session", "system", "alerts", "anomalies", "explore", "forecasts"
)  # fmt: skip
EMPTY: Final = "import streamlit as st\nst.button('A button')\n"
OPTIONS: Final = (
    "--server.headless=true", "--browser.gatherUsageStats=false", f"--server.address={LOOPBACK}",
)  # fmt: skip


def run() -> BenchReport:
    """Open every page and the empty one in turn."""
    with (
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
        started_stack(Path(home), options=("--demo", "--no-open", "--no-import")) as stack,
        _empty(Path(home)) as empty_url,
        browser() as chromium,
    ):
        urls = {"empty": empty_url} | {f"/{page}": _address(stack, page) for page in PAGES}
        large = _session(stack, "bench-large", LARGE)
        urls[OF_LARGE] = f"{stack.dashboard_url.rstrip('/')}/session?session={large}"
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
    opened = Figure(
        name=f"{OF_LARGE}, in all",
        value=statistics.median(times[OF_LARGE]),
        unit="ms",
        goal=OPEN_GOAL_MS,
    )
    figures.append(opened)
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
    return f"{base}/session?session={_session(stack, 'bench-small', SMALL)}"


def _session(stack: Stack, name: str, events: int) -> str:
    """Have a session of so many events in the store: an hour's work of three agents."""
    began_ms = int(time.time() * 1_000) - HOUR_MS
    for first in range(0, events, BATCH):
        numbers = range(first, min(first + BATCH, events))
        verdicts = stack.publish(
            [_event(name, number, began_ms + number * HOUR_MS // events) for number in numbers]
        )
        assert {one["status"] for one in verdicts} == {"accepted"}, json.dumps(verdicts[:3])
    with psycopg.connect(stack.store_url, autocommit=True) as store:
        wait_for(
            lambda: store.execute(_STORED, [name]).fetchone() == (events,),
            what=f"{events} events in the store",
            seconds=STORED_S,
        )
        if events >= LARGE:
            wait_for(
                lambda: store.execute(_KNOWN, [LARGE]).fetchone() == (True,),
                what="the store's own statistics of so many events",
                seconds=STORED_S,
            )
    return name


def _event(session_id: str, number: int, at_ms: int) -> dict[str, object]:
    kind = KINDS[number % len(KINDS)]
    told: dict[str, object] = {
        "id": f"{session_id}-{number}", "tenant": "local", "session_id": session_id,
        "at_ms": at_ms, "agent": "bench", "agent_id": ("", "one", "two")[number // 8 % 3],
    }  # fmt: skip
    if kind == "prompt.submitted":
        return told | {"type": kind, "agent_id": "", "text": f"prompt {number}"}
    if kind == "request.finished":
        tokens = {"input_tokens": 900, "output_tokens": 80, "duration_ms": 700}
        return told | {"type": kind, "model": "claude-sonnet-4-5", **tokens}
    begun = number if kind == "tool.started" else number - 1
    return told | {"type": kind, "tool": "Bash", "tool_use_id": f"use-{begun}"}


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
