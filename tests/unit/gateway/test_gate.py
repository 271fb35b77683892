"""While the event loop runs late nobody new is let in, and what is in goes on."""

import pytest

from tests.support.gateway import client, gateway, token
from tests.support.peer import connected
from tests.support.publisher_memory import MemoryPublisher

LATE_MS = 10_000
STARTED = {"type": "session.started", "id": "e1", "session_id": "s1", "at_ms": 1}


@pytest.mark.requirement("limits-have-names")
async def test_a_late_gateway_answers_requests_with_503_and_when_to_come_again() -> None:
    under_test = gateway(MemoryPublisher())
    under_test.pulse.note(LATE_MS)

    async with client(under_test, bearer=token()) as http:
        refused = await http.post("/v1/events", json=STARTED)
        watched = await http.get("/health/live")
        for _ in range(10):
            under_test.pulse.note(0)
        taken = await http.post("/v1/events", json=STARTED)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert watched.status_code == 200
    assert taken.status_code == 200


async def test_a_late_gateway_opens_no_sockets_and_serves_those_that_are_open() -> None:
    publisher = MemoryPublisher()
    under_test = gateway(publisher)

    async with connected(under_test) as peer:
        peer.say({"id": 1, "connect": {"token": token()}})
        await peer.until(lambda: peer.replies)
        under_test.pulse.note(LATE_MS)
        async with connected(under_test) as late:
            await late.until(lambda: late.sent)
        peer.say({"id": 2, "rpc": {"method": "events.publish", "data": STARTED}})
        await peer.until(lambda: len(peer.replies) == 2)

    assert late.sent[0]["type"] == "websocket.http.response.start"
    assert late.sent[0]["status"] == 503
    assert b"retry-after" in dict(late.sent[0]["headers"])
    assert [record.key for record in publisher.records if b"session" in record.value] == [b"s1"]
