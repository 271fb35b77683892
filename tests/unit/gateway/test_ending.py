"""Tasks end when they are told to, also where a library swallows the first word."""

import asyncio

import pytest

from gateway.http.shutdown import bounded, end, kept_going


async def test_a_task_that_misses_its_cancellation_is_told_again() -> None:
    missed: list[str] = []

    async def deaf() -> None:
        while len(missed) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                missed.append("taken for a time-out")
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)

    assert await end([task])

    assert task.cancelled()
    assert len(missed) == 2


async def test_tasks_that_have_ended_need_no_word() -> None:
    async def short() -> None:
        return

    task = asyncio.create_task(short())
    await task

    await end([task])
    await end([])

    assert not task.cancelled()


async def test_a_task_that_never_ends_is_left_behind_after_the_limit() -> None:
    released = asyncio.Event()

    async def deaf() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)

    assert not await end([task], within_s=0.01)

    released.set()
    await task


async def test_a_bounded_work_times_out_also_when_it_misses_its_cancellation() -> None:
    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="not done within"):
        await bounded(deaf(), within_ms=1)


async def test_a_bounded_work_that_is_cancelled_from_within_fails_and_its_caller_goes_on() -> None:
    async def stop() -> None:
        fetch = asyncio.create_task(asyncio.Event().wait())
        fetch.cancel()
        await fetch

    with pytest.raises(ConnectionAbortedError, match="from within"):
        await bounded(stop(), within_ms=60_000)


async def test_a_background_task_starts_again_whatever_ended_it_until_it_is_told_to_end() -> None:
    starts: list[int] = []
    runs_now = asyncio.Event()

    async def fails_twice() -> None:
        starts.append(len(starts))
        if starts[-1] == 0:
            raise ValueError("a fault of ours")
        if starts[-1] == 1:
            lost = asyncio.create_task(asyncio.Event().wait())
            lost.cancel()
            await lost
        runs_now.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kept_going(fails_twice, wait_s=0))
    await runs_now.wait()

    assert not task.done()
    assert await end([task])
    assert task.cancelled()
    assert starts == [0, 1, 2]


async def test_a_background_task_that_has_done_its_work_is_not_started_again() -> None:
    starts: list[int] = []

    async def short() -> None:
        starts.append(1)

    await kept_going(short, wait_s=0)

    assert starts == [1]
