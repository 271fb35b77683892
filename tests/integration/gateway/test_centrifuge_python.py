"""centrifuge-python 0.7.0, unchanged, against the real server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from centrifuge import Client, ClientEventHandler, ReplyError

from analytics.contracts import events, topics
from gateway.http.auth import TokenScope, issue
from tests.integration.gateway.conftest import Running, Start
from tests.support.broker import RunningBroker
from tests.support.gateway import KEY, TENANT, until
from tests.support.publisher_kafka import landed
from tests.support.publisher_memory import MemoryPublisher


class Notes(ClientEventHandler):  # type: ignore[misc]  # the client has no types
    """Notes what the client was told."""

    def __init__(self) -> None:
        self.connected = 0
        self.connecting: list[int] = []
        self.disconnected: list[int] = []
        self.errors: list[object] = []

    async def on_connected(self, ctx: Any) -> None:
        self.connected += 1

    async def on_connecting(self, ctx: Any) -> None:
        self.connecting.append(ctx.code)

    async def on_disconnected(self, ctx: Any) -> None:
        self.disconnected.append(ctx.code)

    async def on_error(self, ctx: Any) -> None:
        self.errors.append(ctx)


@asynccontextmanager
async def _client(running: Running, **options: Any) -> AsyncIterator[tuple[Client, Notes]]:
    notes = Notes()
    client = Client(running.websocket_url, events=notes, **options)
    await client.connect()
    try:
        yield client, notes
    finally:
        await client.disconnect()


def _event(session: str) -> dict[str, Any]:
    return {
        "type": "prompt.submitted", "session_id": session, "at_ms": time.time_ns() // 1_000_000,
        "length": 5, "unheard": {"of": 1},
    }  # fmt: skip


@pytest.mark.embedded
@pytest.mark.requirement("websocket-sdk-unchanged")
@pytest.mark.requirement("acknowledged-kept")
async def test_it_connects_publishes_and_is_answered_once_the_broker_has_the_event(
    running: Running, tansu: RunningBroker, bearer: str
) -> None:
    async with _client(running, token=bearer) as (client, notes):
        await client.ready()
        answer = await client.rpc("events.publish", _event("sdk-1"))
        there = [one for one in await landed(tansu.address) if one.key == b"sdk-1"]

    [verdict] = answer.data["results"]
    assert verdict["status"] == "accepted"
    [record] = there
    event = events.decode(record.value)
    assert (event.id, event.tenant) == (verdict["id"], TENANT)
    assert b"unheard" in record.value
    assert dict(record.headers)["ce_type"] == b"mainstem.prompt.submitted"
    assert notes.errors == []


@pytest.mark.embedded
async def test_a_batch_is_answered_one_by_one(running: Running, bearer: str) -> None:
    batch = [
        {**_event("sdk-2"), "id": "twice"},
        {"type": "nonsense"},
        {**_event("sdk-2"), "id": "twice"},
    ]

    async with _client(running, token=bearer) as (client, _):
        await client.ready()
        answer = await client.rpc("events.publish", {"events": batch})

    assert [one["status"] for one in answer.data["results"]] == [
        "accepted", "refused", "duplicate",
    ]  # fmt: skip


@pytest.mark.embedded
async def test_calls_in_flight_together_keep_a_sessions_order(
    running: Running, tansu: RunningBroker, bearer: str
) -> None:
    async with _client(running, token=bearer) as (client, _):
        await client.ready()
        calls = [
            client.rpc("events.publish", {**_event("sdk-3"), "id": f"order-{number}"})
            for number in range(50)
        ]
        await asyncio.gather(*calls)

    ids = [
        events.decode(one.value).id
        for one in await landed(tansu.address)
        if one.key == b"sdk-3" and one.topic == topics.AGENTS.address
    ]
    assert ids == [f"order-{number}" for number in range(50)]


@pytest.mark.embedded
async def test_opening_and_closing_are_events_too(
    running: Running, tansu: RunningBroker, bearer: str
) -> None:
    async with _client(running, token=bearer, name="bot", version="7") as (client, _):
        await client.ready()

    found: set[str] = set()
    async with asyncio.timeout(10):
        while len(found) < 2:
            records = [
                json.loads(one.value)
                for one in await landed(tansu.address)
                if one.topic == topics.CONNECTIONS.address
            ]
            ours = {one["connection_id"] for one in records if one.get("client") == "bot"}
            found = {one["type"] for one in records if one["connection_id"] in ours}

    assert found == {"connection.opened", "connection.closed"}


async def test_errors_reach_the_caller_with_their_code(start: Start, bearer: str) -> None:
    async with start(MemoryPublisher()) as running, _client(running, token=bearer) as (client, _):
        await client.ready()
        codes = []
        for method, data in (("no.such", {}), ("events.publish", "text")):
            with pytest.raises(ReplyError) as refused:
                await client.rpc(method, data)
            codes.append(refused.value.code)

    assert codes == [104, 107]


async def test_pings_are_answered_and_keep_the_connection(start: Start, bearer: str) -> None:
    async with (
        start(MemoryPublisher(), ping_seconds=1, pong_seconds=0.9) as running,
        _client(running, token=bearer) as (client, notes),
    ):
        await client.ready()
        begun = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > begun + 2.5)
        answer = await client.rpc("events.publish", _event("s"))

    assert answer.data["results"][0]["status"] == "accepted"
    assert notes.connected == 1


async def test_a_forged_token_stops_the_client_for_good(start: Start) -> None:
    async with (
        start(MemoryPublisher()) as running,
        _client(running, token="a.b.c") as (_, notes),
    ):
        await until(lambda: notes.disconnected)

    assert notes.disconnected == [3500]
    assert notes.connected == 0


async def test_an_expired_token_makes_the_client_fetch_another(start: Start, bearer: str) -> None:
    old = issue(
        KEY, user="ada", tenant=TENANT, scopes=[TokenScope.PUBLISH], now_ms=0, lifetime_ms=1
    )
    fetched = []

    async def fetch() -> str:
        fetched.append(True)
        return bearer

    async with (
        start(MemoryPublisher()) as running,
        _client(running, token=old, get_token=fetch) as (client, _),
    ):
        await client.ready()

    assert fetched == [True]


async def test_a_token_that_runs_out_is_refreshed_in_place(start: Start) -> None:
    def short() -> str:
        now_ms = time.time_ns() // 1_000_000
        return issue(
            KEY,
            user="ada",
            tenant=TENANT,
            scopes=[TokenScope.PUBLISH],
            now_ms=now_ms,
            lifetime_ms=2_000,
        )

    fetched = []

    async def fetch() -> str:
        fetched.append(True)
        return short()

    async with (
        start(MemoryPublisher()) as running,
        _client(running, token=short(), get_token=fetch) as (client, notes),
    ):
        await client.ready()
        await until(lambda: len(fetched) >= 2)
        await client.rpc("events.publish", _event("s"))

    assert notes.connected == 1


@pytest.mark.requirement("acknowledged-kept")
async def test_a_gateway_that_stops_sends_its_clients_to_reconnect(
    start: Start, bearer: str
) -> None:
    notes = Notes()
    publisher = MemoryPublisher()
    async with start(publisher) as running:
        client = Client(running.websocket_url, events=notes, token=bearer)
        await client.connect()
        await client.ready()
        publisher.hold()
        asking = asyncio.create_task(client.rpc("events.publish", _event("s")))
        await until(lambda: publisher.waiting)
        asyncio.get_running_loop().call_later(0.2, publisher.acknowledge_all)
    answer = await asking
    await until(lambda: len(notes.connecting) > 1)
    await client.disconnect()

    assert answer.data["results"][0]["status"] == "accepted"
    assert notes.connecting[1] == 3001
