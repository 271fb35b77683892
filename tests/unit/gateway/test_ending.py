"""Tasks end when they are told to, also where a library swallows the first word."""

import asyncio

import pytest

from gateway.ending import bounded, end


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
