"""What the crash tests rest on: a proxy that does what it says, a schedule to be replayed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from apps.local.ports import LOOPBACK
from tests.support.faults_proxy import Proxy, proxied
from tests.support.faults_schedule import KILLS, Kind, schedule

WAIT_S: Final = 5

Ends = tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def _through() -> AsyncIterator[Ends]:
    """Give a connection through a proxy to a server that answers with what it is told."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while said := await reader.read(100):
                writer.write(said)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    async with server, proxied(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        yield proxy, reader, writer
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WAIT_S):
        return await reader.read(100)


@pytest.mark.embedded
async def test_the_proxy_carries_what_is_said_both_ways() -> None:
    async with _through() as (proxy, reader, writer):
        writer.write(b"hello")

        assert await _answer(reader) == b"hello"
        assert proxy.connections == 1


@pytest.mark.embedded
async def test_a_stalled_proxy_carries_nothing_until_it_flows() -> None:
    async with _through() as (proxy, reader, writer):
        proxy.stall()
        writer.write(b"hello")
        answer = asyncio.create_task(_answer(reader))
        done, _ = await asyncio.wait({answer}, timeout=0.1)

        proxy.flow()

        assert not done
        assert await answer == b"hello"


@pytest.mark.embedded
async def test_a_muted_proxy_carries_the_question_and_no_answer() -> None:
    async with _through() as (proxy, reader, writer):
        muted = asyncio.create_task(proxy.mute(b"copy"))
        await asyncio.sleep(0)
        writer.write(b"begin")
        assert await _answer(reader) == b"begin"
        writer.write(b"copy")
        await muted
        answer = asyncio.create_task(_answer(reader))
        done, _ = await asyncio.wait({answer}, timeout=0.1)

        proxy.flow()

        assert not done
        assert await answer == b"copy"


@pytest.mark.embedded
async def test_a_reset_breaks_the_connection_of_the_client() -> None:
    async with _through() as (proxy, reader, writer):
        writer.write(b"hello")
        await _answer(reader)

        broken = proxy.reset()

        assert broken == 1
        with pytest.raises(ConnectionResetError):
            await _answer(reader)


@pytest.mark.embedded
def test_the_same_seed_gives_the_same_schedule_and_another_seed_another() -> None:
    assert schedule(7, KILLS, faults=20) == schedule(7, KILLS, faults=20)
    assert schedule(7, KILLS, faults=20) != schedule(8, KILLS, faults=20)


@pytest.mark.embedded
def test_a_schedule_has_each_kind_as_often_and_takes_no_worker_away_that_nobody_follows() -> None:
    drawn = schedule(3, [Kind.ADD_WORKER, Kind.REMOVE_WORKER], faults=20, workers=3)
    there = 3

    for fault in drawn:
        there += 1 if fault.kind is Kind.ADD_WORKER else -1
        assert 2 <= there <= 4
