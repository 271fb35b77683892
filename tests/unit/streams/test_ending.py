"""What does not end when it is told to is asked again, and left behind after a limit."""

import asyncio
import contextlib

import pytest

from streams.consumer import shutdown


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

    left = await shutdown.end({task})

    assert left == set()
    assert task.cancelled()


async def test_a_task_that_never_ends_is_left_behind_after_the_limit() -> None:
    released = asyncio.Event()
    task = asyncio.create_task(_deaf(1_000, released))
    await asyncio.sleep(0)

    left = await shutdown.end({task}, within_s=0.01)

    assert left == {task}
    released.set()
    await task


async def test_a_bounded_work_that_passes_over_its_cancellation_still_times_out() -> None:
    with pytest.raises(TimeoutError, match="not done within"):
        await shutdown.bounded(_deaf(1, asyncio.Event()), within_s=0.01)


async def test_what_a_bounded_work_returns_or_raises_comes_through() -> None:
    async def seven() -> int:
        return 7

    async def bad() -> None:
        raise ValueError("bad")

    assert await shutdown.bounded(seven(), within_s=1) == 7
    with pytest.raises(ValueError, match="bad"):
        await shutdown.bounded(bad(), within_s=1)


async def test_a_bounded_work_ends_with_whoever_waits_for_it() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(shutdown.bounded(work(), within_s=60))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting

    assert ended.is_set()


async def test_a_work_that_ended_is_told_from_those_that_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def failing() -> None:
        raise ZeroDivisionError("a mistake of ours")

    going = asyncio.create_task(_deaf(0, asyncio.Event()))
    failed = asyncio.create_task(failing())
    await asyncio.wait({failed})

    assert not shutdown.ended([going])
    assert shutdown.ended([going, failed])
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "a mistake of ours"
    ]
    await shutdown.end({going})
