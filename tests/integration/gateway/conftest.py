"""A gateway on a free port over a broker of its own choice."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import random
from uuid import uuid4

import pytest
from msgspec import Struct

from gateway.app import Gateway, build
from gateway.http.auth import TokenScope, Verifier, issue
from gateway.http.clocks import Clocks
from gateway.http.server import Server, server, serving
from gateway.kafka.publisher import Outlet
from tests.support.broker import tansu
from tests.support.gateway import KEY, TENANT, settings, until
from tests.support.publisher_kafka import publisher_on

__all__ = ["tansu"]

READY_S = 20


class Running(Struct, frozen=True):
    """A gateway that listens."""

    server: Server
    publisher: Outlet
    gateway: Gateway

    @property
    def sessions_open(self) -> int:
        """How many sockets are open."""
        return len(self.gateway.sessions)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    @property
    def url(self) -> str:
        """Where it takes HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Where it takes sockets."""
        return f"ws://127.0.0.1:{self.port}/connection/websocket"


Start = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def _running(publisher: Outlet, **changed: object) -> AsyncIterator[Running]:
    chosen = settings(port=0, **changed)
    gateway = build(
        chosen,
        verifier=Verifier(KEY, cached_max=100),
        publisher=publisher,
        clocks=Clocks(
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            jitter=random,
            new_id=lambda: uuid4().hex,
        ),
        node="node-1",
        version="0",
    )
    async with serving(server(gateway.asgi, chosen, drain=gateway.drain)) as listening:
        yield Running(listening, publisher, gateway)


@pytest.fixture
def start() -> Start:
    """Run a gateway over any publisher."""
    return _running


@asynccontextmanager
async def _on_broker(address: str, **changed: object) -> AsyncIterator[Running]:
    ack_ms = changed.pop("ack_ms", 5_000)
    assert isinstance(ack_ms, int)
    async with (
        publisher_on(address, ack_ms=ack_ms) as publisher,
        _running(publisher, **changed) as running,
    ):
        yield running


@pytest.fixture
def start_on() -> Start:
    """Run a gateway over the broker at an address, there or not."""
    return _on_broker


@pytest.fixture
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """Run a gateway over the session's embedded broker, ready."""
    async with _on_broker(request.getfixturevalue("tansu").address) as found:
        await until(lambda: found.publisher.ready, seconds_max=READY_S)
        yield found


@pytest.fixture
def bearer() -> str:
    """Return a token that may publish, good by the real clock."""
    now_ms = time.time_ns() // 1_000_000
    return issue(KEY, user="ada", tenant=TENANT, scopes=[TokenScope.PUBLISH], now_ms=now_ms)
