"""The protocol's own clients, unchanged, in both codecs, against a gateway on a real port."""

import time
from collections.abc import AsyncIterator

import pytest

from gateway.app import Gateway
from gateway.http.auth import TokenScope
from gateway.protocol import codes
from tests.support.centrifuge_clients import KINDS, Driven, Refused, driven, heard, wait
from tests.support.gateway import listening, signed, token, until
from tests.support.hub_memory import MemoryHub
from tests.support.publisher_memory import MemoryPublisher

pytestmark = pytest.mark.embedded

STARTED = {"type": "session.started", "id": "e1", "session_id": "s1", "at_ms": 1}
CHANNEL = "sessions:s1"


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


@pytest.fixture
async def served(hub: MemoryHub) -> AsyncIterator[tuple[Gateway, str]]:
    async with listening(MemoryPublisher(), hub=hub) as found:
        yield found


@pytest.fixture(params=KINDS)
async def client(
    request: pytest.FixtureRequest, served: tuple[Gateway, str]
) -> AsyncIterator[Driven]:
    async with driven(request.param, served[1]) as found:
        yield found


def _now() -> str:
    return token(
        scopes=(TokenScope.PUBLISH, TokenScope.SUBSCRIBE), now_ms=time.time_ns() // 1_000_000
    )


async def _connect(client: Driven) -> None:
    await client.tell("connect", token=_now(), tokens=[_now()])
    await wait(client, "connected")


@pytest.mark.requirement("websocket-sdk-unchanged")
@pytest.mark.requirement("websocket-protobuf")
async def test_every_command_is_answered(client: Driven, hub: MemoryHub) -> None:
    await _connect(client)

    answer = await client.tell("rpc", method="events.publish", data=STARTED)
    await client.tell("subscribe", channel="notes:n")
    await wait(client, "subscribed", channel="notes:n")
    await client.tell("publish", channel="notes:n", data={"a": "ö\n"})
    [publication] = await wait(client, "publication", channel="notes:n")
    there = await client.tell("presence", channel="notes:n")
    counted = await client.tell("presence_stats", channel="notes:n")
    past = await client.tell("history", channel="notes:n", limit=10)
    await client.tell("unsubscribe", channel="notes:n")
    await until(lambda: hub.watchers("notes:n") == 0)

    assert answer == {"results": [{"id": "e1", "status": "accepted"}]}
    assert (publication["data"], publication["offset"]) == ({"a": "ö\n"}, 1)
    assert (there, counted) == (["ada"], {"clients": 1, "users": 1})
    assert (past["epoch"], past["offset"]) == ("e1", 1)
    assert [one["data"] for one in past["publications"]] == [{"a": "ö\n"}]


async def test_errors_keep_their_codes_and_the_connection(client: Driven) -> None:
    await _connect(client)

    refused = []
    for op, given in (
        ("rpc", {"method": "no.such", "data": {}}),
        ("rpc", {"method": "events.publish", "data": "text"}),
        ("publish", {"channel": "alerts", "data": 1}),
    ):
        with pytest.raises(Refused) as error:
            await client.tell(op, **given)
        refused.append(error.value.code)
    await client.tell("subscribe", channel="no:such")
    [out] = await wait(client, "unsubscribed", channel="no:such")

    assert refused == [104, 107, 103]
    assert out["code"] == codes.UNKNOWN_CHANNEL.code
    assert len(heard(client, "connected")) == 1


@pytest.mark.requirement("recovered-or-gap")
async def test_after_a_forced_disconnect_nothing_is_lost_and_nothing_comes_twice(
    client: Driven, hub: MemoryHub, served: tuple[Gateway, str]
) -> None:
    await _connect(client)
    await client.tell("subscribe", channel=CHANNEL)
    await wait(client, "subscribed")

    told = 0
    for cut in range(3):
        for _ in range(50):
            told += 1
            hub.tell(CHANNEL, b"%d" % told, tags={"n": str(told)})
        for socket in served[0].sessions:
            socket.end(codes.FORCE_RECONNECT)
        for _ in range(50):
            told += 1
            hub.tell(CHANNEL, b"%d" % told, tags={"n": str(told)})
        await wait(client, "subscribed", count=cut + 2)
    await wait(client, "publication", count=told)

    publications = heard(client, "publication")
    assert [one["data"] for one in publications] == list(range(1, told + 1))
    assert [one["offset"] for one in publications] == list(range(1, told + 1))
    assert all(one["tags"] == {"n": str(one["data"])} for one in publications)
    again = heard(client, "subscribed")[1:]
    assert [(one["was_recovering"], one["recovered"]) for one in again] == [(True, True)] * 3
    assert 3011 in {one["code"] for one in heard(client, "connecting")}


