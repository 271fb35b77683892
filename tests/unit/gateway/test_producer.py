"""Tasks end when they are told to, also where a library swallows the first word."""

import asyncio

from gateway.producer import ended


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

    await ended([task])

    assert task.cancelled()
    assert len(missed) == 2


async def test_tasks_that_have_ended_need_no_word() -> None:
    async def short() -> None:
        return

    task = asyncio.create_task(short())
    await task

    await ended([task])
    await ended([])

    assert not task.cancelled()
