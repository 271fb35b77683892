"""From the command to the first live chart, and what the stack then costs when nothing happens.

The data folder is fresh, so the time holds making the database; the browser is open already, and
its own work is not counted. Memory is the sum over all processes of `up`: resident (which counts a
shared page once for each process) and proportional (which counts it once).
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from apps.bench.report import BenchReport, Figure, report
from tests.bench.chromium import browser, charted
from tests.support.stack import ROOT, Stack, started_stack

REQUIREMENTS = ("first-run-seconds", "first-run-memory")
IDLE_SECONDS: Final = 60
SETTLE_SECONDS: Final = 30
GOAL_SECONDS: Final = 20.0
GOAL_CPU_SECONDS: Final = 15.0
GOAL_MEMORY_MB: Final = 1_000.0
GOAL_IDLE_PERCENT: Final = 5.0
GOAL_INSTALL_MB: Final = 600.0
MB: Final = 1e6


def run() -> BenchReport:
    """Measure the first run, the idle stack and the installed size."""
    figures = (*_first_chart(), *_idle(), *_installed())
    return report("first_run", "A fresh data folder to the first live chart.", figures=figures)


def _first_chart() -> Sequence[Figure]:
    with (
        browser() as chromium,
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
    ):
        page = chromium.new_page()
        began = time.perf_counter()
        with started_stack(Path(home), options=("--demo", "--no-open", "--no-import")) as stack:
            up_seconds = time.perf_counter() - began
            page.goto(stack.dashboard_url)
            charted(page)
            chart_seconds = time.perf_counter() - began
            cpu_seconds = _cpu_seconds(stack)
    return (
        Figure(name="command to first chart", value=chart_seconds, unit="s", goal=GOAL_SECONDS),
        Figure(name="of that, until all parts answer", value=up_seconds, unit="s"),
        Figure(
            name="processor time to first chart", value=cpu_seconds, unit="s", goal=GOAL_CPU_SECONDS
        ),
    )


def _idle() -> Sequence[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="mainstem-bench-") as home,
        started_stack(Path(home), options=("--no-open", "--no-import")) as stack,
    ):
        time.sleep(SETTLE_SECONDS)
        before, began = _cpu_seconds(stack), time.perf_counter()
        time.sleep(IDLE_SECONDS)
        percent = 100 * (_cpu_seconds(stack) - before) / (time.perf_counter() - began)
        used = _memory(stack)
    return (
        Figure(
            name="idle, resident memory",
            value=sum(resident for resident, _ in used) / MB,
            unit="MB",
            goal=GOAL_MEMORY_MB,
        ),
        Figure(
            name="idle, proportional memory",
            value=sum(proportional for _, proportional in used) / MB,
            unit="MB",
        ),
        Figure(name="idle, of one core", value=percent, unit="%", goal=GOAL_IDLE_PERCENT),
        Figure(name="processes", value=len(used), unit=""),
    )


def _memory(stack: Stack) -> list[tuple[int, int]]:
    used = []
    for process in stack.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            memory = process.memory_full_info()
            used.append((memory.rss, memory.pss))
    return used


def _cpu_seconds(stack: Stack) -> float:
    total = 0.0
    for process in stack.processes():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    reaped = psutil.Process(stack.process.pid).cpu_times()
    return total + reaped.children_user + reaped.children_system


def _installed() -> Sequence[Figure]:
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as folder:
        scratch = Path(folder)
        _uv("build", "--quiet", "--wheel", "--out-dir", str(scratch / "dist"))
        [wheel] = (scratch / "dist").glob("*.whl")
        _uv("venv", "--quiet", "--python", sys.executable, str(scratch / "venv"))
        began = time.perf_counter()
        _uv(
            "pip",
            "install",
            "--quiet",
            "--python",
            str(scratch / "venv"),
            f"mainstem[all] @ {wheel.as_uri()}",
        )
        seconds = time.perf_counter() - began
        files = [
            path
            for path in (scratch / "venv").rglob("*")
            if path.is_file() and not path.is_symlink()
        ]
        size = sum(path.stat().st_size for path in files) / MB
    return (
        Figure(name="installed size", value=size, unit="MB", goal=GOAL_INSTALL_MB),
        Figure(name="install from the local cache", value=seconds, unit="s"),
        Figure(name="installed files", value=len(files), unit=""),
    )


def _uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments], cwd=ROOT, check=True)
