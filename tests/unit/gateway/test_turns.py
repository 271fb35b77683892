"""Long work on the event loop lets short work by, however much of the long there is."""

import asyncio

import pytest

from gateway.http import turns
from gateway.http.shutdown import end
from gateway.http.turns import ROUNDS, Turns


@pytest.mark.parametrize("pieces", [1, 2, 50])
async def test_short_work_waits_for_a_few_stretches_of_however_many_long_pieces(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "STRETCH_S", 0.0)  # every step is a stretch
    here = Turns()
    steps = 0

    async def work_long() -> None:
        nonlocal steps
        turn = here.begin()
        while True:
            steps += 1
            await turn.go_on()

    working = [asyncio.create_task(work_long()) for _ in range(pieces)]
    await asyncio.sleep(0)
    before = steps
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
    during = steps - before
    await end(working)

    assert before == pieces
    assert during <= 2


async def test_work_that_is_not_long_keeps_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "STRETCH_S", 3_600.0)
    turn = Turns().begin()
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)

    for _ in range(1_000):
        await turn.go_on()

    assert others == []
