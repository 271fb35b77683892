"""Channels over a socket: in order, bounded for slow readers, in the codec that was chosen."""

from typing import Any

import pytest
from centrifuge.protocol import client_pb2

from gateway.http.auth import TokenScope
from gateway.websocket.send_buffer import SlowPeerPolicy
from tests.support.gateway import gateway, signed, token, until
from tests.support.hub_memory import MemoryHub
from tests.support.peer import Peer, connected
from tests.support.publisher_memory import MemoryPublisher


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


async def _hello(peer: Peer) -> None:
    peer.say({"id": 1, "connect": {"token": token()}})
    await peer.until(lambda: peer.replies)


CHANNEL = "sessions:s1"


async def _enter(peer: Peer, hub: MemoryHub) -> None:
    peer.say({"id": 1, "connect": {"token": token(scopes=(TokenScope.SUBSCRIBE,))}})
    peer.say({"id": 2, "subscribe": {"channel": CHANNEL}})
    await peer.until(lambda: len(peer.replies) == 2)


def _told(peer: Peer) -> list[Any]:
    pushes = [one["push"] for one in peer.replies if "push" in one]
    return [one["pub"]["data"] if "pub" in one else one["message"]["data"] for one in pushes]


@pytest.mark.parametrize("wired", [True, False], ids=["by wire", "by ASGI"])
async def test_a_subscriber_hears_the_reply_first_and_then_everything_in_order(
    publisher: MemoryPublisher, wired: bool
) -> None:
    hub = MemoryHub()
    hub.hold()

    async with connected(gateway(publisher, hub=hub), wired=wired) as peer:
        await _hello(peer)
        peer.say({"id": 2, "subscribe": {"channel": CHANNEL, "token": signed(channel=CHANNEL)}})
        await until(lambda: not peer.unheard)
        hub.answer_all()
        await until(lambda: hub.watchers(CHANNEL))
        for number in range(200):
            hub.tell(CHANNEL, b"%d" % number)
        await peer.until(lambda: len(_told(peer)) == 200)

    assert peer.replies[1]["id"] == 2
    assert _told(peer) == list(range(200))
    assert hub.watchers(CHANNEL) == 0


async def test_a_reader_that_pauses_within_its_bounds_loses_nothing(
    publisher: MemoryPublisher,
) -> None:
    hub = MemoryHub()

    async with connected(gateway(publisher, hub=hub)) as peer:
        await _enter(peer, hub)
        peer.stop_reading()
        for number in range(100):
            hub.tell(CHANNEL, b"%d" % number)
        peer.read_again()
        await peer.until(lambda: len(_told(peer)) == 100)
        hub.tell(CHANNEL, b"100")
        await peer.until(lambda: len(_told(peer)) == 101)

    assert _told(peer) == list(range(101))


@pytest.mark.requirement("slow-readers-bounded")
@pytest.mark.parametrize("policy", [SlowPeerPolicy.LATEST, SlowPeerPolicy.OLDEST])
async def test_a_slow_reader_may_keep_its_connection_and_is_told_what_it_missed(
    publisher: MemoryPublisher, policy: SlowPeerPolicy
) -> None:
    hub = MemoryHub()
    under_test = gateway(publisher, hub=hub, slow_policy=policy, outbound_bytes_max=4_096)

    async with connected(under_test) as peer:
        await _enter(peer, hub)
        peer.stop_reading()
        for number in range(200):
            hub.tell(CHANNEL, b"%d" % number)
        peer.read_again()
        await peer.until(lambda: 199 in _told(peer))

    told = _told(peer)
    numbers = [one for one in told if isinstance(one, int)]
    notices = [one for one in told if not isinstance(one, int)]
    assert {(one["type"], one["channel"]) for one in notices} == {("gap", CHANNEL)}
    assert len(numbers) + sum(one["dropped"] for one in notices) == 200
    assert numbers == sorted(numbers)


@pytest.mark.requirement("slow-readers-bounded")
async def test_a_slow_subscriber_is_closed_and_the_others_hear_on(
    publisher: MemoryPublisher,
) -> None:
    hub = MemoryHub()
    under_test = gateway(publisher, hub=hub, outbound_bytes_max=4_096)

    async with connected(under_test) as stuck, connected(under_test) as other:
        await _enter(stuck, hub)
        await _enter(other, hub)
        stuck.stop_reading()
        for number in range(200):
            hub.tell(CHANNEL, b"%d" % number)
        await other.until(lambda: len(_told(other)) == 200)
        stuck.read_again()
        await stuck.until(lambda: stuck.closed_with)

    assert stuck.closed_with == 3008
    assert _told(other) == list(range(200))


async def test_the_codec_is_chosen_by_subprotocol_or_query(publisher: MemoryPublisher) -> None:
    made = client_pb2.Command(id=1, connect={"token": token()}).SerializeToString()
    frame = bytes([len(made) & 0x7F | 0x80, len(made) >> 7]) + made

    for offered, query, echoed in (
        (("centrifuge-protobuf",), "", "centrifuge-protobuf"),
        ((), "cf_protocol=protobuf", None),
    ):
        under_test = gateway(publisher)
        async with connected(under_test, subprotocols=offered, query=query) as peer:
            peer.say_bytes(frame)
            await peer.until(lambda: peer.binary)
        read = client_pb2.Reply.FromString(peer.binary[1:])

        assert peer.sent[0].get("subprotocol") == echoed
        assert (read.id, read.connect.pong) == (1, True)


async def test_a_channel_that_does_not_answer_in_time_is_to_be_tried_again(
    publisher: MemoryPublisher,
) -> None:
    hub = MemoryHub()
    hub.hold()

    async with connected(gateway(publisher, hub=hub, join_seconds_max=0.05)) as peer:
        await _enter(peer, hub)

    assert peer.replies[1]["error"] == {
        "code": 100, "message": "internal server error", "temporary": True,
    }  # fmt: skip
