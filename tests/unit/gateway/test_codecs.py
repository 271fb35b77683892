"""Both codecs say the same: commands as clients write them, replies as clients read them."""

import base64
import json
from typing import Any

import pytest
from centrifuge.protocol import client_pb2
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.protocol import messages as says
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codec_protobuf import ProtobufCodec
from gateway.protocol.codes import ErrorReply
from gateway.protocol.messages import BadFrame, Codec, Command, Outbound

JSON = JsonCodec(commands_max=5)
PROTOBUF = ProtobufCodec(commands_max=5)
IDS = st.integers(1, 2**32 - 1)
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
OFFSETS = st.integers(1, 2**53)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
FILTERS = st.recursive(
    st.fixed_dictionaries(
        {"key": WORDS, "cmp": st.sampled_from(["eq", "in", "gte"])},
        optional={"val": WORDS, "vals": st.lists(WORDS, min_size=1, max_size=3)},
    ),
    lambda inner: st.fixed_dictionaries(
        {"op": st.sampled_from(["and", "or", "not"]), "nodes": st.lists(inner, min_size=1)}
    ),
    max_leaves=4,
)
PLACES = st.fixed_dictionaries({"recover": st.just(True), "epoch": WORDS, "offset": OFFSETS})


def _fields(fields: dict[str, Any], **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields, optional=optional)


ASKED = st.one_of(
    st.tuples(
        st.just("connect"),
        _fields({"token": WORDS}, name=WORDS, version=WORDS, subs=st.dictionaries(WORDS, PLACES)),
    ),
    st.tuples(
        st.just("subscribe"),
        _fields(
            {"channel": WORDS, "flag": st.integers(0, 3)},
            token=WORDS, data=VALUES, tf=FILTERS, positioned=st.just(True),
        ),
    ),
    st.tuples(st.just("subscribe"), PLACES.map(lambda place: {"channel": "c", **place})),
    st.tuples(st.just("publish"), _fields({"channel": WORDS, "data": VALUES})),
    st.tuples(
        st.just("history"),
        _fields(
            {"channel": WORDS, "limit": st.integers(-1, 100)},
            since=_fields({"epoch": WORDS, "offset": OFFSETS}), reverse=st.just(True),
        ),
    ),
    st.tuples(st.just("rpc"), _fields({"method": WORDS, "data": VALUES})),
    st.tuples(st.sampled_from(["sub_refresh"]), _fields({"channel": WORDS, "token": WORDS})),
    st.tuples(st.just("refresh"), _fields({"token": WORDS})),
    st.tuples(
        st.sampled_from(["unsubscribe", "presence", "presence_stats"]), _fields({"channel": WORDS})
    ),
    st.tuples(st.sampled_from(["ping", "send"]), st.just({})),
)  # fmt: skip


def _as_protobuf(command: dict[str, Any]) -> bytes:
    """Return a command as the clients' own classes write it."""
    made = client_pb2.Command()
    _fill(made, command)
    body: bytes = made.SerializeToString()
    return _length(len(body)) + body


def _fill(message: Any, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name == "data":
            message.data = json.dumps(value).encode()
        elif name == "subs":
            for channel, place in value.items():
                _fill(message.subs[channel], place)
        elif name == "nodes":
            for node in value:
                _fill(message.nodes.add(), node)
        elif isinstance(value, dict):
            getattr(message, name).SetInParent()
            _fill(getattr(message, name), value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)


def _length(size: int) -> bytes:
    return bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80]) + _length(size >> 7)


def _values(command: Command) -> tuple[object, object]:
    """Return a command with its data as values, since both codecs keep their own bytes of it."""
    request = command.request
    if isinstance(request, says.ConnectRequest):
        request = replace(request, since=dict(sorted(request.since.items())))
    data = getattr(request, "data", None)
    return command.id, (
        repr(request).replace(repr(data), "DATA"),
        None if data is None else json.loads(data),
    )


@settings(max_examples=200, deadline=None)
@given(asked=st.lists(st.tuples(IDS, ASKED), min_size=1, max_size=4))
def test_what_a_client_asks_is_the_same_in_both_codecs(
    asked: list[tuple[int, tuple[str, dict[str, Any]]]],
) -> None:
    commands = [{"id": number, kind: fields} for number, (kind, fields) in asked]
    text = "\n".join(json.dumps(command) for command in commands).encode()
    binary = b"".join(_as_protobuf(command) for command in commands)

    from_text, from_binary = list(JSON.decode(text)), list(PROTOBUF.decode(binary))

    assert len(from_text) == len(commands)
    assert list(map(_values, from_text)) == list(map(_values, from_binary))


