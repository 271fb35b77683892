"""From a publish's acknowledgement to its row in the store, and on to the screen.

Each event is the first prompt of a session, with a word of its own. A connection to the store asks
for the words every few milliseconds; on the page of sessions, newest first, an observer notes when
each word is first in the document. All times are of this machine's one clock; the page refreshes at
its default pace.
"""

import contextlib
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PageTimeout

from apps.bench.report import BenchReport, Figure, percentile, report
from tests.bench.chromium import browser, settled
from tests.support.stack import Stack, started_stack, wait_for

REQUIREMENTS = ("event-to-row-ms", "event-to-screen-ms")
EVENTS: Final = 300
WARM_EVENTS: Final = 20
PAUSE_S: Final = 0.15
ASK_S: Final = 0.005
SEEN_LIMIT_S: Final = 60.0
ROW_GOAL_MS: Final = 1_000.0
SCREEN_GOAL_MS: Final = 2_000.0
SHARES: Final = (0.5, 0.95, 0.99, 1.0)
_ROWS: Final = "select id from events where tenant = 'local' and session_id = any(%s)"
_OBSERVE: Final = """prefix => {
  window.seen = {};
  const pattern = new RegExp(prefix + '\\\\d{7}', 'g');
  const look = () => {
    for (const word of document.body.textContent.match(pattern) || [])
      window.seen[word] ??= Date.now();
  };
  new MutationObserver(look).observe(document.body,
    {subtree: true, childList: true, characterData: true});
  look();
}"""


def run() -> BenchReport:
    """Publish one event after another; see when each is stored and shown."""
    run_id = f"bench-{uuid.uuid4().hex[:12]}"
    with (
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
        started_stack(Path(home), options=("--no-open", "--no-import")) as stack,
        browser() as chromium,
    ):
        _publish(stack, run_id, numbers=range(-WARM_EVENTS, 0))
        page = _open(stack, chromium.new_page(), run_id)
        stored: dict[str, float] = {}
        watching = threading.Event()
        watcher = threading.Thread(target=_watch, args=(stack, run_id, stored, watching))
        watcher.start()
        acknowledged = _publish(stack, run_id, numbers=range(EVENTS))
        wait_for(
            lambda: len(acknowledged.keys() & stored.keys()) == EVENTS,
            what="every event in the store",
            seconds=SEEN_LIMIT_S,
        )
        watching.set()
        watcher.join()
        shown = _shown(page, wanted=set(acknowledged))
    rows = [max(0.0, stored[word] - at) * 1_000 for word, at in acknowledged.items()]
    screens = [shown[word] - at * 1_000 for word, at in acknowledged.items() if word in shown]
    figures = (
        *_figures("to the row", rows, ROW_GOAL_MS),
        *_figures("to the screen", screens, SCREEN_GOAL_MS),
        Figure(
            name="events seen on the screen",
            value=len(screens),
            unit="",
            goal=EVENTS,
            at_least=True,
        ),
    )
    return report("latency", f"From acknowledged, over {EVENTS} events.", figures=figures)


def _figures(name: str, times_ms: list[float], goal_ms: float) -> Sequence[Figure]:
    return [
        Figure(
            name=f"{name} p{round(share * 100)}",
            value=percentile(times_ms, share),
            unit="ms",
            goal=goal_ms if share == 0.99 else None,
        )
        for share in SHARES
    ]


def _publish(stack: Stack, run_id: str, *, numbers: range) -> dict[str, float]:
    acknowledged = {}
    for number in numbers:
        word = _word(run_id, number)
        prompt = {
            "type": "prompt.submitted", "id": word, "tenant": "local", "session_id": word,
            "at_ms": int(time.time() * 1_000), "agent": "bench", "project": "bench",
            "text": word, "length": len(word),
        }  # fmt: skip
        [verdict] = stack.publish([prompt])
        acknowledged[word] = time.time()
        assert verdict["status"] == "accepted", verdict
        time.sleep(PAUSE_S)
    return acknowledged


def _watch(stack: Stack, run_id: str, stored: dict[str, float], stop: threading.Event) -> None:
    words = {_word(run_id, number) for number in range(EVENTS)}
    with psycopg.connect(stack.store_url, autocommit=True) as connection:
        while not stop.wait(ASK_S):
            rows = connection.execute(_ROWS, (list(words - stored.keys()),)).fetchall()
            now = time.time()
            for (word,) in rows:
                stored.setdefault(word, now)


def _open(stack: Stack, page: Page, run_id: str) -> Page:
    page.goto(f"{stack.dashboard_url.rstrip('/')}/sessions?range=15m")
    settled(page)
    page.evaluate(_OBSERVE, f"{run_id}-")
    return page


def _shown(page: Page, *, wanted: set[str]) -> dict[str, float]:
    with contextlib.suppress(PageTimeout):
        page.wait_for_function(
            "wanted => wanted.every(word => word in window.seen)",
            arg=sorted(wanted),
            timeout=SEEN_LIMIT_S * 1_000,
        )
    seen: dict[str, float] = page.evaluate("() => window.seen")
    return seen


def _word(run_id: str, number: int) -> str:
    return f"{run_id}-{number + 1_000_000}"
