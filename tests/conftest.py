"""A test that hangs ends the run; the last lines printed say which, and what it waits for."""

import asyncio
import gc
import os
import sys
import threading
import traceback
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Final

import pytest

HANG_S: Final = float(os.environ.get("MAINSTEM_TESTS_HANG_S", "300"))
ROOT: Final = Path(__file__).parents[1]
SHOWN: Final = 40
"""Lines at the end: what is waited for, so that the tail of a log is enough."""

_stderr = pytest.StashKey[int]()


LANES: Final = frozenset({"embedded", "kafka", "timescaledb", "browser", "wheel"})
WITH_PARTS: Final = (ROOT / "tests/integration", ROOT / "tests/faults", ROOT / "tests/e2e")
"""Where every test runs in a lane: in that of embedded parts if it names none."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test a lane, so that none is left out of all of them."""
    for item in items:
        if LANES.isdisjoint(mark.name for mark in item.iter_markers()) and any(
            item.path.is_relative_to(folder) for folder in WITH_PARTS
        ):
            item.add_marker("embedded")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_stderr] = os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Set a timer on the test, its fixtures included."""
    timer = threading.Timer(HANG_S, _end, [item.nodeid, item.config.stash[_stderr]])
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()


def _end(test: str, stderr: int) -> None:
    lines = [f"{test} hung for {HANG_S:.0f} s; what waits, innermost last:", *_threads(), *_tasks()]
    os.write(stderr, "\n".join(("", *lines[:1], *lines[1:][-SHOWN:], lines[0], "")).encode())
    os._exit(1)


def _threads() -> Iterable[str]:
    for number, frame in sys._current_frames().items():
        if number != threading.get_ident():
            yield f"thread {number}: {_ours(traceback.extract_stack(frame))}"


def _tasks() -> Iterable[str]:
    for task in [thing for thing in gc.get_objects() if isinstance(thing, asyncio.Task)]:
        if not task.done():
            yield f"task {task.get_name()}: {_awaits(task)}"


def _awaits(task: "asyncio.Task[object]") -> str:
    """Return the coroutines from the task to what it waits for; `get_stack` shows the first."""
    steps: list[str] = []
    waits: object = task.get_coro()
    while waits is not None and len(steps) < SHOWN:
        frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
        if frame is not None:
            path = Path(frame.f_code.co_filename)
            steps.append(f"{path.parent.name}/{path.name}:{frame.f_lineno} {frame.f_code.co_name}")
        waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)
    return " > ".join(steps)


def _ours(stack: traceback.StackSummary) -> str:
    ours = [step for step in stack if Path(step.filename).is_relative_to(ROOT)]
    here = [step for step in ours if ".venv" not in step.filename]
    last = [*here[-4:], *stack[-2:]]
    return " > ".join(f"{Path(step.filename).name}:{step.lineno} {step.name}" for step in last)
