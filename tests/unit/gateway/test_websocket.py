"""The edge of a socket: always reading, never waiting to write, closed with a reason."""

import asyncio
import json
from typing import Any

import pytest

from analytics.contracts import events, topics
from analytics.contracts.events import ConnectionClosed, ConnectionOpened
from tests.support.gateway import Clock, gateway, token, until
from tests.support.peer import Peer, connected
from tests.support.publisher_memory import MemoryPublisher

STARTED = {"type": "session.started", "id": "e1", "session_id": "s1", "at_ms": 1}


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


async def _hello(peer: Peer, **about: Any) -> None:
    peer.say({"id": 1, "connect": {"token": token(), **about}})
    await peer.until(lambda: peer.replies)


async def test_a_call_is_answered_once_its_events_are_acknowledged(
    publisher: MemoryPublisher,
) -> None:
    publisher.hold()

    async with connected(gateway(publisher)) as peer:
        await _hello(peer)
        peer.say({"id": 2, "rpc": {"method": "events.publish", "data": STARTED}})
        peer.say({"id": 3, "rpc": {"method": "nothing.such", "data": 1}})
        await peer.until(lambda: len(peer.replies) == 2)
        before = peer.replies
        publisher.acknowledge_all()
        await peer.until(lambda: len(peer.replies) == 3)

    assert before[1] == {"id": 3, "error": {"code": 104, "message": "method not found"}}
    assert peer.replies[2] == {
        "id": 2, "rpc": {"data": {"results": [{"id": "e1", "status": "accepted"}]}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "results"),
    [
        ({"events": [STARTED, STARTED]}, ["accepted", "duplicate"]),
        ([STARTED, {"type": "window.closed"}], ["accepted", "refused"]),
    ],
    ids=["an envelope", "a list"],
)
async def test_a_call_may_carry_many_events(
    publisher: MemoryPublisher, data: Any, results: list[str]
) -> None:
    async with connected(gateway(publisher)) as peer:
        await _hello(peer)
        peer.say({"id": 2, "rpc": {"method": "events.publish", "data": data}})
        await peer.until(lambda: len(peer.replies) == 2)

    answered = peer.replies[1]["rpc"]["data"]["results"]
    assert [one["status"] for one in answered] == results


async def test_data_that_holds_no_events_is_a_bad_request(publisher: MemoryPublisher) -> None:
    async with connected(gateway(publisher)) as peer:
        await _hello(peer)
        peer.say({"id": 2, "rpc": {"method": "events.publish", "data": "x"}})
        await peer.until(lambda: len(peer.replies) == 2)

    assert peer.replies[1]["error"]["code"] == 107


async def test_a_token_without_the_scope_may_connect_and_not_publish(
    publisher: MemoryPublisher,
) -> None:
    async with connected(gateway(publisher)) as peer:
        peer.say({"id": 1, "connect": {"token": token(scopes=())}})
        peer.say({"id": 2, "rpc": {"method": "events.publish", "data": STARTED}})
        await peer.until(lambda: len(peer.replies) == 2)

    assert peer.replies[1]["error"] == {"code": 103, "message": "permission denied"}
    assert [record.topic for record in publisher.records] == [topics.CONNECTIONS.address] * 2


async def test_a_connection_tells_when_it_opened_and_why_it_closed(
    publisher: MemoryPublisher,
) -> None:
    clock = Clock()

    async with connected(gateway(publisher, clock)) as peer:
        await _hello(peer, name="python", version="2")
        clock.now_ms += 1_500
        peer.say({"send": {"data": 1}})
        await peer.until(lambda: peer.closed_with)

    opened, closed = (events.decode(record.value) for record in publisher.records)
    assert isinstance(opened, ConnectionOpened)
    assert (opened.client, opened.client_version, opened.user) == ("python", "2", "ada")
    assert isinstance(closed, ConnectionClosed)
    assert (closed.code, closed.reason, closed.frames) == (3508, "not available", 2)
    assert closed.duration_ms == 1_500
    assert opened.connection_id == closed.connection_id


async def test_a_socket_nobody_showed_a_token_on_leaves_no_event(
    publisher: MemoryPublisher,
) -> None:
    async with connected(gateway(publisher)) as peer:
        peer.say({"id": 1, "rpc": {"method": "events.publish", "data": STARTED}})
        await peer.until(lambda: peer.closed_with)

    assert peer.closed_with == 3501
    assert publisher.records == []


async def test_garbage_from_a_known_client_becomes_a_dead_letter_and_closes_the_socket(
    publisher: MemoryPublisher,
) -> None:
    async with connected(gateway(publisher)) as peer:
        await _hello(peer)
        peer.say({"id": 5})
        await peer.until(lambda: peer.closed_with)

    assert peer.closed_with == 3501
    assert publisher.dead_letters[0].payload == b'{"id": 5}'


