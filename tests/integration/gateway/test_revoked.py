"""A token that is taken back while its socket is open: the socket is closed, and stays away."""

import asyncio
import json
import time
from pathlib import Path
from uuid import uuid4

import pytest
import websockets
from pydantic import SecretStr

from gateway.app import GatewayParts, build
from gateway.http.auth_refresh import verifier_of
from gateway.http.clocks import Clocks
from gateway.http.server import server, serving
from gateway.websocket.endpoint import PATH
from tests.support.gateway import KEY, settings, token
from tests.support.publisher_memory import MemoryPublisher

CLOCKS = Clocks(
    now_ms=lambda: time.monotonic_ns() // 1_000_000,
    wall_ms=lambda: time.time_ns() // 1_000_000,
    jitter=lambda: 0.5,
    new_id=lambda: uuid4().hex,
)


def _hello(user: str) -> str:
    shown = token(user=user, now_ms=CLOCKS.wall_ms() - 5_000)
    return json.dumps({"id": 1, "connect": {"token": shown}})


@pytest.mark.requirement("tokens-taken-back")
async def test_a_token_that_is_taken_back_closes_its_socket_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "revoked.json"
    file.write_text("{}")
    chosen = settings(
        port=0, token_key=SecretStr(KEY.decode()), revoked_file=file, revoked_seconds=0.01
    )
    kept = verifier_of(chosen)
    under_test = build(
        chosen,
        verifier=kept.verifier,
        publisher=MemoryPublisher(),
        clocks=CLOCKS,
        node="node-1",
        version="0",
        around=GatewayParts(tasks=tuple(kept.tasks)),
    )
    async with serving(server(under_test.asgi, chosen, drain=under_test.drain)) as running:
        url = f"ws://127.0.0.1:{running.port}{PATH}"
        async with (
            websockets.connect(url, proxy=None) as ada,
            websockets.connect(url, proxy=None) as bo,
            websockets.connect(url, proxy=None) as late,
        ):
            for socket, user in ((ada, "ada"), (bo, "bo")):
                await socket.send(_hello(user))
                await socket.recv()
            listed = {"tenant": "acme", "user": "ada", "before_ms": CLOCKS.wall_ms()}
            file.write_text(json.dumps({"users": [listed]}))
            async with asyncio.timeout(5):
                await ada.wait_closed()
            await late.send(_hello("ada"))
            async with asyncio.timeout(5):
                await late.wait_closed()
            await bo.send(json.dumps({"id": 2, "unsubscribe": {"channel": "x"}}))
            answer = json.loads(await bo.recv())

    assert (ada.close_code, ada.close_reason) == (3503, "force disconnect")
    assert late.close_code == 3500
    assert answer == {"id": 2, "unsubscribe": {}}
