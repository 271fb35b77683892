"""Whatever comes in a frame, in either codec: no crash, and a typed answer or one close.

`make check` takes a sample; `MAINSTEM_TESTS_FUZZ_FRAMES` says how many frames it shall be.
"""

import json
import os
import random
from collections.abc import Callable
from typing import Final

import pytest
from centrifuge.protocol import client_pb2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.http.auth import Verifier
from gateway.http.rate_limiter import Unmetered
from gateway.protocol import codes
from gateway.protocol.codec_json import JsonCodec
from gateway.protocol.codec_protobuf import ProtobufCodec
from gateway.protocol.effects import CallMethod, Effect, Enter, Shut, Write
from gateway.protocol.messages import Codec, Reply, Subscribed
from gateway.protocol.session import Session, SessionOptions
from gateway.protocol.transitions import State
from tests.support.gateway import KEY, NOW_MS, token

FRAMES_MAX: Final = int(os.environ.get("MAINSTEM_TESTS_FUZZ_FRAMES", "4000"))
KINDS = (
    "connect", "rpc", "subscribe", "unsubscribe", "publish", "presence", "presence_stats",
    "history", "ping", "send", "refresh", "sub_refresh", "nonsense",
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSONS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
COMMANDS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(-2, 5) | JSONS,
        **{kind: st.fixed_dictionaries({}, optional={
            "token": st.sampled_from([token(), "", "x.y.z"]) | JSONS,
            "method": st.text() | JSONS,
            "data": JSONS,
            "channel": st.text() | JSONS,
        }) | JSONS for kind in KINDS},
    },
)  # fmt: skip
LINES = COMMANDS.map(lambda fields: json.dumps(fields).encode()) | st.binary(max_size=40)
FRAMES = st.lists(LINES, max_size=4).map(b"\n".join) | st.binary(max_size=200)
CODECS: Final[dict[str, Codec]] = {
    "json": JsonCodec(commands_max=8), "protobuf": ProtobufCodec(commands_max=8),
}  # fmt: skip
MANNERS = SessionOptions(version="v", ping_ms=25_000, pong_ms=10_000, stale_ms=15_000)
VERIFIER = Verifier(KEY, cached_max=10)
KNOWN_CLOSES: Final = {close.code for close in codes.CLOSES}


def _session(codec: Codec) -> Session:
    return Session(
        client="c1",
        codec=codec,
        verify=lambda text, wall_ms: VERIFIER.verify(text, now_ms=wall_ms),
        session_options=MANNERS,
        meter=Unmetered(),
        jitter=0.0,
        now_ms=0,
    )


def _known(codec: Codec) -> Session:
    session = _session(codec)
    session.receive(_hello(codec), now_ms=0, wall_ms=NOW_MS)
    assert session.state is State.ACTIVE
    return session


def _hello(codec: Codec) -> bytes:
    if codec.text:
        return json.dumps({"id": 1, "connect": {"token": token()}}).encode()
    return _framed(client_pb2.Command(id=1, connect={"token": token()}).SerializeToString())


def _framed(body: bytes) -> bytes:
    size, prefix = len(body), b""
    while size > 127:
        prefix, size = prefix + bytes([size & 0x7F | 0x80]), size >> 7
    return prefix + bytes([size]) + body


