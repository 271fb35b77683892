"""The server itself: what reaches it that is no message of ours, and how it stops."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE

import httpx
import pytest
import websockets
from websockets.frames import Frame, Opcode

from analytics.contracts import topics
from tests.integration.gateway.conftest import Running, Start
from tests.support.broker import RunningBroker
from tests.support.gateway import KEY, until
from tests.support.publisher_kafka import landed
from tests.support.publisher_memory import MemoryPublisher

EVENT = {"type": "session.started", "id": "e1", "session_id": "srv-1", "at_ms": 1}


async def test_text_that_is_not_utf8_is_closed_with_its_code_and_no_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        start(MemoryPublisher()) as running,
        websockets.connect(running.websocket_url, proxy=None) as socket,
    ):
        socket.protocol.writes.append(
            Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True, extensions=[])
        )
        socket.send_data()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1007
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_frame_over_the_limit_is_closed_with_its_code(start: Start) -> None:
    async with (
        start(MemoryPublisher(), frame_bytes_max=1_024) as running,
        websockets.connect(running.websocket_url, proxy=None) as socket,
    ):
        await socket.send("x" * 2_000)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_deflate_is_not_negotiated(start: Start) -> None:
    async with (
        start(MemoryPublisher()) as running,
        websockets.connect(running.websocket_url, proxy=None) as socket,
    ):
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers


async def test_a_socket_that_shows_no_token_is_closed_as_stale(start: Start) -> None:
    async with (
        start(MemoryPublisher(), stale_seconds=0.3) as running,
        websockets.connect(running.websocket_url, proxy=None) as socket,
    ):
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with asyncio.timeout(5):
                await socket.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (3502, "stale")


@pytest.mark.requirement("limits-have-names")
async def test_a_socket_too_many_gets_a_problem_instead(start: Start) -> None:
    async with (
        start(MemoryPublisher(), connections_max=1) as running,
        websockets.connect(running.websocket_url, proxy=None),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(running.websocket_url, proxy=None)

    response = refused.value.response
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert json.loads(response.body)["type"] == "urn:mainstem:problem:unavailable"


@pytest.mark.requirement("limits-have-names")
async def test_a_peer_that_stops_reading_is_cut_off_and_others_go_on(
    start: Start, bearer: str
) -> None:
    hello = json.dumps({"id": 1, "connect": {"token": bearer}})
    asks = "\n".join(
        json.dumps({"id": number, "unsubscribe": {"channel": "x"}}) for number in range(2, 1_002)
    )
    async with (
        start(MemoryPublisher(), write_seconds_max=0.3) as running,
        websockets.connect(running.websocket_url, proxy=None) as other,
        websockets.connect(running.websocket_url, proxy=None, close_timeout=0.1) as stuck,
    ):
        for socket in (other, stuck):
            await socket.send(hello)
            await socket.recv()
        stuck.transport.pause_reading()
        with contextlib.suppress(websockets.ConnectionClosed):
            async with asyncio.timeout(60):
                while running.sessions_open == 2:
                    await stuck.send(asks)
        await until(lambda: running.sessions_open == 1)
        await other.send(json.dumps({"id": 2, "unsubscribe": {"channel": "x"}}))
        answer: dict[str, object] = {}
        while not answer:  # pings come between, on a machine that is slow to fill the buffers
            answer = json.loads(await other.recv())

    assert answer == {"id": 2, "unsubscribe": {}}


async def test_a_body_that_never_ends_is_given_up(start: Start, bearer: str) -> None:
    async with start(MemoryPublisher(), body_seconds_max=0.2) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + bearer.encode() + b"\r\nContent-Length: 10\r\n\r\n["
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()

    assert head.startswith(b"HTTP/1.1 408")


@pytest.mark.requirement("secrets-private")
async def test_a_token_in_an_address_reaches_no_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async with start(MemoryPublisher()) as running:
        async with websockets.connect(running.websocket_url + "?token=hush", proxy=None):
            pass
        async with httpx.AsyncClient() as http:
            await http.get(running.url + "/v1/events?token=hush")

    ours = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert not any("hush" in record.getMessage() for record in ours)


@pytest.mark.embedded
@pytest.mark.requirement("unreadable-dead-letter")
async def test_what_cannot_be_read_reaches_the_dead_letters(
    running: Running, tansu: RunningBroker, bearer: str
) -> None:
    body = b'[{"type":"nonsense","mark":"letter-1"}]'
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}

    async with httpx.AsyncClient() as http:
        answer = await http.post(running.url + "/v1/events", content=body, headers=headers)

    assert answer.json()["results"][0]["status"] == "refused"
    [letter] = [
        one
        for one in await landed(tansu.address)
        if one.topic == topics.DEAD_LETTERS.address and b"letter-1" in one.value
    ]
    assert letter.value == body[1:-1]
    assert dict(letter.headers)["reason"] == b"type 'nonsense' is not known"
    assert dict(letter.headers)["tenant"] == b"acme"


@pytest.mark.embedded
@pytest.mark.requirement("acknowledged-kept")
async def test_the_command_serves_drains_on_a_signal_and_leaves_with_zero(
    tansu: RunningBroker, bearer: str
) -> None:
    environment = {
        **os.environ,
        "MAINSTEM_GATEWAY_TOKEN_KEY": KEY.decode(),
        "MAINSTEM_GATEWAY_BROKER": tansu.address,
        "MAINSTEM_GATEWAY_PARTITIONS": "4",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "apps.cli.main", "gateway", "--port", "0", "--json",
        env=environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        url = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["url"]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as http:
            async with asyncio.timeout(20):
                while (await http.get(url + "/health/ready")).status_code != 200:
                    pass
            hook = {"hook_event_name": "Stop", "session_id": "srv-drained"}
            await http.post(url + "/hooks/claude", json=hook)
            address = url.replace("http", "ws") + "/connection/websocket"
            async with websockets.connect(address, proxy=None) as socket:
                await socket.send(json.dumps({"id": 1, "connect": {"token": bearer}}))
                await socket.recv()
                process.send_signal(signal.SIGTERM)
                notice = json.loads(await socket.recv())["push"]["message"]["data"]
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await socket.recv()
        code = await asyncio.wait_for(process.wait(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert notice["type"] == "draining"
    assert notice["retry_after_ms"] > 0
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3001
    assert code == 0
    assert any(one.key == b"srv-drained" for one in await landed(tansu.address))


@pytest.mark.embedded
async def test_the_command_says_in_one_sentence_that_its_port_is_taken(
    running: Running, tansu: RunningBroker
) -> None:
    environment = {
        **os.environ,
        "MAINSTEM_GATEWAY_TOKEN_KEY": KEY.decode(),
        "MAINSTEM_GATEWAY_BROKER": tansu.address,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "apps.cli.main", "gateway", "--port", str(running.port),
        env=environment, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    _, said = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 1
    assert b"Traceback" not in said
    assert str(running.port).encode() in said.splitlines()[-1]