INFO = says.ClientInfo(user="u", client="c", connection=b'{"a":1}', channel=b"2")
PUBLICATION = says.Publication(
    data=b'{"x":[1,"\xc3\xb6"]}', offset=2**52, tags={"a": "b"}, time_ms=5, info=INFO
)
ENTERED = says.Subscribed(
    recoverable=True, epoch="e", offset=3, was_recovering=True, recovered=True,
    publications=(PUBLICATION,), data=b"1", ttl=60,
)  # fmt: skip
OUTBOUND: dict[str, Outbound] = {
    "connect": says.Reply(
        1, says.Connected(client="c", version="v", ping=25, ttl=3, subs={"a": ENTERED})
    ),
    "rpc": says.Reply(2, says.Called(b'{"a":1}')),
    "refresh": says.Reply(3, says.Refreshed("c", 9)),
    "sub_refresh": says.Reply(4, says.SubRefreshed(9)),
    "subscribe": says.Reply(5, ENTERED),
    "unsubscribe": says.Reply(6, says.Unsubscribed()),
    "publish": says.Reply(7, says.Published()),
    "history": says.Reply(8, says.HistoryPage(epoch="e", offset=9, publications=(PUBLICATION,))),
    "presence": says.Reply(9, says.Present({"c": INFO})),
    "presence_stats": says.Reply(10, says.ChannelStats(clients=2, users=1)),
    "error": says.Reply(11, ErrorReply(111, "too many requests", temporary=True)),
    "pub": says.PublicationPush("ch", PUBLICATION),
    "join": says.JoinPush("ch", INFO),
    "leave": says.LeavePush("ch", INFO),
    "unsubscribe push": says.UnsubscribePush("ch", 2500, "insufficient state"),
    "subscribe push": says.SubscribePush("ch", says.Subscribed(recoverable=True, epoch="e")),
    "message": says.MessagePush(b'{"type":"gap"}'),
    "disconnect": says.DisconnectPush(3001, "shutdown", reconnect=True),
}
NUMBERS = {"offset", "time"}
BYTES = {"data", "conn_info", "chan_info"}


def _plain(value: Any) -> Any:
    """Return the clients' own reading of a Protobuf reply as its JSON would be."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: int(one)
        if name in NUMBERS
        else json.loads(base64.b64decode(one))
        if name in BYTES
        else _plain(one)
        for name, one in value.items()
    }


def _nonzero(value: Any) -> Any:
    if isinstance(value, list):
        return [_nonzero(one) for one in value]
    if isinstance(value, dict):
        return {name: _nonzero(one) for name, one in value.items() if one not in (0, "")}
    return value


@pytest.mark.parametrize("kind", OUTBOUND)
@pytest.mark.requirement("websocket-protobuf")
def test_what_a_client_reads_is_the_same_in_both_codecs(kind: str) -> None:
    text, binary = JSON.encode(OUTBOUND[kind]), PROTOBUF.encode(OUTBOUND[kind])
    prefix = 1 if binary[0] < 128 else 2

    read = client_pb2.Reply.FromString(binary[prefix:])

    assert len(binary) == prefix + read.ByteSize()
    assert b"\n" not in text
    assert _plain(MessageToDict(read, preserving_proto_field_name=True)) == _nonzero(
        json.loads(text)
    )


@pytest.mark.parametrize(
    ("codec", "frame", "why"),
    [
        (PROTOBUF, b"", "without a command"),
        (PROTOBUF, b"\x05ab", "ends before"),
        (PROTOBUF, b"\xff" * 9, "length"),
        (PROTOBUF, b"\x80", "length"),
        (PROTOBUF, b"\x02\xff\xff", "not a command"),
        (PROTOBUF, b"\x02\x08\x01", "no known kind"),
        (PROTOBUF, b"\x00" * 6, "more than 5"),
        (PROTOBUF, _as_protobuf({"id": 1, "publish": {"channel": "c"}}), "not JSON"),
        (JSON, b'{"id":1,"history":{"since":{"offset":-1}}}', "not a command"),
        (JSON, b'{"id":1,"subscribe":{"tf":{"nodes":1}}}', "not a command"),
    ],
)
def test_a_frame_that_is_not_made_of_commands_says_why(
    codec: Codec, frame: bytes, why: str
) -> None:
    with pytest.raises(BadFrame, match=why):
        list(codec.decode(frame))


def test_a_ping_is_one_byte_and_a_pong_is_one_too() -> None:
    assert PROTOBUF.encode(says.Ping()) == b"\x00"
    assert list(PROTOBUF.decode(b"\x00")) == [Command(0, says.Pong())]


def test_what_is_published_in_protobuf_is_put_on_one_line_for_those_who_read_json() -> None:
    made = client_pb2.Command(id=1)
    made.publish.channel, made.publish.data = "c", b'{\n "a": 1.0,\r\n "b": "\\n"}'
    body = made.SerializeToString()

    [command] = PROTOBUF.decode(_length(len(body)) + body)

    assert command.request == says.Publish(channel="c", data=b'{"a":1.0,"b":"\\n"}')