def _check(codec: Codec, effects: list[Effect]) -> int:
    """Check that answers have a type and can be written; return how many closes there are."""
    closes = 0
    for effect in effects:
        if isinstance(effect, Write):
            assert codec.encode(effect.outbound)
            if isinstance(effect.outbound, Reply):
                assert effect.outbound.id >= 1
        elif isinstance(effect, Shut):
            assert effect.close.code in KNOWN_CLOSES
            closes += 1
    return closes


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(FRAMES, max_size=4), known=st.booleans(), kind=st.sampled_from([*CODECS]))
@example(frames=[b'{"id":1,"rpc":{"data":' + b'{"a":' * 5_000], known=True, kind="json")
@example(frames=[b'{"id":1e400,"rpc":{}}'], known=True, kind="json")
@example(frames=[b'{"id":1,"rpc":{"method":"\\ud800"}}'], known=True, kind="json")
@example(frames=[b"\x00" * 64, b"\n\n\n"], known=True, kind="json")
def test_any_frames_are_answered_and_the_connection_is_open_or_closed_once(
    frames: list[bytes], known: bool, kind: str
) -> None:
    codec = CODECS[kind]
    session = _known(codec) if known else _session(codec)
    closes = 0

    for frame in frames:
        effects = session.receive(frame, now_ms=0, wall_ms=NOW_MS)
        closes += _check(codec, effects)
        if session.grant is None:
            assert not any(isinstance(effect, CallMethod | Enter) for effect in effects)

    assert closes == (1 if session.state is State.CLOSED else 0)


def _json_seeds() -> list[bytes]:
    fields = {
        "channel": "notes:a", "token": token(), "data": {"a": [1, None, "ö"]}, "method": "m",
        "recover": True, "epoch": "e", "offset": 5, "limit": -1, "since": {"offset": 1},
        "tf": {"op": "and", "nodes": [{"key": "a", "cmp": "in", "vals": ["b"]}]},
    }  # fmt: skip
    return [json.dumps({"id": 7, kind: fields}).encode() for kind in KINDS] + [b"{}"]


def _protobuf_seeds() -> list[bytes]:
    made = client_pb2.Command(id=7)
    made.subscribe.tf.nodes.add(key="a", cmp="in", vals=["b"])
    made.subscribe.channel = "notes:a"
    seeds = [made, client_pb2.Command(id=8, history={"channel": "c", "since": {"offset": 3}})]
    for kind in KINDS[:-1]:
        one = client_pb2.Command(id=9)
        request = getattr(one, kind)
        request.SetInParent()
        for name, value in (("channel", "c"), ("token", token()), ("data", b'{"a":1}')):
            if name in request.DESCRIPTOR.fields_by_name:
                setattr(request, name, value)
        seeds.append(one)
    return [_framed(one.SerializeToString()) for one in seeds] + [b"\x00"]


def _spoiled(seeds: list[bytes], chance: random.Random) -> bytes:
    """Return a good frame with some bytes changed, cut out, doubled or from another one."""
    frame = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(0, 4)):
        at = chance.randrange(len(frame) + 1)
        match chance.randrange(5):
            case 0:
                frame[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del frame[at : at + chance.randint(1, 8)]
            case 2:
                frame[at:at] = frame[at : at + 16]
            case 3:
                other = chance.choice(seeds)
                frame[at:at] = other[chance.randrange(len(other)) :]
            case _:
                frame[at:at] = b"\n" if chance.random() < 0.5 else chance.randbytes(3)
    return bytes(frame)


@pytest.mark.requirement("bad-input-answered")
@pytest.mark.parametrize(("kind", "seeds"), [("json", _json_seeds), ("protobuf", _protobuf_seeds)])
def test_spoiled_frames_end_in_a_typed_answer_or_a_known_close(
    kind: str, seeds: Callable[[], list[bytes]]
) -> None:
    codec, good, chance = CODECS[kind], seeds(), random.Random(7)
    session, closed, answered = _known(codec), 0, 0

    for _ in range(FRAMES_MAX // 2):
        effects = session.receive(_spoiled(good, chance), now_ms=0, wall_ms=NOW_MS)
        closes = _check(codec, effects)
        assert closes == (1 if session.state is State.CLOSED else 0)
        answered += len(effects) - closes
        for effect in effects:
            if isinstance(effect, Enter) and session.state is not State.CLOSED:
                joined = session.joined(effect.channel, Subscribed(), now_ms=0, wall_ms=NOW_MS)
                _check(codec, joined)
        closed += closes
        if closes:
            session = _known(codec)

    assert closed > FRAMES_MAX // 100
    assert answered > FRAMES_MAX // 100
