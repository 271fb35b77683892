"""Peers that take their time, hold many connections or say too much before they say who they are.

Each deadline here is short by its setting; no byte that a peer drips moves one.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from gateway import metrics
from tests.integration.gateway.conftest import Running, Start
from tests.support.certificates import self_signed
from tests.support.gateway import until
from tests.support.publisher_memory import MemoryPublisher
from tests.support.slow_peers import LIVE, PEERS, Peer, outlasted

SHORT: Final = {
    "head_seconds_max": 0.3,
    "idle_seconds_max": 0.4,
    "body_seconds_max": 0.3,
    "tls_seconds_max": 0.3,
}
STARTED: Final = {"type": "session.started", "id": "e1", "session_id": "s1", "at_ms": 1}

pytestmark = pytest.mark.requirement("limits-have-names")


def _hits(limit: str) -> float:
    return metrics.LIMITS_HIT.labels(limit)._value.get()  # type: ignore[no-any-return]  # untyped


def _secured(folder: Path) -> dict[str, Path]:
    certificate, key = self_signed(folder, name="127.0.0.1")
    return {"tls_certificate_file": certificate, "tls_key_file": key}


@contextlib.asynccontextmanager
async def _held(running: Running, count: int, *, said: bytes = b"GET /") -> AsyncIterator[None]:
    """Hold connections of peers that began a head and say nothing more."""
    writers = []
    for _ in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(said)
        writers.append(writer)
    yield
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
async def test_a_peer_is_ended_however_it_takes_its_time(
    start: Start, bearer: str, peer: Peer
) -> None:
    async with start(MemoryPublisher(), **SHORT) as running:
        said = await outlasted(peer, running.port, token=bearer)
        await until(lambda: not len(running.server.connections))

    if b"GET /health/live" not in peer.first and peer.drip.strip():
        assert said.startswith((b"HTTP/1.1 408", b"HTTP/1.1 401", b"HTTP/1.1 400"))


async def test_a_head_that_is_late_is_told_so_and_counted(start: Start, bearer: str) -> None:
    before = _hits("head_seconds_max")
    peer = Peer(name="late", first=b"GET /health/live HTTP/1.1\r\nHo", drip=b"s")

    async with start(MemoryPublisher(), **SHORT) as running:
        said = await outlasted(peer, running.port, token=bearer)

    assert said.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in said
    assert _hits("head_seconds_max") == before + 1


@pytest.mark.parametrize(
    "head",
    [
        LIVE[:-2] + b"X-Large: " + b"a" * 5_000 + b"\r\n\r\n",
        LIVE[:-2] + b"X-Endless: " + b"a" * 300_000,
        b"GET /" + b"a" * 300_000,
        LIVE[:-2] + b"X: y\r\n" * 50 + b"\r\n",
    ],
    ids=["a large header", "an endless header", "an endless address", "many headers"],
)
async def test_a_head_that_is_too_large_is_refused(start: Start, head: bytes) -> None:
    peer = Peer(name="large", first=head)

    async with start(MemoryPublisher(), head_bytes_max=4_096, headers_max=20) as running:
        said = await outlasted(peer, running.port, token="")
        await until(lambda: not len(running.server.connections))

    assert said == b"" or said.startswith(b"HTTP/1.1 431")


async def test_silent_peers_of_an_address_keep_nobody_of_it_out(start: Start, bearer: str) -> None:
    async with (
        start(MemoryPublisher(), unauthenticated_by_address_max=8) as running,
        _held(running, 40),
        httpx.AsyncClient(base_url=running.url, timeout=5) as http,
    ):
        http.headers["Authorization"] = f"Bearer {bearer}"
        answers = [await http.post("/v1/events", json=STARTED) for _ in range(3)]
        waiting = running.server.connections.unauthenticated

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert waiting <= 8


async def test_who_has_shown_a_token_is_not_dropped_for_those_who_have_not(
    start: Start, bearer: str
) -> None:
    async with (
        start(MemoryPublisher(), unauthenticated_by_address_max=2) as running,
        httpx.AsyncClient(base_url=running.url, timeout=5) as http,
    ):
        http.headers["Authorization"] = f"Bearer {bearer}"
        await http.post("/v1/events", json=STARTED)
        opened = len(running.server.connections)
        async with _held(running, 10):
            await until(lambda: running.server.connections.unauthenticated == 2)
            left = len(running.server.connections)

    assert (opened, left) == (1, 3)


async def test_an_address_holds_no_more_connections_than_it_may(start: Start) -> None:
    async with (
        start(MemoryPublisher(), connections_by_address_max=3) as running,
        _held(running, 3),
    ):
        await until(lambda: len(running.server.connections) == 3)
        said = await outlasted(Peer(name="fourth", first=LIVE), running.port, token="")

    assert said.startswith(b"HTTP/1.1 429")
    assert b"retry-after" in said.lower()


async def test_clients_of_a_trusted_proxy_count_under_their_own_addresses(start: Start) -> None:
    def client(number: int) -> bytes:
        return (
            b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"X-Forwarded-For: 198.51.100.%d\r\n\r\n" % number
        )

    chosen = {"connections_by_address_max": 2, "proxies": ("127.0.0.0/8",)}
    async with (
        start(MemoryPublisher(), **chosen) as running,
        _held(running, 2, said=client(1)),
        _held(running, 2, said=client(2)),
    ):
        await until(lambda: running.sessions_open == 4)
        said = await outlasted(Peer(name="third", first=client(1)), running.port, token="")

    assert said.startswith(b"HTTP/1.1 429")


@pytest.mark.parametrize(
    "first", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["no byte", "a few bytes"]
)
async def test_a_handshake_of_tls_that_is_not_done_in_time_is_ended_and_counted(
    start: Start, tmp_path: Path, first: bytes
) -> None:
    before = _hits("tls_seconds_max")
    peer = Peer(name="half", first=first)

    async with start(MemoryPublisher(), **_secured(tmp_path), **SHORT) as running:
        await outlasted(peer, running.port, token="")
        await until(lambda: not len(running.server.connections))

    assert _hits("tls_seconds_max") == before + 1


async def test_peers_in_the_midst_of_a_handshake_count_under_their_address(
    start: Start, tmp_path: Path
) -> None:
    secured = _secured(tmp_path)
    chosen = {**secured, "unauthenticated_by_address_max": 4}
    trusting = ssl.create_default_context(cafile=str(secured["tls_certificate_file"]))

    async with (
        start(MemoryPublisher(), **chosen) as running,
        _held(running, 20, said=b"\x16"),
        httpx.AsyncClient(verify=trusting, timeout=5) as http,
    ):
        answer = await http.get(f"https://127.0.0.1:{running.port}/health/live")
        waiting = running.server.connections.unauthenticated

    assert answer.status_code == 200
    assert waiting <= 4


@pytest.mark.parametrize("peer", PEERS[:5], ids=lambda peer: peer.name)
async def test_over_tls_a_head_has_its_deadline_too(
    start: Start, tmp_path: Path, bearer: str, peer: Peer
) -> None:
    secured = _secured(tmp_path)
    trusting = ssl.create_default_context(cafile=str(secured["tls_certificate_file"]))

    async with start(MemoryPublisher(), **secured, **SHORT) as running:
        await outlasted(peer, running.port, token=bearer, tls=trusting)
        await until(lambda: not len(running.server.connections))


async def test_a_peer_that_takes_no_answer_is_cut_off(start: Start, bearer: str) -> None:
    before = _hits("write_seconds_max")
    asks = f"GET /openapi.json HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n"

    async with start(MemoryPublisher(), write_seconds_max=0.2) as running:
        with socket.socket() as taking_little:
            taking_little.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            taking_little.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(taking_little, ("127.0.0.1", running.port))
            await until(lambda: running.server.server_state.connections)
            [served] = running.server.server_state.connections
            served.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096
            )
            await loop.sock_sendall(taking_little, asks.encode() * 60)
            await until(lambda: _hits("write_seconds_max") == before + 1)
            await until(lambda: not len(running.server.connections))
