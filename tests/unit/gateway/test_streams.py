"""Server-sent events of one gateway: what they say, who gets them, and how they go on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
from starlette.types import Message, Receive, Scope

from analytics.contracts.ids import TenantId
from gateway.app import Gateway, GatewayParts, build
from gateway.http.auth import TokenScope as Right
from gateway.http.auth import Verifier
from gateway.http.auth_revoked import Revoked
from tests.support.channels import MemoryLog, Node, node, note
from tests.support.gateway import (
    KEY,
    NOW_MS,
    Clock,
    client,
    clocks,
    gateway,
    settings,
    token,
    until,
)

WATCHING = (Right.SUBSCRIBE,)
UNI = "/connection/uni_sse?cf_connect=" + quote('{"subs":{"notes:room":{}}}')


class Stream:
    """One stream as it comes, without a network."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""
        self.over = False

    async def send(self, message: Message) -> None:
        """Take what the gateway sends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()
            self.over = not message.get("more_body", False)

    @property
    def data(self) -> list[str]:
        """The data of all events."""
        return [line[6:] for line in self.text.splitlines() if line.startswith("data: ")]

    @property
    def last_id(self) -> str:
        """What a client would come back with."""
        return [line[4:] for line in self.text.splitlines() if line.startswith("id: ")][-1]


async def _run(under_test: Gateway, scope: Scope, receive: Receive, stream: Stream) -> None:
    await under_test.asgi(scope, receive, stream.send)


@asynccontextmanager
async def _open(
    under_test: Gateway, address: str, *, bearer: str, last_id: str = ""
) -> AsyncIterator[Stream]:
    path, _, query = address.partition("?")
    headers = [(b"authorization", f"Bearer {bearer}".encode())]
    if last_id:
        headers.append((b"last-event-id", last_id.encode()))
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": headers, "http_version": "1.1",
        "scheme": "http", "server": ("gateway", 80), "client": ("127.0.0.1", 1),
        "root_path": "", "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    stream, left = Stream(), asyncio.Event()
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await left.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    running = asyncio.ensure_future(_run(under_test, scope, receive, stream))
    try:
        await until(lambda: stream.text or running.done())
        yield stream
    finally:
        left.set()
        await running


def _built(log: MemoryLog, **changed: float) -> tuple[Gateway, Node]:
    there = node(log)
    return gateway(there.publisher, None, hub=there.hub, **changed), there


def _filled(count: int) -> MemoryLog:
    log = MemoryLog()
    for number in range(count):
        log.add(note("room", str(number)))
    return log


@pytest.mark.requirement("streams-resume")
async def test_a_stream_goes_on_from_the_last_event_that_was_heard() -> None:
    log = _filled(3)
    under_test, there = _built(log)
    address, bearer = "/v1/stream?channel=notes:room", token(scopes=WATCHING)

    async with _open(under_test, address, bearer=bearer) as first:
        log.add(note("room", "3"))
        there.source.pull()
        await until(lambda: first.data == ["3"])
    log.add(note("room", "4"))
    async with _open(under_test, address, bearer=bearer, last_id=first.last_id) as second:
        await until(lambda: second.data == ["4"])

    assert first.last_id == "log-1:4"
    assert second.last_id == "log-1:5"
    assert len(there.hub) == 0


@pytest.mark.requirement("streams-resume")
@pytest.mark.parametrize("last_id", ["another:3", "log-1:99", "nonsense"])
async def test_what_cannot_be_gone_on_from_is_a_gap(last_id: str) -> None:
    under_test, _ = _built(_filled(3))
    bearer = token(scopes=WATCHING)

    async with _open(
        under_test, "/v1/stream?channel=notes:room", bearer=bearer, last_id=last_id
    ) as stream:
        assert "event: gap\n" in stream.text
        assert stream.last_id == "log-1:3"


async def test_a_stream_says_that_it_is_one_and_not_to_be_kept() -> None:
    under_test, _ = _built(_filled(1))

    async with _open(
        under_test, "/v1/stream?channel=notes:room", bearer=token(scopes=WATCHING)
    ) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.text.startswith("retry: ")


async def test_a_heartbeat_moves_the_position_of_a_quiet_channel() -> None:
    under_test, _ = _built(_filled(2), stream_heartbeat_seconds=0.01)

    async with _open(
        under_test, "/v1/stream?channel=notes:room", bearer=token(scopes=WATCHING)
    ) as stream:
        await until(lambda: stream.text.count(":\n\nid: log-1:2\n\n") > 1)


@pytest.mark.requirement("channels-tenant-safe")
async def test_a_stream_of_another_tenant_is_silent() -> None:
    log = _filled(3)
    under_test, there = _built(log)
    evil = token(scopes=WATCHING, tenant=TenantId("evil"))

    async with _open(
        under_test, "/v1/stream?channel=notes:room", bearer=evil, last_id="log-1:0"
    ) as stream:
        log.add(note("room", "secret"))
        there.source.pull()
        await asyncio.sleep(0)

    assert stream.data == []


async def test_the_protocols_own_stream_begins_with_connect_and_recovers() -> None:
    log = _filled(3)
    under_test, there = _built(log)
    connect = {"subs": {"notes:room": {"recover": True, "epoch": "log-1", "offset": 1}}}
    address = "/connection/uni_sse?cf_connect=" + quote(json.dumps(connect))

    async with _open(under_test, address, bearer=token(scopes=WATCHING)) as stream:
        log.add(note("room", "3"))
        there.source.pull()
        await until(lambda: len(stream.data) == 2)

    hello, push = map(json.loads, stream.data)
    sub = hello["connect"]["subs"]["notes:room"]
    assert sub["recovered"]
    assert [one["data"] for one in sub["publications"]] == [1, 2]
    assert push["channel"] == "notes:room"
    assert (push["pub"]["data"], push["pub"]["offset"]) == (3, 4)


async def test_streams_end_when_the_gateway_stops_and_none_is_opened() -> None:
    under_test, _ = _built(_filled(1))
    address, bearer = "/v1/stream?channel=notes:room", token(scopes=WATCHING)

    async with _open(under_test, address, bearer=bearer) as stream:
        await under_test.drain()
        await until(lambda: stream.over)
    async with client(under_test, bearer=bearer) as http:
        refused = await http.get(address)

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0


async def test_a_slow_stream_is_ended_and_its_seat_is_free() -> None:
    log = _filled(1)
    under_test, there = _built(log, outbound_bytes_max=1_024)

    async with _open(
        under_test, "/v1/stream?channel=notes:room", bearer=token(scopes=WATCHING)
    ) as stream:
        for _ in range(3):
            log.add(note("room", '"' + "x" * 600 + '"'))
        there.source.pull()
        await until(lambda: stream.over)

    assert len(there.hub) == 0


async def test_a_stream_ends_with_its_token() -> None:
    clock = Clock()
    there = node(_filled(1))
    under_test = gateway(there.publisher, clock, hub=there.hub, stream_heartbeat_seconds=0.01)
    bearer = token(scopes=WATCHING, lifetime_ms=60_000)

    async with _open(under_test, "/v1/stream?channel=notes:room", bearer=bearer) as stream:
        clock.now_ms = NOW_MS + 61_000
        await until(lambda: stream.over)


@pytest.mark.parametrize(
    ("address", "scopes", "status"),
    [
        ("/v1/stream?channel=notes:room", (Right.PUBLISH,), 403),
        ("/v1/stream?channel=nothing", WATCHING, 400),
        ("/v1/stream", WATCHING, 400),
        ("/v1/stream?channel=notes:a&channel=notes:b", WATCHING, 400),
        ("/connection/uni_sse?cf_connect=%7B%22token%22%3A%22t%22%7D", WATCHING, 400),
        ("/connection/uni_sse?cf_connect=no", WATCHING, 400),
    ],
)
async def test_what_is_no_stream_is_refused(
    address: str, scopes: tuple[Right, ...], status: int
) -> None:
    under_test, there = _built(_filled(1))

    async with client(under_test, bearer=token(scopes=scopes)) as http:
        answer = await http.get(address)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(there.hub) == 0


@pytest.mark.requirement("tokens-taken-back")
@pytest.mark.parametrize("path", ["/v1/stream?channel=notes:room", UNI])
async def test_a_stream_ends_when_its_token_is_taken_back_and_no_other_does(path: str) -> None:
    there, verifier = node(_filled(1)), Verifier(KEY, cached_max=100)
    under_test = build(
        settings(),
        verifier=verifier,
        publisher=there.publisher,
        clocks=clocks(Clock()),
        node="node-1",
        version="0",
        around=GatewayParts(hub=there.hub),
    )
    ada, bo = (token(scopes=WATCHING, user=user) for user in ("ada", "bo"))

    async with (
        _open(under_test, path, bearer=ada) as ours,
        _open(under_test, path, bearer=bo) as other,
    ):
        verifier.take_back(Revoked(users={("acme", "ada"): NOW_MS}))
        await until(lambda: ours.over)

        assert not other.over
        await until(lambda: len(there.hub) == 1)


@pytest.mark.parametrize("path", ["/v1/stream?channel=notes:room", UNI])
async def test_a_quiet_stream_ends_with_its_token_and_not_at_the_next_heartbeat(path: str) -> None:
    there, clock = node(_filled(1)), Clock()
    under_test = gateway(there.publisher, clock, hub=there.hub, stream_heartbeat_seconds=300)
    clock.now_ms = NOW_MS + 950

    async with _open(under_test, path, bearer=token(scopes=WATCHING, lifetime_ms=1_000)) as stream:
        clock.now_ms = NOW_MS + 1_000
        await until(lambda: stream.over)

    assert len(there.hub) == 0