async def test_a_log_that_began_anew_is_told_as_a_gap(client: Driven, hub: MemoryHub) -> None:
    await _connect(client)
    await client.tell("subscribe", channel=CHANNEL)
    await wait(client, "subscribed")
    hub.tell(CHANNEL, b"1")
    await wait(client, "publication")

    hub.cut_all(CHANNEL, 2500, "insufficient state")
    [_, same] = await wait(client, "subscribed", count=2)
    hub.cut_all(CHANNEL, 2500, "insufficient state")
    hub.forget("e2")
    [_, _, anew] = await wait(client, "subscribed", count=3)

    assert (same["was_recovering"], same["recovered"]) == (True, True)
    assert (anew["was_recovering"], anew["recovered"]) == (True, False)
    assert [one["data"] for one in heard(client, "publication")] == [1]


@pytest.mark.requirement("websocket-sdk-unchanged")
async def test_a_token_that_runs_out_is_refreshed_in_place(
    client: Driven, served: tuple[Gateway, str]
) -> None:
    short = token(lifetime_ms=4_000, now_ms=time.time_ns() // 1_000_000)

    await client.tell("connect", token=short, tokens=[_now()])
    await wait(client, "connected")
    [socket] = served[0].sessions
    await wait(client, "token")
    await until(lambda: socket.session.grant and socket.session.grant.expires_ms is None)
    answer = await client.tell("rpc", method="events.publish", data=STARTED)

    assert answer["results"][0]["status"] == "accepted"
    assert len(heard(client, "connected")) == 1


async def test_a_token_that_ran_out_before_sends_the_client_for_another(client: Driven) -> None:
    old = token(lifetime_ms=1, now_ms=0)

    await client.tell("connect", token=old, tokens=[_now()])
    await wait(client, "connected")

    assert len(heard(client, "token")) == 1


async def test_a_channels_token_opens_it_and_another_channels_ends_the_connection(
    client: Driven,
) -> None:
    await client.tell("connect", token=token(scopes=()), tokens=[])
    await wait(client, "connected")

    await client.tell("subscribe", channel="alerts")
    await client.tell("subscribe", channel=CHANNEL, token=signed(channel=CHANNEL))
    [out] = await wait(client, "unsubscribed", channel="alerts")
    await wait(client, "subscribed", channel=CHANNEL)
    await client.tell("subscribe", channel="decisions", token=signed(channel=CHANNEL))
    [ended] = await wait(client, "disconnected")

    assert out["code"] == codes.PERMISSION_DENIED.code
    assert ended["code"] == codes.INVALID_TOKEN.code


async def test_a_token_may_put_the_client_in_channels_that_recover_like_others(
    client: Driven, hub: MemoryHub, served: tuple[Gateway, str]
) -> None:
    await client.tell("connect", token=signed(channels=["alerts"]), tokens=[])
    await wait(client, "subscribed", channel="alerts")

    hub.tell("alerts", b"1")
    await wait(client, "publication")
    for socket in served[0].sessions:
        socket.end(codes.FORCE_RECONNECT)
    hub.tell("alerts", b"2")
    await wait(client, "connected", count=2)
    hub.cut_all("alerts", 2500, "insufficient state")
    hub.tell("alerts", b"3")
    await wait(client, "connected", count=3)
    await wait(client, "publication", count=3)

    assert [one["data"] for one in heard(client, "publication")] == [1, 2, 3]
    assert {3010, 3011} <= {one["code"] for one in heard(client, "connecting")}
