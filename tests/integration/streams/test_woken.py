"""The stage looks when it is woken and at each tick, and not over and over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from streams.monitoring.stage import Stage, StageOptions
from tests.support.database import database_url, migrated_template, postgres

__all__ = ["database_url", "migrated_template", "postgres"]

NEVER_S: Final = 3_600.0
WAIT_S: Final = 10.0


@contextmanager
def _running(run: Callable[[threading.Event], None], woken: threading.Event) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        woken.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.mark.embedded
def test_a_stage_looks_how_far_event_time_is_when_windows_were_closed(database_url: str) -> None:
    woken, looks = threading.Event(), threading.Semaphore(0)

    def now_ms() -> int:
        looks.release()
        return time.time_ns() // 1_000_000

    stage = Stage(database_url, StageOptions(tick_s=NEVER_S), now_ms=now_ms, woken=woken)
    with _running(stage.run, woken):
        first = looks.acquire(timeout=WAIT_S)
        woken.set()
        second = looks.acquire(timeout=WAIT_S)

    assert (first, second) == (True, True)
    assert not looks.acquire(blocking=False)


@pytest.mark.embedded
def test_a_stage_that_nobody_wakes_looks_at_every_tick(database_url: str) -> None:
    woken, looks = threading.Event(), threading.Semaphore(0)

    def now_ms() -> int:
        looks.release()
        return time.time_ns() // 1_000_000

    stage = Stage(database_url, StageOptions(tick_s=0.01), now_ms=now_ms, woken=woken)
    with _running(stage.run, woken):
        looked = [looks.acquire(timeout=WAIT_S) for _ in range(3)]

    assert looked == [True] * 3
