"""Limits on a real socket: too many commands are answered, and whoever goes on is closed."""

import json
from typing import Any

import pytest
import websockets

from tests.integration.gateway.conftest import Start
from tests.support.publisher_memory import MemoryPublisher


async def _hear(socket: websockets.ClientConnection, heard: list[Any]) -> None:
    async for frame in socket:
        heard += [json.loads(line) for line in str(frame).split("\n")]


@pytest.mark.parametrize("apart", [False, True], ids=["in one frame", "frame by frame"])
@pytest.mark.requirement("rates-held")
async def test_commands_past_the_limit_get_111_and_then_3013(
    start: Start, bearer: str, apart: bool
) -> None:
    asks = [json.dumps({"id": n, "unsubscribe": {"channel": "x"}}) for n in range(2, 14)]
    async with (
        start(MemoryPublisher(), rate_commands_by_token="4/3600s", rate_strikes_max=5) as running,
        websockets.connect(running.websocket_url, proxy=None) as socket,
    ):
        await socket.send(json.dumps({"id": 1, "connect": {"token": bearer}}))
        await socket.recv()
        for frame in asks if apart else ["\n".join(asks)]:
            await socket.send(frame)
        heard: list[Any] = []
        with pytest.raises(websockets.ConnectionClosed):
            await _hear(socket, heard)

    passed = [one["id"] for one in heard if "unsubscribe" in one]
    refused = [one["id"] for one in heard if one.get("error", {}).get("code") == 111]
    assert passed == [2, 3, 4, 5]
    assert refused == [6, 7, 8, 9, 10]
    assert socket.close_code == 3013


@pytest.mark.requirement("rates-held")
async def test_a_socket_within_its_limits_never_hears_of_them(start: Start, bearer: str) -> None:
    async with (
        start(MemoryPublisher(), rate_frames_by_token="100/1s") as running,
        websockets.connect(running.websocket_url, proxy=None) as socket,
    ):
        await socket.send(json.dumps({"id": 1, "connect": {"token": bearer}}))
        await socket.recv()
        for number in range(2, 50):
            await socket.send(json.dumps({"id": number, "unsubscribe": {"channel": "x"}}))
        heard = [json.loads(await socket.recv()) for _ in range(2, 50)]

    assert all("unsubscribe" in one for one in heard)
