"""How long a coding agent waits for a hook: `POST /hooks/claude` at a fixed rate.

The load is open: each request has its moment, and its time counts from that moment, so a slow
answer does not thin out the ones after it. In the same seconds as many requests go to a bare
uvicorn that answers `{}`: what is left above it is ours.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from apps.bench.report import BenchReport, Figure, percentile, report
from apps.local.ports import LOOPBACK, free_port
from tests.bench.wire import client
from tests.support.stack import ROOT, Stack, answers, started_stack, wait_for

REQUIREMENTS = ("hook-answer-ms",)
RATE: Final = 100
SECONDS: Final = 30
WARM_REQUESTS: Final = 200
GOAL_MS: Final = 20.0
SESSIONS: Final = 20


def run() -> BenchReport:
    """Measure hook answers beside bare answers."""
    with (
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
        started_stack(Path(home), options=("--no-open", "--no-import")) as stack,
        _bare() as bare_url,
    ):
        hooks, bare, failed = asyncio.run(_load(stack, bare_url))
    figures = [
        Figure(
            name=f"hook answer p{round(share * 100)}",
            value=percentile(hooks, share),
            unit="ms",
            goal=GOAL_MS if share == 0.99 else None,
            limit=percentile(bare, share),
        )
        for share in (0.5, 0.95, 0.99, 1.0)
    ]
    figures.append(Figure(name="answers that were no 2xx", value=failed, unit="", goal=0))
    figures.append(Figure(name="answers measured", value=len(hooks), unit=""))
    about = f"Hook answers at {RATE} requests a second for {SECONDS} s, beside a bare uvicorn."
    return report("hooks", about, figures=tuple(figures))


@contextlib.contextmanager
def _bare() -> Iterator[str]:
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "tests.bench.bare:app", "--host", LOOPBACK,
        "--port", str(port), "--log-level", "warning", "--loop", "uvloop", "--http", "httptools",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)
    url = f"http://{LOOPBACK}:{port}/"
    try:
        wait_for(lambda: answers(url), what="a bare uvicorn")
        yield url
    finally:
        process.terminate()
        process.wait()


async def _load(stack: Stack, bare_url: str) -> tuple[list[float], list[float], int]:
    headers = {"authorization": f"Bearer {stack.token}", "content-type": "application/json"}
    ours = client(stack.gateway_url.rstrip("/") + "/hooks/claude", headers)
    other = client(bare_url, headers)
    for number in range(WARM_REQUESTS):
        await ours.post(_hook(-number))
        await other.post(_hook(-number))
    hooks: list[float] = []
    bare: list[float] = []
    refused: list[int] = []

    async def one(number: int, due: float) -> None:
        is_hook = number % 2 == 0
        body = _hook(number)
        await asyncio.sleep(due - time.perf_counter())
        status = await (ours if is_hook else other).post(body)
        (hooks if is_hook else bare).append((time.perf_counter() - due) * 1_000)
        if status not in range(200, 300):
            refused.append(status)

    began = time.perf_counter() + 1.0
    moments = [began + number / (2 * RATE) for number in range(2 * RATE * SECONDS)]
    await asyncio.gather(*(one(number, due) for number, due in enumerate(moments)))
    await ours.close()
    await other.close()
    return hooks, bare, len(refused)


def _hook(number: int) -> bytes:
    is_before = number % 4 == 0
    hook: dict[str, object] = {
        "session_id": f"bench-{number % SESSIONS}",
        "transcript_path": "/tmp/transcript.jsonl",
        "cwd": "/srv/project",
        "permission_mode": "default",
        "hook_event_name": "PreToolUse" if is_before else "PostToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": f"grep -rn needle src | head -{number % 50}"},
        "tool_use_id": f"toolu_bench_{number // 4}",
    }
    if not is_before:
        hook["tool_response"] = {"stdout": "x" * 2_000, "stderr": "", "interrupted": False}
    return json.dumps(hook).encode()
