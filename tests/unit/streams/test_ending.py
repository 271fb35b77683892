"""What does not end when it is told to is asked again, and left behind after a limit."""

import asyncio
import contextlib
import threading

import pytest

from streams import ending


async def _deaf(times: int, released: asyncio.Event) -> None:
    """Pass over so many cancellations."""
    while not released.is_set():
        try:
            await released.wait()
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def test_a_task_that_passes_over_a_cancellation_is_cancelled_again() -> None:
    task = asyncio.create_task(_deaf(1, asyncio.Event()))
    await asyncio.sleep(0)

    left = await ending.end({task})

    assert left == set()
    assert task.cancelled()


async def test_a_task_that_never_ends_is_left_behind_after_the_limit() -> None:
    released = asyncio.Event()
    task = asyncio.create_task(_deaf(1_000, released))
    await asyncio.sleep(0)

    left = await ending.end({task}, within_s=0.01)

    assert left == {task}
    released.set()
    await task


async def test_a_bounded_work_that_passes_over_its_cancellation_still_times_out() -> None:
    with pytest.raises(TimeoutError, match="not done within"):
        await ending.bounded(_deaf(1, asyncio.Event()), within_s=0.01)


async def test_what_a_bounded_work_returns_or_raises_comes_through() -> None:
    async def seven() -> int:
        return 7

    async def bad() -> None:
        raise ValueError("bad")

    assert await ending.bounded(seven(), within_s=1) == 7
    with pytest.raises(ValueError, match="bad"):
        await ending.bounded(bad(), within_s=1)


async def test_a_bounded_work_ends_with_whoever_waits_for_it() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(ending.bounded(work(), within_s=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting

    assert ended.is_set()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limit short."""
    monkeypatch.setattr(ending, "END_WAIT_S", 0.01)


@pytest.mark.usefixtures("brief")
def test_a_thread_that_never_ends_is_left_behind_after_the_limit() -> None:
    released = threading.Event()

    class Stuck:
        def _start_thread(self) -> None:
            released.wait()

    thread = ending.EndingThread(Stuck())
    thread.start()

    thread.stop()

    assert thread.is_alive()
    assert thread.daemon
    released.set()
    thread.join()