async def test_a_frame_in_another_encoding_is_refused_for_good(publisher: MemoryPublisher) -> None:
    async with connected(gateway(publisher)) as peer:
        await _hello(peer)
        peer.say_bytes(b"\x00")
        await peer.until(lambda: peer.closed_with)

    assert peer.closed_with == 3506


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [((), None), (("centrifuge-json",), "centrifuge-json"), (("other",), None)],
)
async def test_only_the_subprotocol_that_is_spoken_is_echoed(
    publisher: MemoryPublisher, offered: tuple[str, ...], chosen: str | None
) -> None:
    async with connected(gateway(publisher), subprotocols=offered) as peer:
        await peer.until(lambda: peer.sent)

    assert peer.sent[0].get("subprotocol") == chosen


@pytest.mark.requirement("limits-have-names")
async def test_calls_past_the_limit_are_answered_at_once(publisher: MemoryPublisher) -> None:
    publisher.hold()

    async with connected(gateway(publisher, calls_max=2)) as peer:
        await _hello(peer)
        for number in range(2, 5):
            event = {**STARTED, "id": f"e{number}"}
            peer.say({"id": number, "rpc": {"method": "events.publish", "data": event}})
        await peer.until(lambda: len(peer.replies) == 2)
        publisher.acknowledge_all()
        await peer.until(lambda: len(peer.replies) == 4)

    assert peer.replies[1] == {
        "id": 4, "error": {"code": 111, "message": "too many requests", "temporary": True},
    }  # fmt: skip


@pytest.mark.requirement("limits-have-names")
async def test_a_peer_that_takes_no_bytes_is_cut_off(publisher: MemoryPublisher) -> None:
    async with connected(gateway(publisher, write_seconds_max=0.05)) as peer:
        await _hello(peer)
        peer.stop_reading()
        peer.say({"id": 2, "rpc": {"method": "nothing.such"}})
        await until(lambda: peer.aborted)

    closed = events.decode(publisher.records[-1].value)
    assert isinstance(closed, ConnectionClosed)
    assert closed.code == 3008


@pytest.mark.requirement("limits-have-names")
async def test_a_peer_that_reads_too_slowly_is_closed_as_slow(publisher: MemoryPublisher) -> None:
    under_test = gateway(publisher, outbound_bytes_max=1_024)
    async with connected(under_test) as peer:
        await _hello(peer)
        peer.stop_reading()
        many = [{"id": number, "unsubscribe": {"channel": "x"}} for number in range(2, 60)]
        peer.say(*many)
        await until(lambda: not peer.unheard)
        peer.read_again()
        await peer.until(lambda: peer.closed_with)

    assert peer.closed_with == 3008


@pytest.mark.requirement("limits-have-names")
async def test_sockets_past_the_limit_are_refused_before_they_are_accepted(
    publisher: MemoryPublisher,
) -> None:
    under_test = gateway(publisher, connections_max=1)

    async with connected(under_test) as first:
        await _hello(first)
        async with connected(under_test) as second:
            await second.until(lambda: len(second.sent) == 2)

    start, body = second.sent
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert json.loads(body["body"])["type"] == "urn:mainstem:problem:unavailable"


async def test_a_socket_from_a_page_that_is_not_allowed_is_refused(
    publisher: MemoryPublisher,
) -> None:
    under_test = gateway(publisher, origins=("https://ours.example",))

    async with connected(under_test, origin="https://evil.example") as refused:
        await refused.until(lambda: refused.sent)
    async with connected(under_test, origin="https://ours.example") as accepted:
        await accepted.until(lambda: accepted.sent)

    assert refused.sent[0]["status"] == 403
    assert accepted.sent[0]["type"] == "websocket.accept"


@pytest.mark.requirement("acknowledged-kept")
async def test_a_drain_answers_running_calls_before_it_closes(publisher: MemoryPublisher) -> None:
    under_test = gateway(publisher)
    publisher.hold()

    async with connected(under_test) as peer:
        await _hello(peer)
        peer.say({"id": 2, "rpc": {"method": "events.publish", "data": STARTED}})
        await until(lambda: publisher.waiting)
        draining = asyncio.create_task(under_test.sessions.drain())
        await until(lambda: under_test.sessions.draining)
        peer.say({"id": 3, "rpc": {"method": "events.publish", "data": STARTED}})
        await peer.until(lambda: len(peer.replies) == 3)
        publisher.acknowledge_all()
        await draining

    notice, refused, answered = peer.replies[1:]
    assert notice == {"push": {"message": {"data": {"type": "draining", "retry_after_ms": 1_000}}}}
    assert refused["error"]["code"] == 111
    assert answered["id"] == 2
    assert peer.closed_with == 3001


async def test_pings_go_out_by_the_clock_of_all_sockets(publisher: MemoryPublisher) -> None:
    clock = Clock()
    under_test = gateway(publisher, clock)
    under_test.sessions.start()

    async with connected(under_test) as peer:
        await _hello(peer)
        clock.now_ms += 19_000
        await peer.until(lambda: len(peer.replies) == 2)
        peer.say({})
        clock.now_ms += 25_000
        await peer.until(lambda: len(peer.replies) == 3)
        clock.now_ms += 11_000
        await peer.until(lambda: peer.closed_with)

    assert peer.replies[1:] == [{}, {}]
    assert peer.closed_with == 3012
